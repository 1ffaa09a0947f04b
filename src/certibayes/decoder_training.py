"""Train the variational autoencoder whose decoder is a simulator; resumable at any step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from certibayes.networks.autoencoder import LATENTS, PIXELS, VariationalAutoencoder
from certibayes.process import Interrupted
from certibayes.seeding import derive_seed, generator

if TYPE_CHECKING:
    from certibayes.training import Checkpoint, Interruption, Report, State

BATCH = 256
SEED = "variational autoencoder", 0
CHECKPOINT_SECONDS = 60.0
WHITE = 255


@dataclass(frozen=True)
class DecoderFit:
    """What training took.

    Attributes:
        steps: optimizer steps, over all attempts.
        seconds: time of these steps, over all attempts; what a kill undid does not count.
    """

    steps: int
    seconds: float


def build_autoencoder(latents: int = LATENTS, pixels: int = PIXELS) -> VariationalAutoencoder:
    """Return an autoencoder with fresh weights, always the same ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(*SEED, "weights"))
        return VariationalAutoencoder(latents, pixels)


def fit_decoder(
    model: VariationalAutoencoder,
    images: Tensor,
    epochs: int,
    *,
    checkpoint: Checkpoint,
    interruption: Interruption,
    report: Report,
) -> DecoderFit:
    """Maximize the evidence lower bound in place: Adam with its usual settings, batches of 256.

    Random choices are derived from (epoch or step) alone, so a resumed run equals an uninterrupted
    one bit by bit at an equal number of threads.

    Args:
        model: the autoencoder.
        images: bytes 0..255, shape (n, pixels), uint8.
        epochs: passes over the images.
        checkpoint: asked for a state at the start; saved every minute.
        interruption: looked at after every step.
        report: called at the end of every epoch with the step and decoder/elbo, the mean evidence
            lower bound over the epoch's batches, in nats per image.

    Raises:
        Interrupted: if asked to stop; the state is saved first.
        FloatingPointError: if the bound is not finite.
    """
    loop = _Loop(model, images, epochs)
    state = checkpoint.load()
    if state is not None:
        loop.restore(state)
    saved = time.perf_counter()
    for elbo in loop.steps():
        if elbo is not None:
            report(loop.step, {"decoder/elbo": elbo})
        if interruption.requested:
            checkpoint.save(loop.state())
            raise Interrupted(f"decoder stopped at step {loop.step} of {loop.total}; state saved")
        if time.perf_counter() - saved >= CHECKPOINT_SECONDS:
            checkpoint.save(loop.state())
            saved = time.perf_counter()
    return DecoderFit(loop.step, loop.seconds)


class _Loop:
    def __init__(self, model: VariationalAutoencoder, images: Tensor, epochs: int) -> None:
        self.model = model
        self.images = images
        self.per_epoch = -(-len(images) // BATCH)
        self.total = epochs * self.per_epoch
        self.optimizer = torch.optim.Adam(model.parameters())
        self.step = 0
        self._elbo_sum = 0.0
        self._seconds_before = 0.0
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self._seconds_before + time.perf_counter() - self._started

    def steps(self) -> Iterator[float | None]:
        """Take one step per item; the epoch's mean bound after its last step, else None."""
        while self.step < self.total:
            epoch, first = divmod(self.step, self.per_epoch)
            order = torch.randperm(len(self.images), generator=generator(*SEED, "order", epoch))
            for batch in order.split(BATCH)[first:]:
                self._elbo_sum += self._update(self.images[batch].float() / WHITE)
                self.step += 1
                yield None if self.step % self.per_epoch else self._end_epoch()

    def state(self) -> State:
        return {
            "step": self.step,
            "seconds": self.seconds,
            "elbo_sum": self._elbo_sum,
            "model": self.model.state_dict(),
            "optimizer": {
                str(index): moments
                for index, moments in self.optimizer.state_dict()["state"].items()
            },
        }

    def restore(self, state: State) -> None:
        self.step = state["step"]
        self._seconds_before = state["seconds"]
        self._elbo_sum = state["elbo_sum"]
        self.model.load_state_dict(state["model"])
        moments = {int(index): values for index, values in state["optimizer"].items()}
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})

    def _update(self, x: Tensor) -> float:
        source = generator(*SEED, "noise", self.step)
        noise = torch.randn(len(x), self.model.latents, generator=source)
        elbo = self.model.elbo(x, noise)
        loss = -elbo.mean()
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"decoder/elbo: got {-loss.item()} at step {self.step} of {self.total}; "
                "allowed: a finite number"
            )
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(elbo.detach().sum())

    def _end_epoch(self) -> float:
        elbo, self._elbo_sum = self._elbo_sum / len(self.images), 0.0
        return elbo
