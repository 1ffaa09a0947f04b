"""What becomes of simulations that failed: left out, filled, or the end of the job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.config.task_spec import Failures
from certibayes.simulation.tally import Reason, Tally


@dataclass(frozen=True)
class Simulated:
    """Simulations and what failed among them.

    Attributes:
        x: shape (rows, x_dim), float64; a row that is not valid is NaN.
        valid: bool, shape (rows,): rows to keep. With policy "impute" all are.
        tally: failed rows by reason.
    """

    x: Tensor
    valid: Tensor
    tally: Tally


def screen(
    theta: Tensor, x: Tensor, names: Sequence[str], name: str, failures: Failures, label: str
) -> Simulated:
    """Count what failed among pairs that exist already, and apply the policy.

    Args:
        theta: shape (rows, theta_dim).
        x: shape (rows, x_dim), float64; it is changed in place.
        names: of the parameters.
        name: of the task in the study.
        failures: what becomes of failed rows.
        label: names these pairs in messages.

    Raises:
        SimulationError: if more rows failed than allowed.
    """
    tally = Tally(label, name, len(x), failures)
    count_not_finite(tally, 0, theta, x, names)
    tally.check(len(x))
    return settle(x, tally)


def count_not_finite(
    tally: Tally, first: int, theta: Tensor, x: Tensor, names: Sequence[str]
) -> None:
    """Count the rows of x, shape (n, x_dim), that are no observations.

    A value has to be finite as float32, the precision of training.

    Args:
        tally: the counts so far.
        first: row of the first x.
        theta: shape (n, theta_dim).
        x: shape (n, x_dim).
        names: of the parameters.
    """
    for row in (~_finite(x)).any(1).nonzero().flatten().tolist():
        reason, detail = _why(x[row])
        tally.add(first + row, reason, detail, names, theta[row].tolist())


def settle(x: Tensor, tally: Tally) -> Simulated:
    """Apply the tally's policy to x, shape (rows, x_dim), in place."""
    finite = _finite(x)
    if tally.policy.policy == "impute":
        assert tally.policy.fill is not None
        x = x.masked_fill_(~finite, tally.policy.fill)
        return Simulated(x, torch.ones(len(x), dtype=torch.bool), tally)
    valid = finite.all(1)
    return Simulated(x.masked_fill_(~valid.unsqueeze(1), torch.nan), valid, tally)


def _finite(x: Tensor) -> Tensor:
    return x.float().isfinite()


def _why(x: Tensor) -> tuple[Reason, str]:
    """Return why one row, shape (x_dim,), is no observation."""
    nan = int(x.isnan().sum())
    if nan:
        return "nan", f"{nan} of {len(x)} values"
    return "infinite", f"{int((~_finite(x)).sum())} of {len(x)} values"
