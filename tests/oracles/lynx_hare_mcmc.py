"""Reference posterior of the lynx-hare task at the real series, by Metropolis sampling.

Random-walk Metropolis in unconstrained coordinates (logs) adapts the covariance to the pooled
chains during warm-up. Afterwards everything is frozen and each iteration makes two Metropolis
steps: a random-walk step and an independence step with a multivariate Student-t proposal fitted to
the warm-up draws. Many chains advance together, because the likelihood is batched.

    python tests/oracles/lynx_hare_mcmc.py    # prints JSON, stores it
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor
from torch.distributions import biject_to

from certibayes.config.tasks import LynxHare as LynxHareSpec
from certibayes.tasks.lynx_hare import LynxHare

REFERENCE = Path(str(files("certibayes"))) / "tasks" / "lynx_hare_reference.json"
START = (0.55, 0.028, 0.8, 0.024, 30.0, 6.0, 0.3, 0.3)
DEGREES_OF_FREEDOM = 5


@dataclass(frozen=True)
class Reference:
    """Posterior summary; means and standard deviations in the task's order of parameters."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    standard_error: tuple[float, ...]
    split_r_hat: tuple[float, ...]
    effective_draws: tuple[float, ...]
    chains: int
    warm_up: int
    draws: int
    acceptance_walk: float
    acceptance_independent: float
    seed: int


class Target:
    """Unnormalized log posterior in unconstrained coordinates."""

    def __init__(self) -> None:
        self.task = LynxHare(LynxHareSpec())
        self.x = self.task.observed()
        self.bijection = biject_to(self.task.prior.support)

    def __call__(self, v: Tensor) -> Tensor:
        theta = self.bijection(v)
        return (
            self.task.prior.log_prob(theta)
            + self.bijection.log_abs_det_jacobian(v, theta)
            + self.task.log_likelihood(theta, self.x)
        )


class StudentT:
    """Multivariate Student-t proposal fitted to draws, shape (n, d)."""

    def __init__(self, draws: Tensor) -> None:
        self.mean = draws.mean(0)
        self.factor = torch.linalg.cholesky(torch.cov(draws.T))

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        size = (n, len(self.mean))
        normal = torch.randn(size, generator=generator, dtype=torch.float64)
        squares = torch.randn(n, DEGREES_OF_FREEDOM, generator=generator, dtype=torch.float64)
        stretch = (squares.square().mean(1, keepdim=True)).rsqrt()
        return self.mean + stretch * normal @ self.factor.T

    def log_prob(self, v: Tensor) -> Tensor:
        """Return the log density up to a constant."""
        white = torch.linalg.solve_triangular(self.factor, (v - self.mean).T, upper=False)
        power = (DEGREES_OF_FREEDOM + len(self.mean)) / 2
        return -power * torch.log1p(white.square().sum(0) / DEGREES_OF_FREEDOM)


def metropolis(
    v: Tensor, log_p: Tensor, new: Tensor, new_log_p: Tensor, log_ratio: Tensor, uniform: Tensor
) -> tuple[Tensor, Tensor, float]:
    """Accept or keep; a proposal whose log posterior is NaN is never accepted."""
    accepted = uniform.log() < log_ratio
    v = torch.where(accepted[:, None], new, v)
    return v, torch.where(accepted, new_log_p, log_p), float(accepted.double().mean())


def sample(chains: int, warm_up: int, draws: int, seed: int) -> tuple[Tensor, float, float]:
    """Return theta, shape (draws, chains, 8), and both acceptance rates."""
    target = Target()
    generator = torch.Generator().manual_seed(seed)

    def uniform() -> Tensor:
        return torch.rand(chains, generator=generator, dtype=torch.float64)

    start = target.bijection.inv(torch.tensor(START, dtype=torch.float64))
    spread = torch.randn(chains, len(START), generator=generator, dtype=torch.float64)
    v = start + 0.1 * spread
    log_p = target(v)
    factor = 0.02 * torch.eye(len(START), dtype=torch.float64)
    proposal = StudentT(v)
    history: list[Tensor] = []
    kept: list[Tensor] = []
    walked = jumped = 0.0
    for iteration in range(warm_up + draws):
        noise = torch.randn(v.shape, generator=generator, dtype=torch.float64)
        new = v + noise @ factor.T
        new_log_p = target(new)
        v, log_p, rate = metropolis(v, log_p, new, new_log_p, new_log_p - log_p, uniform())
        if iteration < warm_up:
            history.append(v)
            if iteration % 25 == 24:
                pooled = torch.cat(history[len(history) // 2 :])
                proposal = StudentT(pooled)
                factor = 2.38 / math.sqrt(len(START)) * proposal.factor
            continue
        walked += rate / draws
        new = proposal.sample(chains, generator)
        new_log_p = target(new)
        log_ratio = new_log_p - log_p + proposal.log_prob(v) - proposal.log_prob(new)
        v, log_p, rate = metropolis(v, log_p, new, new_log_p, log_ratio, uniform())
        jumped += rate / draws
        kept.append(target.bijection(v))
    return torch.stack(kept), walked, jumped


def diagnostics(draws: Tensor) -> tuple[Tensor, Tensor]:
    """Return split R-hat and effective number of draws per parameter (Gelman et al., 2013).

    The effective number of draws comes from the variance of the half-chain means.

    Args:
        draws: shape (draws, chains, d).
    """
    half = len(draws) // 2
    halves = torch.cat((draws[:half], draws[half : 2 * half]), 1)
    within = halves.var(0).mean(0)
    between = halves.mean(0).var(0)
    pooled = (half - 1) / half * within + between
    return (pooled / within).sqrt(), halves.shape[1] * pooled / between


def run(chains: int = 64, warm_up: int = 600, draws: int = 1_500, seed: int = 1) -> Reference:
    """Sample and summarize."""
    task = LynxHare(LynxHareSpec())
    theta, walked, jumped = sample(chains, warm_up, draws, seed)
    r_hat, effective = diagnostics(theta)
    flat = theta.flatten(0, 1)
    error = flat.std(0) / effective.sqrt()
    return Reference(
        names=task.theta_names,
        mean=tuple(flat.mean(0).tolist()),
        std=tuple(flat.std(0).tolist()),
        standard_error=tuple(error.tolist()),
        split_r_hat=tuple(r_hat.tolist()),
        effective_draws=tuple(effective.tolist()),
        chains=chains,
        warm_up=warm_up,
        draws=chains * draws,
        acceptance_walk=walked,
        acceptance_independent=jumped,
        seed=seed,
    )


if __name__ == "__main__":
    text = json.dumps(asdict(run()), indent=1)
    REFERENCE.write_text(text + "\n", encoding="utf-8")
    print(text)
