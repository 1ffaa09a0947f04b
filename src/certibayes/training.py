"""The training loop: one objective, one way of inferring weights, resumable at any step."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from certibayes.bnn.base import WeightInference
from certibayes.config.models import Training
from certibayes.defenses.base import Defense
from certibayes.process import Interrupted
from certibayes.rows import Pairs
from certibayes.training_loop import FitResult, Loop, State

__all__ = ["Checkpoint", "FitResult", "Interruption", "Report", "State", "fit"]

Report = Callable[[int, dict[str, float]], None]


class Checkpoint(Protocol):
    """Where a run keeps its state."""

    def save(self, state: State) -> None:
        """Store a copy; the tensors change afterwards."""
        ...

    def load(self) -> State | None:
        """Return the last stored state, or None."""
        ...


class Interruption(Protocol):
    """Whether somebody asked the process to stop."""

    @property
    def requested(self) -> bool:
        """True from the first request on."""
        ...


def fit(
    inference: WeightInference,
    defense: Defense,
    training: Pairs,
    validation: Pairs,
    spec: Training,
    *,
    seed: int,
    checkpoint: Checkpoint,
    interruption: Interruption,
    report: Report,
) -> FitResult:
    """Train in place, with a schedule of the rate and a clipped gradient norm.

    Steps are minibatch Adam's on the inference's loss, unless the inference takes its own.

    Every random choice is derived from (seed, epoch or step), so a resumed run equals an
    uninterrupted one bit by bit at an equal number of threads. With `spec.patience`, training
    stops when the defense's own validation objective at full strength (without a defense: minus
    the validation NLL) has not improved for that many epochs after the defense's ramp, and the
    best weights are restored. The schedule `plateau` judges by the same objective. A loss, a
    gradient or, in the end, a validation NLL that is not finite ends training; with
    `spec.non_finite` "restore" and a finished epoch after the ramp the best weights are restored.

    Training takes place on the device of the weights, random numbers are drawn on the CPU.

    Args:
        inference: owner of the weights.
        defense: per-example objective.
        training: pairs to learn from; the incomplete last batch of an epoch is left out.
        validation: pairs to judge by.
        spec: schedule.
        seed: source of all randomness.
        checkpoint: asked for a state at the start; saved every `spec.checkpoint_seconds`.
        interruption: looked at after every step, and at every block of a step over all pairs.
        report: called at the end of every epoch with the step and
            train/loss, train/nll (and train/objective), train/learning_rate where steps
            have one, and the inference's diagnostics, train/<name>.

    Raises:
        Interrupted: if asked to stop; the state is saved first.
        FloatingPointError: if the loss or the gradient is not finite and no weights are restored.
    """
    loop = Loop(
        inference, defense, training, validation, spec, seed, lambda: interruption.requested
    )
    state = checkpoint.load()
    if state is not None:
        loop.restore(state)
    try:
        _take_steps(loop, spec, checkpoint, report)
        return loop.finish()
    except FloatingPointError as error:
        if spec.non_finite == "fail":
            raise
        if not loop.restorable:
            raise FloatingPointError(f"{error}; no finished epoch to return to") from None
        return loop.finish(stopped=str(error))


def _take_steps(loop: Loop, spec: Training, checkpoint: Checkpoint, report: Report) -> None:
    saved = time.perf_counter()
    try:
        for metrics in loop.steps():
            if metrics is not None:
                report(loop.step, metrics)
            loop.heed()
            if time.perf_counter() - saved >= spec.checkpoint_seconds:
                checkpoint.save(loop.state())
                saved = time.perf_counter()
    except Interrupted:
        checkpoint.save(loop.state())
        raise
