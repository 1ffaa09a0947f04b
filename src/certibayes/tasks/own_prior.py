"""What a user calls `prior`, as one distribution over theta with event shape (theta_dim,)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Uniform, biject_to, constraints
from torch.distributions.constraints import Constraint

from certibayes.config.errors import ConfigError
from certibayes.tasks.own_random import seeded

ALLOWED = (
    "a distribution of torch.distributions with event shape (theta_dim,), or with event shape () "
    "and batch shape () or (theta_dim,); a list of such; an object with low and high, as BoxUniform"
)
DRAWS = 1_000


class Concatenated(Distribution):
    """Independent groups of parameters, one after the other; event shape (theta_dim,)."""

    arg_constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(self, parts: Sequence[Distribution]) -> None:
        """Concatenate distributions with event shapes (k,) and supports without shared bounds."""
        self.parts = tuple(parts)
        self.lengths = [part.event_shape[0] for part in parts]
        event_shape = torch.Size((sum(self.lengths),))
        super().__init__(event_shape=event_shape, validate_args=False)

    @property
    def support(self) -> Constraint:
        """The product of the parts' supports, with event dimension 1."""
        each = [_of_entries(part.support) for part in self.parts]
        return constraints.independent(constraints.cat(each, -1, self.lengths), 1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw theta, shape (*sample_shape, theta_dim), in the widest type of the parts."""
        return torch.cat([part.sample(torch.Size(sample_shape)) for part in self.parts], -1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of theta, shape (*, theta_dim), shape (*)."""
        pieces = value.split(self.lengths, -1)
        terms = [part.log_prob(v) for part, v in zip(self.parts, pieces, strict=True)]
        return torch.stack(terms).sum(0)


def as_prior(value: object) -> Distribution:
    """Return a distribution over theta with event shape (theta_dim,) and no batch shape.

    Raises:
        ConfigError: if the value is none, or if its support has no bijection from R^theta_dim.
    """
    if isinstance(value, list | tuple):
        if not value:
            raise ConfigError(f"prior: got an empty list; allowed: {ALLOWED}")
        prior: Distribution = Concatenated([_vector(part) for part in value])
    else:
        prior = _vector(value)
    _require_bijection(prior)
    return prior


def _vector(given: object) -> Distribution:
    value = given if isinstance(given, Distribution) else _box(given)
    if len(value.batch_shape) + len(value.event_shape) == 0:
        value = value.expand(torch.Size((1,)))
    if len(value.batch_shape) == 1 and len(value.event_shape) == 0:
        value = Independent(value, 1)
    if len(value.batch_shape) > 0 or len(value.event_shape) != 1:
        raise ConfigError(
            f"prior: got {type(value).__name__} with batch shape {tuple(value.batch_shape)} and "
            f"event shape {tuple(value.event_shape)}; allowed: {ALLOWED}"
        )
    return value


def _box(given: object) -> Distribution:
    low, high = getattr(given, "low", None), getattr(given, "high", None)
    if low is None or high is None:
        raise ConfigError(f"prior: got {type(given).__name__}; allowed: {ALLOWED}")
    return Uniform(torch.as_tensor(low), torch.as_tensor(high))


def _of_entries(support: Constraint | None) -> Constraint:
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    if support is None or support.event_dim > 0:
        raise ConfigError(f"prior: got the support {support}; allowed in a list: bounds per entry")
    return support


def _require_bijection(prior: Distribution) -> None:
    """Check the support on draws: continuous, onto from all of R^theta_dim, all draws inside."""
    kind = type(prior).__name__
    refusal = ConfigError(
        f"prior: got {kind} without such a support; allowed: one that torch's biject_to knows, "
        "such as a box or all real numbers"
    )
    try:
        support = prior.support
        bijection = biject_to(support)
    except NotImplementedError:
        raise refusal from None
    assert support is not None
    if support.is_discrete:
        raise ConfigError(f"prior: got {kind}, which is discrete; allowed: a density")
    if bijection.forward_shape(prior.event_shape) != prior.event_shape:
        allowed = "one of as many dimensions as theta"
        raise ConfigError(f"prior: got {kind} with support {support}; allowed: {allowed}")
    with seeded(0):
        theta = prior.sample(torch.Size((DRAWS,)))
    inside = support.check(theta)
    inside = inside.all(-1) if support.event_dim == 0 else inside
    if not inside.all() or not theta.isfinite().all():
        got = theta[int((~(inside & theta.isfinite().all(-1))).nonzero()[0])].tolist()
        raise ConfigError(f"prior: got the draw {got}; allowed: finite draws inside {support}")
