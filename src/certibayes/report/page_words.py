"""The words of the report's page and what each says; HTML."""

from __future__ import annotations

WORDS = (
    (
        "ball, epsilon",
        "An adversary replaces an observation x by any x' of a ball around it. Its radius epsilon "
        "means nothing without its norm and its unit: <code>raw</code>, <code>feature_std</code> "
        "(per feature) or <code>within_std</code> (one scalar per task).",
    ),
    (
        "level",
        "Posteriors: median over observations of the total variation between q(. | x) and "
        "q(. | x'), the most by which the probability of any event moves; 0 is unmoved, 1 is no "
        "guarantee; lower is better. Classifiers: accuracy; higher is better.",
    ),
    (
        "clean, noise, attacked",
        "Measured: at x, at random points of the ball, and at the worst point that any attack "
        "found. A failed attack proves nothing.",
    ),
    (
        "certified",
        "Proved for every x' of the ball, for the network in double precision; posteriors with the "
        "stated confidence over the certificate's own draws, classifiers for the stored ensemble "
        "of weight samples. Bounds are rounded against the claim.",
    ),
    (
        "verdicts",
        "Per observation: <i>certified</i> is proved, <i>refuted</i> is disproved by an attack, "
        "<i>unknown</i> is neither, and no sign of fragility.",
    ),
    (
        "[15 %, 85 %], [95 %]",
        "Posteriors: quantiles of the certified level over observations. Classifiers: interval of "
        "the certified accuracy for the population of test images (Clopper and Pearson, 1934).",
    ),
    (
        "NLL, coverage, ECE",
        "Fit and calibration. NLL: mean of -log q of the true parameters or labels, nats. "
        "Coverage: how often 90 % regions hold the truth. ECE: expected calibration error. "
        "A certificate says that an answer is stable, not that it is right: read it beside these.",
    ),
)
"""Word and meaning, in the order of the page."""
