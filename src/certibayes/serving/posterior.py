"""A trained posterior under the names by which users of sbi know one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

import torch
from torch import Tensor

from certibayes.estimators.base import Estimator
from certibayes.serving.certify import CertificateAt, Configured, certify
from certibayes.serving.loaded import Loaded
from certibayes.serving.observations import Numbers, rows, single


@dataclass(eq=False)
class LoadedPosterior(Loaded):
    """q(theta | x): parameters in their own units, float64, without gradient.

    x may stand in the second place, where sbi's expected coverage (`reduce_fns=log_prob`) puts it.
    `show_progress_bars` is taken and not used: diagnostics of sbi state it. So does its
    `ActiveSubspace` read `_device`.

    Attributes:
        estimator: the float64 estimator.
        theta_names: one per parameter.
    """

    estimator: Estimator
    theta_names: tuple[str, ...]
    _device: ClassVar[str] = "cpu"
    _default: Tensor | None = field(default=None, init=False, repr=False)

    @property
    def theta_dim(self) -> int:
        """Number of parameters."""
        return len(self.theta_names)

    @property
    def default_x(self) -> Tensor | None:
        """The observation that is meant where none is stated, shape (1, x_dim), float64."""
        return self._default

    @default_x.setter
    def default_x(self, x: Numbers) -> None:
        self.set_default_x(x)

    def set_default_x(self, x: Numbers) -> Self:
        """Let `sample` and `log_prob` mean an observation where none is stated; return the model.

        Args:
            x: shape (x_dim,) or (1, x_dim), raw units.

        Raises:
            ValueError: if x is malformed or holds more than one observation.
        """
        self._default = single(x, self.x_dim).clone()
        return self

    def _one(self, x: Numbers | None) -> Tensor:
        if x is not None:
            return single(x, self.x_dim)
        if self._default is None:
            raise ValueError("x: got None; allowed: an observation, here or by `set_default_x`")
        return self._default

    def sample(
        self,
        sample_shape: Sequence[int] = (),
        x: Numbers | None = None,
        *,
        generator: torch.Generator | None = None,
        show_progress_bars: bool = False,
    ) -> Tensor:
        """Draw theta for one observation, shape (*sample_shape, theta_dim).

        Args:
            sample_shape: e.g. (1000,).
            x: shape (x_dim,) or (1, x_dim), raw units; None = `default_x`.
            generator: source of randomness; None = torch's global generator.
            show_progress_bars: not used.

        Raises:
            ValueError: if x is malformed, holds more than one observation or is stated nowhere.
        """
        return self.estimator.sample(tuple(sample_shape), x=self._one(x), generator=generator)

    def sample_batched(
        self,
        sample_shape: Sequence[int],
        x: Numbers,
        *,
        generator: torch.Generator | None = None,
        show_progress_bars: bool = False,
    ) -> Tensor:
        """Draw theta for every observation, shape (*sample_shape, batch, theta_dim).

        Args:
            sample_shape: e.g. (1000,).
            x: shape (batch, x_dim), raw units.
            generator: source of randomness; None = torch's global generator.
            show_progress_bars: not used.

        Raises:
            ValueError: if x is malformed.
        """
        x = rows(x, self.x_dim)
        return self.estimator.sample_batched(tuple(sample_shape), x=x, generator=generator)

    def log_prob(self, theta: Numbers, x: Numbers | None = None) -> Tensor:
        """Return log q(theta | x) for one observation, shape (n,); -inf off the support.

        Args:
            theta: shape (theta_dim,) or (n, theta_dim).
            x: shape (x_dim,) or (1, x_dim), raw units; None = `default_x`.

        Raises:
            ValueError: if theta or x is malformed, or x holds more than one observation or is
                stated nowhere.
        """
        return self.estimator.log_prob(rows(theta, self.theta_dim, "theta"), x=self._one(x))

    def potential(
        self, theta: Numbers, x: Numbers | None = None, *, track_gradients: bool = False
    ) -> Tensor:
        """Return `log_prob`, which sbi's `get_nltp` and `ActiveSubspace` ask for by this name.

        Args:
            theta: shape (theta_dim,) or (n, theta_dim).
            x: shape (x_dim,) or (1, x_dim), raw units; None = `default_x`.
            track_gradients: whether gradients flow back to theta.

        Raises:
            ValueError: as `log_prob`.
        """
        points = rows(theta, self.theta_dim, "theta", attached=track_gradients)
        with torch.set_grad_enabled(track_gradients):
            posterior = self.estimator(self._one(x))
            density: Tensor = posterior.log_prob(points.unsqueeze(-2)).squeeze(-1)
        return density

    def log_prob_batched(self, theta: Tensor, x: Numbers) -> Tensor:
        """Return log q(theta | x), shape (*, batch), of theta with shape (*, batch, theta_dim).

        Raises:
            ValueError: if x is malformed.
        """
        return self.estimator.log_prob_batched(theta.double(), x=rows(x, self.x_dim))

    def _certify(
        self, x: Numbers, certificates: tuple[Configured, ...], seed: int | None
    ) -> tuple[CertificateAt, ...]:
        return certify(self.estimator, rows(x, self.x_dim), None, certificates, seed)
