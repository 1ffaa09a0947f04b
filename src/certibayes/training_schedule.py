"""Learning rate of every optimizer step: warm-up, then cosine, constant or plateau."""

from __future__ import annotations

import math

from certibayes.config.models import Training


class Schedule:
    """The rate as a function of the step and, for `plateau`, of the validation objectives so far.

    With s the step, S all steps and w the warm-up steps, the rate is `learning_rate` times
    min(1, (s + 1) / w) times
    cosine: (1 + cos(pi s / S)) / 2; constant: 1; plateau: 1/2 for every `plateau_epochs` epochs in
    a row without a better validation objective, counted anew after each halving.
    """

    def __init__(self, spec: Training, total: int) -> None:
        """Start before the first step.

        Args:
            spec: schedule.
            total: steps of the whole training.
        """
        self._spec = spec
        self._total = total
        self._best: float | None = None
        self._waited = 0
        self._halvings = 0

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        spec = self._spec
        rate = spec.learning_rate
        if spec.schedule == "cosine":
            rate = rate * 0.5 * (1 + math.cos(math.pi * step / self._total))
        elif spec.schedule == "plateau":
            rate = rate * 0.5**self._halvings
        if step < spec.warmup_steps:
            rate = rate * (step + 1) / spec.warmup_steps
        return rate

    def share(self, step: int) -> float:
        """Return the rate of a step as a share of `learning_rate`, in [0, 1]."""
        return self.rate(step) / self._spec.learning_rate

    @property
    def needs_validation(self) -> bool:
        """Whether `observe` wants the validation objective of every epoch."""
        return self._spec.schedule == "plateau"

    def observe(self, objective: float) -> None:
        """Take note of an epoch's validation objective; NaN is never better."""
        better = not math.isnan(objective) and (self._best is None or objective > self._best)
        if better:
            self._best = objective
            self._waited = 0
            return
        self._waited += 1
        if self._waited >= self._spec.plateau_epochs:
            self._waited = 0
            self._halvings += 1

    def state(self) -> dict[str, float | int | None]:
        """Return what a resumed run needs."""
        return {"best": self._best, "waited": self._waited, "halvings": self._halvings}

    def restore(self, state: dict[str, float | int | None]) -> None:
        """Continue from a state."""
        self._best = state["best"]
        self._waited = int(state["waited"] or 0)
        self._halvings = int(state["halvings"] or 0)
