"""What every task states, and what a simulator states besides."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from certibayes.config.base import Fraction, Positive, PositiveInt, Spec

Form = Literal["posterior", "classification"]
FLOAT32_MAX = 3.4028234663852886e38
"""Largest number of the precision in which x is stored."""


class TaskSpec(Spec):
    """What every task states.

    Attributes:
        form: what is inferred, theta ("posterior") or a label ("classification").
        SHARD_SIZE: rows of one shard; fixed per task, so a larger budget only adds shards.
        rows: rows that exist, for a data set; None for a simulator.
        needs_decoder: whether a rule of its own must train weights before the first simulation.
        test_pairs: test observations with their thetas or labels.
    """

    form: ClassVar[Form] = "posterior"
    SHARD_SIZE: ClassVar[int]
    needs_decoder: ClassVar[bool] = False
    test_pairs: int

    @property
    def rows(self) -> int | None:
        """Rows that exist, for a data set; None for a simulator."""
        return None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Files of the user's that pairs are made from."""
        return ()

    @property
    def shard_size(self) -> int:
        """Rows of one shard."""
        return self.SHARD_SIZE

    def shards(self, budget: int) -> int:
        """Return how many shards a budget needs."""
        return -(-budget // self.shard_size)


class Failures(Spec):
    """What becomes of simulations that fail: not finite, wrong shape, an exception, a hang.

    Attributes:
        policy: "drop" leaves a failed row out; "impute" keeps it with `fill` in place of every
            value that is not finite; "error" stops at the first.
        fill: the value that "impute" writes, in raw units of x, finite as float32; given exactly
            with "impute".
        at_most: share of failed rows in a shard above which the task stops, whatever the policy.
        time_limit: seconds that one call of the simulator may take; None = no limit.
    """

    policy: Literal["drop", "impute", "error"] = "drop"
    fill: Annotated[float, Field(strict=True)] | None = None
    at_most: Fraction = 0.1
    time_limit: Positive | None = None

    @model_validator(mode="after")
    def _fill_exactly_with_impute(self) -> Failures:
        if (self.fill is None) == (self.policy == "impute"):
            allowed = "a number" if self.policy == "impute" else "no value"
            raise ValueError(
                f"fill: got {self.fill!r}; allowed with policy {self.policy!r}: {allowed}"
            )
        if self.fill is not None and not abs(self.fill) <= FLOAT32_MAX:
            allowed = f"a number that is finite as float32, up to {FLOAT32_MAX:.6g} in size"
            raise ValueError(f"fill: got {self.fill!r}; allowed: {allowed}")
        return self


class SimulatorSpec(TaskSpec):
    """A simulator: pairs are made, and some may fail.

    Attributes:
        failures: what becomes of those that fail; keys that are left out keep the task's defaults.
    """

    test_pairs: PositiveInt
    failures: Failures = Failures()

    @classmethod
    def default_failures(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Return the keys of `failures` whose defaults are the task's own.

        Args:
            values: of the task's other keys, not validated yet.
        """
        default: Failures = cls.model_fields["failures"].default
        return default.model_dump(exclude_unset=True)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_failures(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        given = values.get("failures", {})
        own = cls.default_failures(values)
        if not own or not isinstance(given, dict):
            return values
        return {**values, "failures": {**own, **given}}
