"""Tasks as a study file names them, with the facts that a workflow needs before any job runs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from certibayes.config.base import PositiveInt, Spec

Form = Literal["posterior", "classification"]


class TaskSpec(Spec):
    """What every task states.

    Attributes:
        form: what is inferred, theta ("posterior") or a label ("classification").
        shard_size: rows of one shard; fixed per task, so a larger budget only adds shards.
        test_pairs: test observations with their thetas or labels.
        rows: rows that exist, for a data set; None for a simulator.
    """

    form: ClassVar[Form] = "posterior"
    shard_size: ClassVar[int]
    rows: ClassVar[int | None] = None
    test_pairs: int

    def shards(self, budget: int) -> int:
        """Return how many shards a budget needs."""
        return -(-budget // self.shard_size)


class GaussianLinear(TaskSpec):
    """x = A theta + 0.1 noise, 10 to 10 (the convention of Gloeckler et al., 2023)."""

    shard_size: ClassVar[int] = 50_000
    kind: Literal["gaussian_linear"] = "gaussian_linear"
    test_pairs: PositiveInt = 20_000


class GaussianLinearSbibm(TaskSpec):
    """theta ~ N(0, 0.1 I), x ~ N(theta, 0.1 I), 10 to 10 (the convention of sbibm)."""

    shard_size: ClassVar[int] = 50_000
    kind: Literal["gaussian_linear_sbibm"] = "gaussian_linear_sbibm"
    test_pairs: PositiveInt = 20_000


class LotkaVolterra(TaskSpec):
    """Predator and prey from unit populations, 4 to 100 (Gloeckler et al., 2023)."""

    shard_size: ClassVar[int] = 25_000
    kind: Literal["lotka_volterra"] = "lotka_volterra"
    test_pairs: PositiveInt = 10_000


class SIR(TaskSpec):
    """Infected of a well-mixed population over time, 2 to 50 (Gloeckler et al., 2023)."""

    shard_size: ClassVar[int] = 25_000
    kind: Literal["sir"] = "sir"
    test_pairs: PositiveInt = 10_000


class SpatialSIR(TaskSpec):
    """An epidemic on a 30 x 30 grid, 2 to 900 (Gloeckler et al., 2023).

    Attributes:
        shared_fields: all simulations of one shard share their random fields: the published flaw,
            for comparison with published numbers; by default every simulation has its own.
    """

    shard_size: ClassVar[int] = 5_000
    kind: Literal["spatial_sir"] = "spatial_sir"
    test_pairs: PositiveInt = 2_000
    shared_fields: bool = False


class LynxHare(TaskSpec):
    """Lotka-Volterra with the Hudson's Bay pelt counts of 1900-1920 as observed input."""

    shard_size: ClassVar[int] = 100_000
    kind: Literal["lynx_hare"] = "lynx_hare"
    test_pairs: PositiveInt = 2_000


class TwoMoons(TaskSpec):
    """A crescent of x, two crescents of theta, 2 to 2 (the convention of sbibm)."""

    shard_size: ClassVar[int] = 100_000
    kind: Literal["two_moons"] = "two_moons"
    test_pairs: PositiveInt = 10_000


class Slcp(TaskSpec):
    """Four Gaussian points, 5 to 8, four posterior modes (the convention of sbibm)."""

    shard_size: ClassVar[int] = 100_000
    kind: Literal["slcp"] = "slcp"
    test_pairs: PositiveInt = 10_000


class GaussianMixture(TaskSpec):
    """x ~ 0.5 N(theta, I) + 0.5 N(theta, 0.01 I), 2 to 2 (the convention of sbibm)."""

    shard_size: ClassVar[int] = 100_000
    kind: Literal["gaussian_mixture"] = "gaussian_mixture"
    test_pairs: PositiveInt = 10_000


class BernoulliGlm(TaskSpec):
    """Bias and filter of a spike train, 10 to 10 statistics (the convention of sbibm)."""

    shard_size: ClassVar[int] = 100_000
    kind: Literal["bernoulli_glm"] = "bernoulli_glm"
    test_pairs: PositiveInt = 10_000


class Digits(TaskSpec):
    """The 1,797 8x8 images of scikit-learn, pixels in [0, 1]; the last 500 are the test set."""

    form: ClassVar[Form] = "classification"
    shard_size: ClassVar[int] = 1_297
    rows: ClassVar[int | None] = 1_297
    kind: Literal["digits"] = "digits"
    test_pairs: Literal[500] = 500


AnyTask = Annotated[
    GaussianLinear
    | GaussianLinearSbibm
    | LotkaVolterra
    | SIR
    | SpatialSIR
    | LynxHare
    | TwoMoons
    | Slcp
    | GaussianMixture
    | BernoulliGlm
    | Digits,
    Field(discriminator="kind"),
]
BUILT_IN: dict[
    str,
    type[GaussianLinear]
    | type[GaussianLinearSbibm]
    | type[LotkaVolterra]
    | type[SIR]
    | type[SpatialSIR]
    | type[LynxHare]
    | type[TwoMoons]
    | type[Slcp]
    | type[GaussianMixture]
    | type[BernoulliGlm]
    | type[Digits],
] = {
    "gaussian_linear": GaussianLinear,
    "gaussian_linear_sbibm": GaussianLinearSbibm,
    "lotka_volterra": LotkaVolterra,
    "sir": SIR,
    "spatial_sir": SpatialSIR,
    "lynx_hare": LynxHare,
    "two_moons": TwoMoons,
    "slcp": Slcp,
    "gaussian_mixture": GaussianMixture,
    "bernoulli_glm": BernoulliGlm,
    "digits": Digits,
}
