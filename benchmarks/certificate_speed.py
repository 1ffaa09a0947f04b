"""Write docs/certificate_speed.md: pairs of observation and draw that posterior_shift takes.

.venv/bin/python benchmarks/certificate_speed.py

on a machine that does nothing else, in ten minutes. One process; all kinds of bounds take turns. A
MAF of random weights is certified: weights and observations decide no cost. `--output` names
another file, `--transforms`, `--observations`, `--draws` and `--rounds` make it smaller;
`--clock cpu` measures processor time, for a busy machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
from clock import CLOCKS, DESCRIPTIONS
from torch import Tensor
from torch.distributions import constraints

from certibayes import registry
from certibayes.certificates.posterior_draws import PosteriorDraws
from certibayes.certificates.posterior_shift import PosteriorShift
from certibayes.config.certificates import PosteriorShift as PosteriorShiftSpec
from certibayes.config.models import MAF
from certibayes.config.threat import BoundedPerturbationGrid
from certibayes.estimators.base import Estimator
from certibayes.seeding import derive_seed, generator
from certibayes.threat import Ball, Scale, ThreatModel

PAGE = Path("docs/certificate_speed.md")
SIZES = {"gaussian_linear_sbibm": (10, 10), "lotka_volterra": (4, 100)}
"""Parameters and features of the tasks whose sizes are measured."""
TARGET_SIZE = "gaussian_linear_sbibm"
TRANSFORMS = (1, 3)
BALL = BoundedPerturbationGrid(norm="linf", unit="feature_std", epsilons=(0.1,))
OBSERVATIONS, DRAWS = 4, 2_000
TARGET = 2_000
"""Pairs per second, drawing and bounding, with one transform on 2 cores; every kind of bounds."""
VERSIONS = {
    "`interval`": PosteriorShiftSpec(perturbation=BALL),
    "`crown_ibp`": PosteriorShiftSpec(perturbation=BALL, bounds="crown_ibp"),
    "`crown`": PosteriorShiftSpec(perturbation=BALL, bounds="crown"),
    "`crown`, `route: best`": PosteriorShiftSpec(perturbation=BALL, bounds="crown", route="best"),
}
Key = tuple[str, int, str]


class Certified:
    """One model and one kind of bounds."""

    def __init__(
        self,
        model: Estimator,
        x: Tensor,
        version: PosteriorShiftSpec,
        draws: int,
        clock: Callable[[], float],
    ) -> None:
        numbers = {
            "draws": draws,
            "comparison_draws": min(draws, version.comparison_draws),
            "pilot_draws": max(2, draws // 10),
        }
        self.certificate = PosteriorShift(version.model_copy(update=numbers))
        self.model = model
        self.x = x
        self.clock = clock
        self.ball: Ball = ThreatModel(BALL.norm, BALL.epsilons[0], BALL.unit).ball(Scale.of(x))
        self.prepared = self._prepared()

    def prepare(self) -> float:
        """Draw theta and return the seconds."""
        begin = self.clock()
        self.prepared = self._prepared()
        return self.clock() - begin

    def certify(self) -> float:
        """Bound the shift at one radius and return the seconds."""
        begin = self.clock()
        self.certificate.certify(self.prepared, self.ball)
        return self.clock() - begin

    def _prepared(self) -> PosteriorDraws:
        return self.certificate.prepare(self.model, self.x, None, derive_seed("speed"))


def main() -> None:
    """Measure and write the page."""
    options = _options()
    torch.set_num_threads(options.threads)
    observed = {size: _observations(x_dim, options) for size, (_, x_dim) in SIZES.items()}
    subjects = {
        (size, transforms, title): Certified(
            _model(size, transforms), observed[size], version, options.draws, CLOCKS[options.clock]
        )
        for size in SIZES
        for transforms in options.transforms
        for title, version in VERSIONS.items()
    }
    drawing = dict.fromkeys(subjects, float("inf"))
    bounding = dict.fromkeys(subjects, float("inf"))
    for _ in range(options.rounds):
        for key, subject in subjects.items():
            drawing[key] = min(drawing[key], subject.prepare())
            bounding[key] = min(bounding[key], subject.certify())
    text = _page(drawing, bounding, options)
    options.output.write_text(text, encoding="utf-8")
    print(text)


def _observations(x_dim: int, options: argparse.Namespace) -> Tensor:
    return torch.randn(options.observations, x_dim, generator=generator("x")).double()


def _model(size: str, transforms: int) -> Estimator:
    torch.manual_seed(0)
    theta_dim, x_dim = SIZES[size]
    model: Estimator = registry.load("estimator", "maf")(
        MAF(transforms=transforms), theta_dim, x_dim, constraints.real_vector
    )
    return model.double().eval().requires_grad_(False)


def _page(
    drawing: dict[Key, float], bounding: dict[Key, float], options: argparse.Namespace
) -> str:
    pairs = options.observations * options.draws
    hidden = MAF().hidden
    lines = [
        "# Speed of a certificate",
        "",
        f"Generated by `python benchmarks/certificate_speed.py` on {time.strftime('%Y-%m-%d')} "
        f"({os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}, "
        f"{options.threads} thread(s), {DESCRIPTIONS[options.clock]}). "
        f"`posterior_shift` of a MAF ({hidden} hidden units, random weights: "
        f"they decide no cost) in float64, {options.observations} observations, {options.draws} "
        "draws of theta each, linf ball, one radius. Pairs of observation and draw per second, "
        f"best of {options.rounds} turns; everything takes turns in one process. "
        "*Drawing* is done once for all radii and includes pilot draws; *bounding* once per "
        "radius, pilot draws not counted as pairs.",
        "",
        "| sizes of | theta, x | transforms | `bounds` | drawing, pairs/s | bounding, pairs/s "
        "| both, pairs/s |",
        "| --- | --- | ---: | --- | ---: | ---: | ---: |",
    ]
    for key, seconds in bounding.items():
        size, transforms, title = key
        theta_dim, x_dim = SIZES[size]
        lines.append(
            f"| `{size}` | {theta_dim}, {x_dim} | {transforms} | {title} "
            f"| {pairs / drawing[key]:,.0f} | {pairs / seconds:,.0f} "
            f"| {pairs / (drawing[key] + seconds):,.0f} |"
        )
    both = [
        pairs / (drawing[key] + bounding[key]) for key in bounding if key[:2] == (TARGET_SIZE, 1)
    ]
    if not both:
        return "\n".join(lines) + "\n"
    slowest = min(both)
    verdict = "met" if slowest >= TARGET else "missed"
    lines += [
        "",
        f"Target: at least {TARGET:,} pairs per second, drawing and bounding together, with one "
        f"transform at the sizes of `{TARGET_SIZE}`, for every kind of bounds: {verdict} (slowest "
        f"{slowest:,.0f}).",
    ]
    return "\n".join(lines) + "\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="turns of everything")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--transforms", type=int, nargs="+", default=TRANSFORMS)
    parser.add_argument("--observations", type=int, default=OBSERVATIONS)
    parser.add_argument("--draws", type=int, default=DRAWS, help="of theta per observation")
    parser.add_argument("--output", type=Path, default=PAGE, help="where the page is written")
    return parser.parse_args()


if __name__ == "__main__":
    main()
