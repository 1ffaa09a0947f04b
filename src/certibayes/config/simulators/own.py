"""A user's own simulator, in a file, or pairs simulated before, in a folder."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from certibayes.config.base import PositiveInt
from certibayes.config.simulators.own_files import observed_file, pairs_files, pairs_shape
from certibayes.config.task_spec import Failures, SimulatorSpec

Convention = Literal["batched_torch", "batched_numpy", "single_torch", "single_numpy"]
Bound = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class OwnSimulator(SimulatorSpec):
    """A Python file that defines `prior` and `simulate(theta)`.

    Attributes:
        file: path of the file, relative to the folder in which the study runs.
        convention: how `simulate` is called, `<batched or single>_<torch or numpy>`: theta of
            shape (n, theta_dim) or (theta_dim,); None = found out by trying.
        rows_per_call: rows that one call gets, if `simulate` is batched; otherwise it gets one.
        rows_per_shard: rows of one shard, hence of one job.
        reads: files of data that `simulate` reads; a change of one makes all shards anew.
    """

    kind: Literal["file"] = "file"
    file: str
    convention: Convention | None = None
    rows_per_call: PositiveInt = 1_000
    rows_per_shard: PositiveInt = 1_000
    reads: tuple[str, ...] = ()
    test_pairs: PositiveInt = 1_000
    failures: Failures = Failures(time_limit=60.0)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Files of data that `simulate` reads; its code counts by the code digest."""
        return self.reads

    @property
    def shard_size(self) -> int:
        """Rows of one shard."""
        return self.rows_per_shard


class OwnPairs(SimulatorSpec):
    """Pairs simulated before, as .npy, .npz or .csv; the last `test_pairs` of them are the test.

    Attributes:
        folder: path of the folder, relative to the folder in which the study runs.
        lower, upper: box that theta lies in, one number per parameter; None = unbounded.
    """

    SHARD_SIZE: ClassVar[int] = 100_000
    kind: Literal["folder"] = "folder"
    folder: str
    lower: tuple[Bound, ...] | None = None
    upper: tuple[Bound, ...] | None = None
    test_pairs: PositiveInt = 1_000

    @model_validator(mode="after")
    def _box_is_not_empty(self) -> OwnPairs:
        if self.lower is None or self.upper is None:
            return self
        if len(self.lower) != len(self.upper):
            raise ValueError(
                f"upper: got {len(self.upper)} numbers; allowed: {len(self.lower)}, as in lower"
            )
        for position, (low, high) in enumerate(zip(self.lower, self.upper, strict=True)):
            if low >= high:
                raise ValueError(f"upper.{position}: got {high}; allowed: above lower, {low}")
        return self

    @property
    def inputs(self) -> tuple[str, ...]:
        """Files of the pairs, and of the real observations beside them.

        Raises:
            ConfigError: if the folder does not hold pairs.
        """
        observed = observed_file(self.folder)
        files = pairs_files(self.folder) + (() if observed is None else (observed,))
        return tuple(str(path) for path in files)

    @property
    def rows(self) -> int | None:
        """Rows before the test pairs.

        Raises:
            ConfigError: if the folder does not hold pairs.
        """
        return pairs_shape(self.folder).rows - self.test_pairs
