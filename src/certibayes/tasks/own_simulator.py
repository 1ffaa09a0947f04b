"""A user's own simulator: a Python file that defines `prior` and `simulate(theta)`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from certibayes.config.errors import ConfigError
from certibayes.config.simulators.own import OwnSimulator as Spec
from certibayes.tasks.base import PosteriorTask
from certibayes.tasks.own_calls import Simulate, numbers
from certibayes.tasks.own_detection import Found, find_convention
from certibayes.tasks.own_errors import WrongShapeError
from certibayes.tasks.own_module import Blame, importable, load_module
from certibayes.tasks.own_observed import as_observed
from certibayes.tasks.own_prior import as_prior
from certibayes.tasks.own_random import seed_from, seeded
from certibayes.tasks.own_repeat import require_same_draws, require_same_when_loaded_anew

log = logging.getLogger(__name__)


class OwnSimulator(PosteriorTask):
    """theta ~ `prior`, x ~ `simulate(theta)`, both defined by a file.

    How `simulate` is called is found out by `prepare`, or on the first simulation, unless the
    specification states it; x_dim and rows_per_call are known from then on. x of any shape is
    flattened.

    Attributes:
        path: the file.
    """

    def __init__(self, spec: Spec, found: Found | None = None) -> None:
        """Run the file.

        Args:
            spec: the task's settings.
            found: how `simulate` is called, if that is known already.

        Raises:
            ConfigError: if the file is missing or faulty, or its prior is of no use.
        """
        super().__init__(spec)
        self.settings = spec
        self.path = Path(spec.file)
        self._module = load_module(self.path)
        with Blame(self.path, "prior"):
            self.prior: Distribution = as_prior(self._defined("prior"))
            self._dtype = self._draws(1, 0).dtype
            require_same_draws(self._draws, self._draws)
        self._function: Callable[..., Any] = self._defined("simulate")
        if not callable(self._function):
            got = type(self._function).__name__
            raise ConfigError(f"{self.path}: simulate: got {got}; allowed: a function of theta")
        self.theta_dim = self.prior.event_shape[0]
        self.theta_names = _names(self._module, self.theta_dim, self.path)
        self._found: Found | None = None
        if found is not None:
            self._take(found)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle settings and what was found out, so that a worker process need not try again."""
        return type(self), (self.settings, self._prepared())

    def _defined(self, name: str) -> Any:
        if not hasattr(self._module, name):
            raise ConfigError(f"{self.path}: got no {name}; allowed: a file that defines it")
        return getattr(self._module, name)

    def _draws(self, n: int, seed: int) -> Tensor:
        with seeded(seed), importable(self.path.parent):
            theta: Tensor = self.prior.sample(torch.Size((n,)))
        return theta

    def prepare(self) -> None:
        """Find out how `simulate` is called and what it returns, once.

        Raises:
            ConfigError: if no way works, or if x is not reproducible.
        """
        self._prepared()

    def _prepared(self) -> Found:
        if self._found is None:
            spec = self.settings
            with importable(self.path.parent):
                found = find_convention(
                    self._function,
                    self._draws,
                    self._dtype,
                    spec.convention,
                    spec.failures.time_limit,
                    self.path,
                )
            simulate = Simulate(self._function, found.convention, self._dtype)
            require_same_when_loaded_anew(
                simulate, self._draws, spec.failures.time_limit, self.path
            )
            said = "; ".join(f"{name} {value}" for name, value in _said(found).items())
            log.info("%s: %s", self.path, said)
            self._take(found)
            return found
        return self._found

    def _take(self, found: Found) -> None:
        self._found = found
        self.x_dim = torch.Size(found.x_shape).numel()
        self.rows_per_call = 1 if found.one_row else self.settings.rows_per_call

    def findings(self) -> dict[str, str]:
        """Return convention, shape of x and why rows are simulated one by one, if they are."""
        return _said(self._prepared())

    def sample_prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta from the generator alone, shape (n, theta_dim), float64."""
        return self._draws(n, seed_from(generator)).double()

    def simulate(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate x, shape (n, x_dim), float64; what the user's code raises is not caught.

        The global generators of Python, NumPy and torch are seeded from `generator` and put back.

        Args:
            theta: parameters, shape (n, theta_dim).
            generator: the only source of randomness.

        Raises:
            TypeError: if x is not made of real numbers.
            WrongShapeError: if x has another shape than before.
        """
        found = self._prepared()
        simulate = Simulate(self._function, found.convention, self._dtype)
        rows = theta.split(1) if found.one_row else [theta]
        return torch.cat([self._call(simulate, found, row, generator) for row in rows])

    def _call(
        self, simulate: Simulate, found: Found, theta: Tensor, generator: torch.Generator
    ) -> Tensor:
        seed = seed_from(generator)
        with seeded(seed), importable(self.path.parent):
            x = numbers(simulate(theta if simulate.batched else theta[0], seed))
        expected = (len(theta), *found.x_shape)
        if x.shape != expected and (len(theta) > 1 or x.size != self.x_dim):
            raise WrongShapeError(f"simulate: got x of shape {x.shape}; allowed: {expected}")
        return torch.from_numpy(x.reshape(len(theta), -1).copy())

    def observed(self) -> Tensor | None:
        """Return what the file calls `observed`, shape (m, x_dim), float64, or None.

        Raises:
            ConfigError: if it does not have the shape of x, or is not finite.
        """
        value = getattr(self._module, "observed", None)
        if value is None:
            return None
        with Blame(self.path, "observed"):
            return as_observed(value, self._prepared().x_shape)


def _said(found: Found) -> dict[str, str]:
    flat = f", flattened to {torch.Size(found.x_shape).numel()}" if len(found.x_shape) > 1 else ""
    said = {"convention": found.convention, "x_shape": f"{found.x_shape}{flat}"}
    return said | ({"one_row_at_a_time": found.note} if found.note else {})


def _names(module: ModuleType, theta_dim: int, path: Path) -> tuple[str, ...]:
    names: Sequence[str] | None = getattr(module, "theta_names", None)
    if names is None:
        return tuple(f"theta_{number}" for number in range(1, theta_dim + 1))
    if isinstance(names, str) or len(names) != theta_dim or len(set(names)) != theta_dim:
        allowed = f"{theta_dim} different names, one per parameter"
        raise ConfigError(f"{path}: theta_names: got {names!r}; allowed: {allowed}")
    return tuple(str(name) for name in names)
