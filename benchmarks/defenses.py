"""Write docs/defense_cost.md: the cost of a training step with each defense, as a ratio.

.venv/bin/python benchmarks/defenses.py

One run, one process: the defenses take turns, so that a busy machine slows all of them. Random
pairs of the size of lotka_volterra stand for simulations: values decide no cost.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path
from statistics import median

import torch
from torch.distributions import constraints

from certibayes import registry
from certibayes.bnn.map import MAP
from certibayes.config.defenses import (
    Adversarial,
    AnyDefense,
    Empirical,
    Fisher,
    NoDefense,
    NoiseAugmentation,
    RobustLikelihood,
    Trades,
)
from certibayes.config.models import MAF, MAPInference, Training
from certibayes.config.threat import PerturbationAt
from certibayes.defenses.base import Defense
from certibayes.seeding import generator
from certibayes.threat import Scale

PAGE = Path("docs/defense_cost.md")
THETA_DIM, X_DIM, BATCH = 4, 100, 256
BALL = PerturbationAt(norm="l2", unit="within_std", epsilon=1.0)
LINF = PerturbationAt(norm="linf", unit="feature_std", epsilon=0.02)
DEFENSES: dict[str, NoDefense | AnyDefense] = {
    "none": NoDefense(),
    "noise": NoiseAugmentation(perturbation=BALL),
    "fisher": Fisher(beta=0.01),
    "fisher, draw_gradient score_function, 2 draws": Fisher(
        beta=0.01, draws=2, draw_gradient="score_function"
    ),
    "fisher, draw_gradient reparametrized": Fisher(beta=0.01, draw_gradient="reparametrized"),
    "fisher, as published: reparametrized, 5 draws": Fisher(
        beta=0.01, draws=5, draw_gradient="reparametrized"
    ),
    "fisher, share 0.25": Fisher(beta=0.01, share=0.25),
    "fisher, every 4": Fisher(beta=0.01, every=4),
    "fisher, directional": Fisher(beta=0.01, trace="directional"),
    "fisher, directional, share 0.25": Fisher(beta=0.01, trace="directional", share=0.25),
    "fisher, top_eigenvalue, 4 draws": Fisher(beta=0.01, trace="top_eigenvalue", draws=4),
    "empirical": Empirical(beta=0.01),
    "adversarial, as published: 20 steps": Adversarial(perturbation=BALL),
    "adversarial, 7 steps of 0.3": Adversarial(perturbation=BALL, steps=7, step_size=0.3),
    "trades, as published: 20 steps, search reverse": Trades(
        perturbation=BALL, search_direction="reverse"
    ),
    "trades, forward, 20 steps": Trades(perturbation=BALL),
    "trades, reverse, 20 steps": Trades(perturbation=BALL, direction="reverse"),
    "trades, forward, 7 steps of 0.3": Trades(perturbation=BALL, steps=7, step_size=0.3),
    "robust_likelihood": RobustLikelihood(perturbation=LINF),
}
PUBLISHED = {
    "fisher, as published: reparametrized, 5 draws": 3.7,
    "adversarial, as published: 20 steps": 11.8,
    "trades, as published: 20 steps, search reverse": 34.0,
}


class Trainee:
    """One MAF under training with one defense."""

    def __init__(self, spec: NoDefense | AnyDefense) -> None:
        torch.manual_seed(0)
        estimator = registry.load("estimator", "maf")(
            MAF(), THETA_DIM, X_DIM, constraints.real_vector
        )
        self.inference = MAP(estimator, MAPInference())
        training = Training()
        self.clip = training.gradient_clip
        self.optimizer = torch.optim.Adam(self.inference.parameters(), lr=training.learning_rate)
        source = generator("pairs")
        self.theta = torch.randn(BATCH, THETA_DIM, generator=source)
        self.x = torch.randn(BATCH, X_DIM, generator=source)
        kind = spec.kind
        self.defense: Defense = registry.load("defense", kind)(spec, Scale.of(self.x), None)
        self.step_number = 0

    def steps(self, n: int) -> float:
        """Take n steps and return the seconds of one."""
        begin = time.perf_counter()
        for _ in range(n):
            self.step()
        return (time.perf_counter() - begin) / n

    def step(self) -> None:
        """Take one step."""
        draws = generator("draws", self.step_number)
        loss = self.inference.loss(
            lambda model: self.defense.objective(model, self.theta, self.x, 1.0, draws),
            BATCH,
            draws,
        )
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.inference.parameters(), self.clip)
        self.optimizer.step()
        self.step_number += 1


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="turns of every defense")
    parser.add_argument("--steps", type=int, default=4, help="steps of a turn")
    parser.add_argument("--output", type=Path, default=PAGE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    trainees = {name: Trainee(spec) for name, spec in DEFENSES.items()}
    for trainee in trainees.values():
        trainee.steps(1)
    taken: dict[str, list[float]] = {name: [] for name in trainees}
    for _ in range(options.rounds):
        for name, trainee in trainees.items():
            taken[name].append(trainee.steps(options.steps))
    options.output.write_text(_page(taken, options.steps), encoding="utf-8")


def _page(taken: dict[str, list[float]], steps: int) -> str:
    rounds = len(taken["none"])
    lines = [
        "# Cost of a defense",
        "",
        f"Generated by `python benchmarks/defenses.py` on {time.strftime('%Y-%m-%d')} "
        f"({os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}, one thread). "
        f"MAF of three transforms, theta {THETA_DIM}, x {X_DIM} (the sizes of `lotka_volterra`), "
        f"batch {BATCH}, random pairs: they decide no cost. {rounds} turns of {steps} steps each; "
        "the defenses take turns in one process. The ratio is that of the median turn to the "
        "median turn without a defense, in brackets that of the fastest turns; `every` compares "
        "means, because its steps differ. Published: Gloeckler et al. (2023), training time at "
        "1e5 simulations, mean over tasks and settings, early stopping included. A cost says "
        "nothing about robustness.",
        "",
        "| defense | ms per step | ratio | published |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, seconds in taken.items():
        base = taken["none"]
        if "every" in name:
            ratio = f"{sum(seconds) / sum(base):.1f}"
        else:
            ratio = f"{median(seconds) / median(base):.1f} ({min(seconds) / min(base):.1f})"
        published = PUBLISHED.get(name, "")
        lines.append(f"| {name} | {1e3 * median(seconds):.1f} | {ratio} | {published} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
