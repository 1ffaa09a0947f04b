"""Seconds of a training step with each version of a defense."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable

import torch
from defense_versions import VERSIONS
from torch.distributions import constraints

from certibayes import registry
from certibayes.bnn.base import WeightInference
from certibayes.bnn.map import MAP
from certibayes.config.defenses import AnyDefense, Fisher, NoDefense
from certibayes.config.models import MAF, MAPInference, Training
from certibayes.defenses.base import Defense
from certibayes.estimators.base import Estimator
from certibayes.seeding import generator
from certibayes.threat import Scale

THETA_DIM, X_DIM = 4, 100
"""The sizes of lotka_volterra."""


class Trainee:
    """One model under training with one defense on random pairs: values decide no cost."""

    def __init__(
        self,
        inference: WeightInference,
        defense: Defense,
        target: torch.Tensor,
        x: torch.Tensor,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        training = Training()
        self.inference, self.defense = inference, defense
        self.target, self.x = target, x
        self.clip = training.gradient_clip
        self.optimizer = torch.optim.Adam(inference.parameters(), lr=training.learning_rate)
        self.step_number = 0
        self.clock = clock

    def steps(self, n: int) -> float:
        """Take n steps and return the seconds of one."""
        begin = self.clock()
        for _ in range(n):
            self.step()
        return (self.clock() - begin) / n

    def step(self) -> None:
        """Take one step."""
        draws = generator("draws", self.step_number)
        loss = self.inference.loss(
            lambda model: self.defense.objective(model, self.target, self.x, 1.0, draws),
            len(self.x),
            draws,
        )
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.inference.parameters(), self.clip)
        self.optimizer.step()
        self.step_number += 1


def maf_trainee(
    spec: NoDefense | AnyDefense,
    theta_dim: int = THETA_DIM,
    x_dim: int = X_DIM,
    clock: Callable[[], float] = time.perf_counter,
) -> Trainee:
    """Return a MAF under training.

    Every step is penalized: what `every` saves is computed, because its steps are drawn.
    """
    torch.manual_seed(0)
    estimator: Estimator = registry.load("estimator", "maf")(
        MAF(), theta_dim, x_dim, constraints.real_vector
    )
    batch, source = Training().batch_size, generator("pairs")
    theta = torch.randn(batch, theta_dim, generator=source)
    x = torch.randn(batch, x_dim, generator=source)
    if isinstance(spec, Fisher):
        spec = spec.model_copy(update={"every": 1})
    defense = registry.load("defense", spec.kind)(spec, Scale.of(x), None)
    return Trainee(MAP(estimator, MAPInference()), defense, theta, x, clock)


def measure(rounds: int, steps: int) -> dict[str, object]:
    """Return `take_turns` of all versions."""
    torch.set_num_threads(1)
    trainees = {name: maf_trainee(version.spec) for name, version in VERSIONS.items()}
    return take_turns(trainees, rounds, steps)


def take_turns(trainees: dict[str, Trainee], rounds: int, steps: int) -> dict[str, object]:
    """Let all trainees take turns in this process, so that a busy machine slows all of them.

    Args:
        trainees: by the name of their version.
        rounds: turns of every version.
        steps: steps of a turn.

    Returns:
        Seconds of a penalized step in every turn, per version, and where they were measured.
    """
    for trainee in trainees.values():
        trainee.steps(2)
    taken: dict[str, list[float]] = {name: [] for name in trainees}
    for _ in range(rounds):
        for name, trainee in trainees.items():
            taken[name].append(trainee.steps(steps))
    machine = f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}, one thread"
    return {
        "seconds": taken,
        "steps": steps,
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine,
    }
