"""A user's own pairs of theta and x, simulated before, in a folder."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from certibayes.config.errors import ConfigError
from certibayes.config.simulators.own import OwnPairs as Spec
from certibayes.config.simulators.own_files import observed_file, pairs_shape
from certibayes.tasks.base import StoredPairs
from certibayes.tasks.own_observed import as_observed
from certibayes.tasks.own_tables import read_pairs, read_table

ALL = slice(0, 2**31)


class OwnPairs(StoredPairs):
    """Pairs from .npy, .npz or .csv; the last `test_pairs` of them are the test pairs.

    The prior is known by the distribution of theta alone; its support is a box or all of
    R^theta_dim, as the specification says. x of any shape is flattened.
    """

    def __init__(self, spec: Spec) -> None:
        """Read the sizes of the files.

        Raises:
            ConfigError: if the folder does not hold pairs.
        """
        super().__init__(spec)
        self.settings = spec
        self.shape = pairs_shape(spec.folder)
        self.theta_dim, self.x_dim = self.shape.theta_dim, self.shape.x_dim
        numbered = tuple(f"theta_{number}" for number in range(1, self.theta_dim + 1))
        self.theta_names = self.shape.theta_names or numbered

    @property
    def support(self) -> Constraint:
        """The box that theta lies in; without `lower` and `upper`, all real numbers."""
        lower, upper = (
            None if side is None else torch.tensor(side, dtype=torch.float64)
            for side in (self.settings.lower, self.settings.upper)
        )
        each: Constraint = constraints.real
        if lower is not None and upper is not None:
            each = constraints.interval(lower, upper)
        elif lower is not None:
            each = constraints.greater_than(lower)
        elif upper is not None:
            each = constraints.less_than(upper)
        return constraints.independent(each, 1)

    def pairs(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Return theta, shape (n, theta_dim), and x, shape (n, x_dim), float64.

        A failed simulation is a row of x with NaN or infinities.

        Args:
            rows: consecutive rows, the only ones to be loaded; those that do not exist are left
                out.

        Raises:
            ConfigError: if a theta is not finite or lies outside the box.
        """
        rows = slice(*rows.indices(self.shape.rows))
        theta, x = (torch.from_numpy(part) for part in read_pairs(self.shape, rows))
        if len(theta):
            self._require_inside(theta, rows.start)
        return theta, x

    def _require_inside(self, theta: Tensor, first: int) -> None:
        inside = self.support.check(theta) & theta.isfinite().all(1)
        if not inside.all():
            row = int((~inside).nonzero()[0])
            got = f"theta {theta[row].tolist()} in row {first + row}"
            box = f"finite, above {self.settings.lower} and below {self.settings.upper}"
            allowed = box.replace("None", "no limit")
            raise ConfigError(f"folder: {self.shape.files[0]}: got {got}; allowed: {allowed}")

    def test_pairs(self) -> tuple[Tensor, Tensor]:
        """Return theta and x of the last pairs, as `pairs`."""
        return self.pairs(slice(self.shape.rows - self.settings.test_pairs, self.shape.rows))

    def observed(self) -> Tensor | None:
        """Return observed.npy or observed.csv, shape (m, x_dim), float64, or None.

        Raises:
            ConfigError: if it does not have the shape of x, or is not finite.
        """
        path = observed_file(self.settings.folder)
        if path is None:
            return None
        table = read_table(path, ALL)
        single = table.shape[1] == 1 and len(table) == self.x_dim
        try:
            return as_observed(table[:, 0] if single else table, (self.x_dim,))
        except ConfigError as error:
            raise ConfigError(f"folder: {path}: {error}") from None
