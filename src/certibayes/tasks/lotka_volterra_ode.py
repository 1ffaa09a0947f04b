"""Lotka-Volterra populations in log space: a Dormand-Prince 5(4) pair with a step per trajectory.

With a = log u and b = log v the system du/dt = (alpha - beta v) u, dv/dt = (delta u - gamma) v is
da/dt = alpha - beta exp(b), db/dt = -gamma + delta exp(a): no population can reach zero or turn
negative, however deep the trough. Dormand and Prince (1980), J. Comput. Appl. Math. 6, 19-26.
"""

from __future__ import annotations

import torch
from torch import Tensor

STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
FIRST_STEP = 1e-2
SMALLEST_STEP = 1e-12
CHUNK = 4096


def log_populations(
    rates: Tensor,
    initial: Tensor,
    times: Tensor,
    tolerance: float = 1e-8,
    max_steps: int = 5_000,
) -> Tensor:
    """Return log populations (prey, predator) at given times, shape (n, 2, len(times)), float64.

    Rows are solved in chunks of fixed size, too small for torch to split over threads: the result
    does not depend on the number of threads.

    Args:
        rates: alpha, beta, gamma, delta, shape (n, 4).
        initial: prey and predator at times[0], shape (n, 2), positive.
        times: increasing times, shape (t,).
        tolerance: bound of the local error of one step, relative to 1 + |log population|.
        max_steps: a trajectory that needs more attempted steps fails.

    Returns:
        Log populations; a trajectory that fails (not finite, steps below 1e-12, too many steps) is
        NaN at all times.
    """
    alpha, beta, gamma, delta = rates.double().unbind(1)
    growth = torch.stack((alpha, -gamma))
    coupling = torch.stack((-beta, delta))
    start = initial.double().T.log()
    paths = [
        _integrate(g, c, s, times.double(), tolerance, max_steps)
        for g, c, s in zip(*(z.split(CHUNK, 1) for z in (growth, coupling, start)), strict=True)
    ]
    path = torch.cat(paths, 2).permute(2, 0, 1)
    failed = ~path.isfinite().flatten(1).all(1)
    return path.masked_fill(failed[:, None, None], torch.nan)


def _integrate(
    growth: Tensor,
    coupling: Tensor,
    start: Tensor,
    times: Tensor,
    tolerance: float,
    max_steps: int,
) -> Tensor:
    """Solve d state / dt = growth + coupling exp(swapped state); (2, n) to (2, len(times), n).

    Every trajectory has its own time and step and lands on every output time; trajectories that
    ended are dropped from the batch once they make up an eighth of it.
    """
    n = start.shape[1]
    path = start.new_full((2, len(times), n), torch.nan)
    path[:, 0] = start
    targets = torch.cat((times, times.new_full((1,), torch.inf)))
    row = torch.arange(n)
    target = torch.ones(n, dtype=torch.long)
    time = times[0].expand(n)
    step = start.new_full((n,), FIRST_STEP)
    state, slope = start, _slope(growth, coupling, start)
    for _ in range(max_steps):
        remaining = targets[target] - time
        lands = step >= remaining
        trial = torch.minimum(step, remaining)
        new_state, new_slope, error = _attempt(growth, coupling, state, slope, trial)
        size = 1 + torch.maximum(state.abs(), new_state.abs())
        ratio = (error.abs() / (tolerance * size)).amax(0)
        ratio = torch.where(ratio.isfinite(), ratio, torch.inf)
        accepted = ratio <= 1
        proposal = trial * (0.9 * ratio.pow(-0.2)).clamp(0.2, 5.0)
        lands &= accepted
        step = torch.where(lands, torch.maximum(step, proposal), proposal)
        time = torch.where(lands, targets[target], torch.where(accepted, time + trial, time))
        state = torch.where(accepted, new_state, state)
        slope = torch.where(accepted, new_slope, slope)
        path[:, target[lands], row[lands]] = state[:, lands]
        target = target + lands
        active = (target < len(times)) & (step >= SMALLEST_STEP)
        count = int(active.sum())
        if count == 0:
            break
        if count <= 0.875 * len(row):
            row, target, time, step = (z[active] for z in (row, target, time, step))
            growth, coupling, state, slope = (
                z[:, active] for z in (growth, coupling, state, slope)
            )
    return path


def _slope(growth: Tensor, coupling: Tensor, state: Tensor) -> Tensor:
    return torch.addcmul(growth, coupling, state.flip(0).exp())


def _attempt(
    growth: Tensor, coupling: Tensor, state: Tensor, slope: Tensor, step: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the state after one step, its slope (the next first stage) and the error estimate."""
    slopes = [slope]
    moved = state
    for weights in STAGES:
        moved = torch.addcmul(state, step, _combine(weights, slopes))
        slopes.append(_slope(growth, coupling, moved))
    return moved, slopes[-1], step * _combine(ERROR, slopes)


def _combine(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    total = weights[0] * slopes[0]
    for weight, slope in zip(weights[1:], slopes[1:], strict=True):
        if weight:
            total.add_(slope, alpha=weight)
    return total
