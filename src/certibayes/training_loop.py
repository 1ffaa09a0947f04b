"""Optimiser steps, validation and the state that a resumed run starts from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from certibayes.bnn.base import Batch, Step, WeightInference
from certibayes.bnn.drawn_labels import drawn_labels
from certibayes.bnn.estimated_statistics import (
    ACTIVATIONS,
    estimate_statistics,
    estimated,
    normalizations,
)
from certibayes.clipping import clip_norm
from certibayes.config.models import Training
from certibayes.config.networks import STATISTICS_SETTLED
from certibayes.defenses.base import Defense
from certibayes.process import Interrupted
from certibayes.rows import Pairs, blocks, pairs_on
from certibayes.seeding import generator
from certibayes.training_schedule import Schedule

VALIDATION_BATCH = 2048

State = dict[str, Any]
"""Tree of dicts with string keys; leaves are tensors, ints, floats or None."""


@dataclass(frozen=True)
class FitResult:
    """What training took and reached.

    Attributes:
        steps: optimiser steps, over all attempts.
        seconds: time of these steps, over all attempts; what a kill undid does not count.
        validation: mean objective of the defense at full strength on the validation pairs.
        validation_nll: mean negative log-likelihood on the validation pairs, nats.
        epochs: epochs taken.
        best_epoch: epoch whose weights were kept, counted from 1; the last one without patience.
        stopped: what was not finite, where, if that ended training and the weights of the best
            epoch were restored; None = training came to its own end.
    """

    steps: int
    seconds: float
    validation: float
    validation_nll: float
    epochs: int
    best_epoch: int
    stopped: str | None = None


@dataclass
class _Best:
    epoch: int
    validation: float
    weights: dict[str, Tensor]


class Loop:
    """One training run: take `steps`, then `finish`; `state` and `restore` at any step."""

    def __init__(
        self,
        inference: WeightInference,
        defense: Defense,
        training: Pairs,
        validation: Pairs,
        spec: Training,
        seed: int,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.inference = inference
        self.defense = defense
        self.spec = spec
        self.seed = seed
        self._stop = stop
        self.examples = len(training)
        for key, pairs in (("training", training), ("validation", validation)):
            if len(pairs) == 0:
                raise ValueError(f"{key}: got 0 pairs; allowed: at least one")
        minibatches = max(self.examples // spec.batch_size, 1)
        self.per_epoch = 1 if inference.full_batch else minibatches
        self.total = spec.epochs * self.per_epoch
        self.parameters = [p for p in inference.parameters() if p.requires_grad]
        device = self.parameters[0].device
        self.training = pairs_on(training, device)
        self.validation = pairs_on(validation, device)
        self.optimizer = torch.optim.Adam(self.parameters, lr=spec.learning_rate)
        self.schedule = Schedule(spec, self.total)
        self._normalizes = normalizations(inference)
        self.step = 0
        self._loss_sum = 0.0
        self._best: _Best | None = None
        self._seconds_before = 0.0
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time taken so far, over all attempts."""
        return self._seconds_before + time.perf_counter() - self._started

    def steps(self) -> Iterator[dict[str, float] | None]:
        """Take one step per item; metrics after the last step of an epoch, else None."""
        while self.step < self.total and not self._stops_early():
            epoch, first = divmod(self.step, self.per_epoch)
            self.inference.train()
            if self.step == 0:
                self.inference.begin()
            if first == 0 and self._normalizes:
                self._renew_statistics(epoch)
            for batches in self._steps_of(epoch, first):
                self._loss_sum += self._update(batches)
                self.step += 1
                yield None if self.step % self.per_epoch else self._end_epoch(epoch)

    def heed(self) -> None:
        """Leave training if it is asked to stop; the state is the one behind the last step.

        Raises:
            Interrupted: if so.
        """
        if self._stop():
            raise Interrupted(f"training stopped at step {self.step} of {self.total}; state saved")

    @property
    def restorable(self) -> bool:
        """Whether there are best weights to return to."""
        return self._best is not None

    def finish(self, stopped: str | None = None) -> FitResult:
        """Restore the best weights if training had patience or was stopped; judge the result.

        Raises:
            FloatingPointError: if the validation NLL is NaN.
        """
        epochs = best = self.step // self.per_epoch
        if self._best is not None and (stopped is not None or self.spec.patience is not None):
            self.inference.load_state_dict(self._best.weights)
            best = self._best.epoch + 1
        self.inference.eval()
        nll, objective = self._validate(of_defense=True)
        if math.isnan(nll):
            raise FloatingPointError(
                f"train/nll: got nan after step {self.step} of {self.total}; allowed: a number"
            )
        return FitResult(self.step, self.seconds, objective, nll, epochs, best, stopped)

    def state(self) -> State:
        """Return everything that a resumed run needs; tensors are not copied."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "loss_sum": self._loss_sum,
            "inference": self.inference.state_dict(),
            "optimizer": {
                str(index): moments
                for index, moments in self.optimizer.state_dict()["state"].items()
            },
            "schedule": self.schedule.state(),
            "best": None if self._best is None else asdict(self._best),
        }

    def restore(self, state: State) -> None:
        """Continue from a state."""
        self.step = state["step"]
        self._seconds_before = state["seconds"]
        self._loss_sum = state["loss_sum"]
        self.inference.load_state_dict(state["inference"])
        moments = {int(index): values for index, values in state["optimizer"].items()}
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.schedule.restore(state["schedule"])
        self._best = None if state["best"] is None else _Best(**state["best"])

    def _renew_statistics(self, epoch: int) -> None:
        """Estimate what batch normalizations subtract and divide by, before an epoch's steps.

        Before the first epoch where they never were; before every other one in the first part of
        training, where the objective may change from step to step.
        """
        moving = not self.inference.full_batch and self.step < STATISTICS_SETTLED * self.total
        if (epoch > 0 and not moving) or (epoch == 0 and estimated(self.inference)):
            return
        order = torch.randperm(self.examples, generator=generator(self.seed, "statistics", epoch))
        _, x = self.training.batch(order[:ACTIVATIONS])
        estimate_statistics(self.inference, x, generator(self.seed, "statistics weights", epoch))

    def _steps_of(self, epoch: int, first: int) -> Iterator[Sequence[Batch]]:
        """Yield what each step of an epoch is about, from the given one on."""
        if self.inference.full_batch:
            yield self._blocks
            return
        size = self.spec.batch_size
        order = torch.randperm(self.examples, generator=generator(self.seed, "order", epoch))
        order = order[first * size : self.per_epoch * size]
        read = self.training.batches(order, size)
        for numbers, (target, x) in zip(order.split(size), read, strict=True):
            draws = generator(self.seed, "draws", self.step)
            yield [self._batch(numbers, target, x, self.step / self.total, _always(draws))]

    @cached_property
    def _blocks(self) -> list[Batch]:
        """All training pairs, read once, with the same objective at every step."""
        return [
            self._block(some) for some in torch.arange(self.examples).split(self.spec.batch_size)
        ]

    def _block(self, numbers: Tensor) -> Batch:
        """Return some training pairs; a step over all of them ends here if training is to stop."""
        target, x = self.training.batch(numbers)
        first = int(numbers[0])

        def draws() -> torch.Generator:
            self.heed()
            return generator(self.seed, "draws", first)

        return self._batch(numbers, target, x, 1.0, draws)

    def _batch(
        self,
        numbers: Tensor,
        target: Tensor,
        x: Tensor,
        progress: float,
        draws: Callable[[], torch.Generator],
    ) -> Batch:
        def objective(model: nn.Module, target: Tensor) -> Tensor:
            return self.defense.objective(model, target, x, progress, draws())

        def draw(model: nn.Module, source: torch.Generator) -> Tensor:
            return drawn_labels(model(x), source)

        return Batch(objective, target, numbers, self.seed, draw)

    def _update(self, batches: Sequence[Batch]) -> float:
        step = self._now()
        loss = self.inference.update(batches, step)
        if loss is None:
            loss = self._descend(batches[0], step)
        step.require_finite("train/loss", loss)
        self.inference.after_step(step)
        return loss.item()

    def _now(self) -> Step:
        """Return the step that comes next."""
        return Step(
            self.step,
            self.total,
            self.examples,
            self.schedule.rate(self.step),
            self.schedule.share(self.step),
            self.spec.gradient_clip,
            generator(self.seed, "weight noise", self.step),
        )

    def _descend(self, batch: Batch, step: Step) -> Tensor:
        """Take a step of Adam on the loss and return it."""
        loss = self.inference.loss(batch, step.examples, step.generator)
        step.require_finite("train/loss", loss)
        self.optimizer.zero_grad()
        loss.backward()
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        clip_norm(gradients, step.gradient_clip, step.place)
        for group in self.optimizer.param_groups:
            group["lr"] = step.rate
        self.optimizer.step()
        return loss.detach()

    def _end_epoch(self, epoch: int) -> dict[str, float]:
        metrics = {"train/loss": self._loss_sum / self.per_epoch}
        rate = self.inference.rate(self._now())
        if rate is not None:
            metrics["train/learning_rate"] = rate
        metrics |= {f"train/{name}": v for name, v in self.inference.diagnostics().items()}
        self._loss_sum = 0.0
        keeps_best = self.spec.patience is not None or self.spec.non_finite == "restore"
        judged = keeps_best or self.schedule.needs_validation
        metrics["train/nll"], objective = self._validate(of_defense=judged)
        if judged:
            metrics["train/objective"] = objective
            if self.step >= self.defense.ramp_fraction * self.total:
                self.schedule.observe(objective)
                if keeps_best:
                    self._remember(epoch, objective)
        return metrics

    def _remember(self, epoch: int, objective: float) -> None:
        if math.isnan(objective):
            return
        if self._best is None or objective > self._best.validation:
            weights = {name: v.clone() for name, v in self.inference.state_dict().items()}
            self._best = _Best(epoch, objective, weights)

    def _stops_early(self) -> bool:
        if self.spec.patience is None or self._best is None:
            return False
        last_epoch = self.step // self.per_epoch - 1
        return last_epoch - self._best.epoch >= self.spec.patience

    @torch.no_grad()
    def _validate(self, of_defense: bool) -> tuple[float, float]:
        draws = generator(self.seed, "validation")
        samples = self.inference.sample(self.inference.stored_samples, draws)
        model = self.inference.model(samples).eval()
        nll, objective = 0.0, 0.0
        for target, x in blocks(self.validation, VALIDATION_BATCH):
            nll -= model(x).log_prob(target).sum().item()
            if of_defense:
                objective += self.defense.objective(model, target, x, 1.0, draws).sum().item()
        return nll / len(self.validation), objective / len(self.validation)


def _always(draws: torch.Generator) -> Callable[[], torch.Generator]:
    """Return a function that hands over one generator, wherever its stream is."""
    return lambda: draws
