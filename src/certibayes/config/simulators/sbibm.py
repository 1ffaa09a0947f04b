"""Benchmark simulators in the conventions of sbibm (Lueckmann et al., 2021)."""

from __future__ import annotations

from typing import ClassVar, Literal

from certibayes.config.base import PositiveInt
from certibayes.config.task_spec import SimulatorSpec


class GaussianLinearSbibm(SimulatorSpec):
    """theta ~ N(0, 0.1 I), x ~ N(theta, 0.1 I), 10 to 10 (the convention of sbibm)."""

    SHARD_SIZE: ClassVar[int] = 50_000
    kind: Literal["gaussian_linear_sbibm"] = "gaussian_linear_sbibm"
    test_pairs: PositiveInt = 20_000


class TwoMoons(SimulatorSpec):
    """A crescent of x, two crescents of theta, 2 to 2 (the convention of sbibm)."""

    SHARD_SIZE: ClassVar[int] = 100_000
    kind: Literal["two_moons"] = "two_moons"
    test_pairs: PositiveInt = 10_000


class Slcp(SimulatorSpec):
    """Four Gaussian points, 5 to 8, four posterior modes (the convention of sbibm)."""

    SHARD_SIZE: ClassVar[int] = 100_000
    kind: Literal["slcp"] = "slcp"
    test_pairs: PositiveInt = 10_000


class GaussianMixture(SimulatorSpec):
    """x ~ 0.5 N(theta, I) + 0.5 N(theta, 0.01 I), 2 to 2 (the convention of sbibm)."""

    SHARD_SIZE: ClassVar[int] = 100_000
    kind: Literal["gaussian_mixture"] = "gaussian_mixture"
    test_pairs: PositiveInt = 10_000


class BernoulliGlm(SimulatorSpec):
    """Bias and filter of a spike train, 10 to 10 statistics (the convention of sbibm)."""

    SHARD_SIZE: ClassVar[int] = 100_000
    kind: Literal["bernoulli_glm"] = "bernoulli_glm"
    test_pairs: PositiveInt = 10_000


class LotkaVolterraSbibm(SimulatorSpec):
    """Predator and prey, 4 to 20 noisy counts (the convention of sbibm)."""

    SHARD_SIZE: ClassVar[int] = 25_000
    kind: Literal["lotka_volterra_sbibm"] = "lotka_volterra_sbibm"
    test_pairs: PositiveInt = 10_000


class SIRSbibm(SimulatorSpec):
    """Infected of a million, 2 to 10 counts (the convention of sbibm)."""

    SHARD_SIZE: ClassVar[int] = 25_000
    kind: Literal["sir_sbibm"] = "sir_sbibm"
    test_pairs: PositiveInt = 10_000
