"""Draw the pictures of docs/concepts.md: balls, a total variation, attacked beside certified.

.venv/bin/python benchmarks/concepts.py [--folder docs/figures]

All curves are closed forms: a Gaussian posterior whose mean moves by r standard deviations.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from scipy.stats import norm

WIDTH, HEIGHT = 7.2, 3.0
BLUE, LIGHT, ORANGE, GRAY = "#1f5fa8", "#7fb0e0", "#d9730d", "#888888"
STDS = np.array([1.5, 0.3])
"""Standard deviations of the two features of the right panel."""
SHIFT_PER_EPSILON = 12.0
"""Posterior standard deviations that the mean moves per unit of epsilon."""
REACHED = 0.8
"""Share of the worst shift that the drawn attack finds."""
TAU = 0.2


def main() -> None:
    """Write one SVG file per picture; the same input gives the same bytes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("docs/figures"))
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"svg.hashsalt": "certibayes", "svg.fonttype": "none", "font.size": 9}
    with plt.rc_context(settings):
        for draw in (threat_model, divergence, certificate):
            figure = draw()
            figure.savefig(folder / f"{draw.__name__}.svg", metadata={"Date": None})
            plt.close(figure)


def threat_model() -> plt.Figure:
    """Return the balls of three norms, and what the unit of epsilon does to one of them."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, HEIGHT), layout="constrained")
    square = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1], [1, 1]])
    diamond = np.array([[1, 0], [0, 1], [-1, 0], [0, -1], [1, 0]])
    angle = np.linspace(0, 2 * np.pi, 200)
    left.plot(*square.T, color=BLUE, label="linf")
    left.plot(np.cos(angle), np.sin(angle), color=ORANGE, label="l2")
    left.plot(*diamond.T, color=GRAY, label="l1")
    left.set(title="norm, at radius 1", xlabel="feature 1", ylabel="feature 2")
    left.set(xlim=(-1.2, 2.2), ylim=(-1.2, 1.2))
    spread = np.random.default_rng(0).normal(size=(300, 2)) * STDS
    right.plot(*spread.T, ".", color="#d5d5d5", markersize=3, label="observations")
    right.plot(*(0.5 * square.T), color=GRAY, label="raw")
    right.plot(*(0.5 * square * STDS).T, color=BLUE, label="feature_std")
    right.set(title="unit, at epsilon 0.5", xlabel="feature 1", ylabel="feature 2")
    right.set(xlim=(-3.4, 3.4), ylim=(-2.0, 2.8))
    for axes, x_prime in ((left, (0.6, 0.35)), (right, (0.6, 0.1))):
        _points(axes, x_prime)
        axes.legend(loc="upper right", fontsize=7)
        axes.set_aspect("equal")
    return figure


def _points(axes: Axes, x_prime: tuple[float, float]) -> None:
    axes.plot(0, 0, "ko", markersize=4)
    axes.annotate("x", (0, 0), (-9, -9), textcoords="offset points")
    axes.plot(*x_prime, "k^", markersize=4)
    axes.annotate("x'", x_prime, (4, 2), textcoords="offset points")


def divergence() -> plt.Figure:
    """Return two posteriors and the area between them that is their total variation."""
    figure, axes = plt.subplots(figsize=(WIDTH, HEIGHT), layout="constrained")
    theta = np.linspace(-3.5, 5, 1000)
    clean, moved = norm.pdf(theta), norm.pdf(theta, 1.0, 1.2)
    area = float(np.trapezoid(np.clip(clean - moved, 0, None), theta))
    axes.plot(theta, clean, color=BLUE, label="q(theta | x)")
    axes.plot(theta, moved, color=ORANGE, label="q(theta | x')")
    more = clean > moved
    label = f"total variation {area:.2f}"
    axes.fill_between(theta, moved, clean, where=more, color=LIGHT, alpha=0.6, label=label)
    axes.set(xlabel="theta", ylabel="density", ylim=(0, None))
    axes.legend()
    return figure


def certificate() -> plt.Figure:
    """Return attacked, true and certified total variation over epsilon, and the three verdicts."""
    figure, axes = plt.subplots(figsize=(WIDTH, HEIGHT), layout="constrained")
    epsilon = np.linspace(0, 0.12, 300)
    shift = SHIFT_PER_EPSILON * epsilon
    certified, truth = 2 * norm.cdf(shift) - 1, 2 * norm.cdf(shift / 2) - 1
    attacked = 2 * norm.cdf(REACHED * shift / 2) - 1
    axes.plot(epsilon, certified, color=BLUE, label="certified: a worst x' for every theta")
    axes.plot(epsilon, shift / 2, color=LIGHT, label="certified: one x' for all theta")
    axes.plot(epsilon, truth, color="black", label="truth: the worst x' of the ball")
    axes.plot(epsilon, attacked, color=ORANGE, label="attacked: the x' that was found")
    axes.axhline(TAU, color=GRAY, linestyle="--", linewidth=0.8)
    axes.annotate("tau", (0.12, TAU), (-18, 3), textcoords="offset points", color=GRAY)
    proved = float(np.interp(TAU, certified, epsilon))
    disproved = float(np.interp(TAU, attacked, epsilon))
    for start, end, word in (
        (0, proved, "certified"),
        (proved, disproved, "unknown"),
        (disproved, 0.12, "refuted"),
    ):
        axes.axvspan(start, end, color=GRAY, alpha=0.12 if word == "unknown" else 0.0)
        axes.text((start + end) / 2, 0.93, word, ha="center", color=GRAY)
    axes.set(xlabel="epsilon", ylabel="total variation", ylim=(0, 1), xlim=(0, 0.12))
    axes.legend(loc="center left", fontsize=7)
    return figure


if __name__ == "__main__":
    main()
