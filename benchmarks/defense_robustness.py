"""One training with one version of a defense, and how well the result withstands an attack."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from defense_versions import VERSIONS
from torch import Tensor

from certibayes import registry
from certibayes.attacks.forward_kl import ForwardKL, forward_kl
from certibayes.bnn.map import MAP
from certibayes.config.attacks import PGD
from certibayes.config.models import MAF, MAPInference, Training
from certibayes.config.tasks import BUILT_IN
from certibayes.config.threat import PerturbationGrid
from certibayes.defenses.base import Defense
from certibayes.estimators.build import build_estimator
from certibayes.io import load_arrays, save_arrays
from certibayes.rows import Rows
from certibayes.seeding import derive_seed, generator
from certibayes.tasks.base import PosteriorTask
from certibayes.threat import Scale, ThreatModel
from certibayes.training import State, fit

TASK = "lotka_volterra"
EPSILONS = (0.5, 1.0, 2.0)
REFERENCE = 10_000
"""Observations that set the units."""
REPORTED_DRAWS = 256
VALIDATION = 0.05


@dataclass(frozen=True)
class Setting:
    """What all runs that are compared share.

    Attributes:
        budget: simulations.
        epochs: of training; every version takes the same steps.
        observations: that are attacked.
        attack_steps: of PGD with two restarts.
    """

    budget: int
    epochs: int
    observations: int
    attack_steps: int

    def file(self, folder: Path, name: str, seed: int) -> Path:
        """Return where the result of one run lies."""
        setting = f"n{self.budget}-e{self.epochs}-o{self.observations}-a{self.attack_steps}"
        return folder / f"{name}-{setting}-seed{seed}.json"


class _Unattended:
    """Training without a stored state that nobody stops."""

    requested = False

    def save(self, state: State) -> None:
        """Keep nothing."""

    def load(self) -> None:
        """Return no state."""


def train_and_attack(name: str, seed: int, setting: Setting, folder: Path) -> dict[str, Any]:
    """Train one version on lotka_volterra and attack it with PGD (l2, within_std, forward_kl).

    Args:
        name: of the version.
        seed: of weights and training; pairs and attacked observations are the same for all.
        setting: budget and effort.
        folder: where simulations are kept.

    Returns:
        Steps, seconds of training, mean NLL and, per epsilon, quantiles and mean of the KL.
    """
    torch.set_num_threads(1)
    task: PosteriorTask = registry.load("task", TASK)(BUILT_IN[TASK]())
    theta, x = _pairs(task, setting.budget, "training", folder)
    test_theta, test_x = _pairs(task, setting.observations, "test", folder)
    scale = Scale.of(_pairs(task, REFERENCE, "reference", folder)[1])
    held_out = max(1, round(VALIDATION * len(theta)))
    training = Rows(theta[held_out:].float(), x[held_out:].float())
    validation = Rows(theta[:held_out].float(), x[:held_out].float())
    torch.manual_seed(derive_seed(seed, "weights"))
    estimator = build_estimator(MAF(), task, task.x_dim)
    estimator.fit_standardization(training)
    version = VERSIONS[name]
    defense: Defense = registry.load("defense", version.spec.kind)(version.spec, scale, None)
    unattended = _Unattended()
    result = fit(
        MAP(estimator, MAPInference()),
        defense,
        training,
        validation,
        Training(epochs=setting.epochs),
        seed=derive_seed(seed, "fit"),
        checkpoint=unattended,
        interruption=unattended,
        report=lambda step, values: print(name, seed, step, values, flush=True),
    )
    estimator.eval().requires_grad_(False)
    test_x = test_x.float()
    started = time.perf_counter()
    kl = {str(e): _attacked(estimator, test_x, e, scale, setting, seed) for e in EPSILONS}
    return {
        "defense": name,
        "seed": seed,
        "steps": result.steps,
        "seconds": result.seconds,
        "attack_seconds": time.perf_counter() - started,
        "nll": -estimator(test_x).log_prob(test_theta.float()).mean().item(),
        "kl": kl,
    }


def _attacked(
    model: torch.nn.Module, x: Tensor, epsilon: float, scale: Scale, setting: Setting, seed: int
) -> dict[str, float]:
    grid = PerturbationGrid(norm="l2", unit="within_std", epsilons=(epsilon,))
    spec = PGD(objective="forward_kl", perturbation=grid, steps=setting.attack_steps)
    ball = ThreatModel("l2", epsilon, "within_std").ball(scale)
    found = registry.load("attack", "pgd")(spec).attack(
        model, x, None, ForwardKL(), ball, derive_seed("attack", seed, epsilon)
    )
    with torch.no_grad():
        fresh = generator("reported", seed, epsilon)
        kl = forward_kl(model(x), model(found.x), REPORTED_DRAWS, fresh).double()
    low, median, high = kl.quantile(torch.tensor([0.15, 0.5, 0.85], dtype=kl.dtype)).tolist()
    return {"low": low, "median": median, "high": high, "mean": kl.mean().item()}


def _pairs(task: PosteriorTask, n: int, purpose: str, folder: Path) -> tuple[Tensor, Tensor]:
    """Return n simulated pairs, float64, without the failed ones; they are kept in the folder."""
    path = folder / f"{purpose}-{n}.npz"
    if not path.exists():
        theta = task.sample_prior(n, generator(purpose, "theta"))
        x = task.simulate(theta, generator(purpose, "x"))
        save_arrays(path, {"theta": theta.numpy(), "x": x.numpy()})
    stored = load_arrays(path)
    valid = np.isfinite(stored["x"]).all(1)
    return torch.from_numpy(stored["theta"][valid]), torch.from_numpy(stored["x"][valid])
