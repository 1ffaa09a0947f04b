"""A user's own simulator, in a file, or pairs simulated before, in a folder."""

from __future__ import annotations

from typing import ClassVar, Literal

from certibayes.config.base import PositiveInt
from certibayes.config.task_spec import Failures, SimulatorSpec


class OwnSimulator(SimulatorSpec):
    """A Python file that defines `prior` and `simulate(theta)`.

    Attributes:
        file: path of the file, relative to the folder in which the study runs.
        rows_per_shard: rows of one shard, hence of one job.
    """

    kind: Literal["file"] = "file"
    file: str
    rows_per_shard: PositiveInt = 1_000
    test_pairs: PositiveInt = 1_000
    failures: Failures = Failures(time_limit=60.0)

    @property
    def shard_size(self) -> int:
        """Rows of one shard."""
        return self.rows_per_shard


class OwnPairs(SimulatorSpec):
    """Pairs simulated before, as .npy, .npz or .csv.

    Attributes:
        folder: path of the folder, relative to the folder in which the study runs.
        lower, upper: box that theta lies in, one number per parameter; None = unbounded.
    """

    SHARD_SIZE: ClassVar[int] = 100_000
    kind: Literal["folder"] = "folder"
    folder: str
    lower: tuple[float, ...] | None = None
    upper: tuple[float, ...] | None = None
    test_pairs: PositiveInt = 1_000
