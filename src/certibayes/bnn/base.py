"""How weights are inferred: one interface around one per-example objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

PerExample = Callable[[nn.Module], Tensor]
"""Maps a conditional model at one weight vector to the batch's objectives, shape (batch,)."""

WeightSamples = dict[str, Tensor]
"""Parameter name -> stacked values, shape (samples, *parameter shape)."""

ModelBuilder = Callable[[nn.Module, WeightSamples], nn.Module]
"""Makes a conditional model from a network and weight samples, e.g. `Predictive`."""


@dataclass(frozen=True)
class Batch:
    """A `PerExample` that knows which examples it is about.

    Attributes:
        objective: maps a conditional model and targets to objectives, shape (batch,).
        target: theta, shape (batch, theta_dim), or labels, shape (batch,).
        numbers: of the examples among all N of the training set, shape (batch,).
        seed: of whatever belongs to an example for the whole of a training.
        draw: maps a conditional model and a generator to targets of the same examples that the
            model itself draws, shape of `target`.
    """

    objective: Callable[[nn.Module, Tensor], Tensor]
    target: Tensor
    numbers: Tensor
    seed: int
    draw: Callable[[nn.Module, torch.Generator], Tensor]

    def __call__(self, model: nn.Module) -> Tensor:
        """Return the objectives at a model, shape (batch,)."""
        return self.objective(model, self.target)


@dataclass(frozen=True)
class Step:
    """What a way of inferring weights knows of a step of training.

    Attributes:
        number: counted from 0.
        total: steps of the whole training.
        examples: N, the size of the training set.
        rate: of the schedule.
        share: of the schedule's largest rate, in [0, 1]: for a method with a rate of its own.
        gradient_clip: largest norm of the gradient of all weights.
        generator: source of weight noise, of this step alone.
    """

    number: int
    total: int
    examples: int
    rate: float
    share: float
    gradient_clip: float
    generator: torch.Generator

    @property
    def place(self) -> str:
        """What an error says of the step."""
        return f"at step {self.number} of {self.total}"

    def require_finite(self, key: str, value: Tensor) -> None:
        """Check a scalar of the step.

        Raises:
            FloatingPointError: if it is not finite.
        """
        if not torch.isfinite(value):
            raise FloatingPointError(
                f"{key}: got {value.item()} {self.place}; allowed: a finite number"
            )


class WeightInference(nn.Module, ABC):
    """Owns variational parameters, prior, KL and reduction; a `state_dict` is a checkpoint.

    Trained are the parameters that require a gradient. What a method needs besides `loss` and
    `sample` it states in hooks that do nothing by default: `begin`, `update`, `after_step`,
    `rate`, `diagnostics`.

    Attributes:
        full_batch: whether a step is about all training pairs, in blocks of the batch size; the
            objective is then the same function at every step: the defense at full strength, its
            draws fixed. One step is one epoch. It is left at any block if training is to stop:
            `update` changes no state before the last one.
        passing: modules and buffers that `begin` clears and that no draw after training needs.
    """

    full_batch: bool = False
    passing: tuple[str, ...] = ()

    @abstractmethod
    def loss(self, per_example: PerExample, examples: int, generator: torch.Generator) -> Tensor:
        """Return the scalar to minimize: minus mean objective, plus the prior's share per example.

        Args:
            per_example: the batch's objectives as a function of the model.
            examples: N, the size of the training set (the prior term is divided by it).
            generator: source of weight noise.
        """

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> WeightSamples:
        """Draw n weight vectors, without gradient."""

    @abstractmethod
    def model(self, samples: WeightSamples) -> nn.Module:
        """Return the conditional model of given weight samples, independent of later training."""

    @property
    @abstractmethod
    def stored_samples(self) -> int:
        """Size of the fixed, finite ensemble that predicts after training."""

    @abstractmethod
    def reset(self, generator: torch.Generator) -> None:
        """Start again at the current weights of the wrapped module.

        Args:
            generator: source of what is drawn at the start.
        """

    def begin(self) -> None:
        """Forget what was collected: training starts, from fresh weights or from trained ones."""

    def lasting_state(self) -> dict[str, Tensor]:
        """Return the state of a trained model: the `state_dict` without what is `passing`."""
        state: dict[str, Tensor] = self.state_dict()
        return {name: v for name, v in state.items() if name.split(".")[0] not in self.passing}

    def load_lasting_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over the state of a trained model; what is `passing` stays unless it is given.

        Raises:
            RuntimeError: if names or shapes differ.
        """
        own: dict[str, Tensor] = self.state_dict()
        passing = {name: v for name, v in own.items() if name.split(".")[0] in self.passing}
        self.load_state_dict({**passing, **state})

    def update(self, batches: Sequence[PerExample], step: Step) -> Tensor | None:
        """Take a step of its own and return the loss, a scalar without gradient.

        None, the default, leaves the step to the trainer: Adam on `loss`.

        Args:
            batches: the minibatch alone, or with `full_batch` the blocks of all training pairs.
            step: which step it is.
        """
        return None

    def after_step(self, step: Step) -> None:
        """Look at the weights after a step, whoever took it."""

    def rate(self, step: Step) -> float | None:
        """Return the rate of a step, None where steps have none; the schedule's by default.

        Args:
            step: which step it is; the step behind the last one asks for the last rate.
        """
        return step.rate

    def diagnostics(self) -> dict[str, float]:
        """Return what tells whether the method works, finite, reported after every epoch."""
        return {}
