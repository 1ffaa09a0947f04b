"""What the study of certified posteriors should show, and whether what was run shows it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from certified_posteriors_results import Results, bounds
from gloeckler2023_results import markdown, number, spread

SHARE = 0.8
"""Share of the standard model's nats over the prior that a model keeps, unless an NLL is stated."""
VACUOUS = 0.9
"""A total variation above this says nothing worth stating."""
WIDTHS = ("alpha", "gamma")
WIDER = 1.5


@dataclass(frozen=True)
class Target:
    """One line of the table.

    Attributes:
        what: task and estimator in words.
        task: its name in the study.
        models: of the study; the best counts.
        ball: norm and unit.
        epsilon: radius.
        seeds: how many are wanted.
        kl: estimated bound of the KL, at most, nats.
        estimate: estimated bound of the total variation, sqrt(kl / 2) by Pinsker, at most.
        certified: certified total variation, at most.
        nll: at most; None = a share of the nats, see `SHARE`.
        above_exact: nats of NLL above the exact posterior's, at most.
        recording: whether the certificate is that at the first real observation.
        widths: whether the posterior there may be at most `WIDER` times as wide as the reference.
        undefended: whether the standard model is meant.
        known: what was known before: truth, or a prototype.
    """

    what: str
    task: str
    models: tuple[str, ...]
    ball: str
    epsilon: float
    seeds: int = 1
    kl: float | None = None
    estimate: float | None = None
    certified: float | None = None
    nll: float | None = None
    above_exact: float | None = None
    recording: bool = False
    widths: bool = False
    undefended: bool = False
    known: str = ""

    @property
    def wanted(self) -> str:
        """What is asked, in words."""
        parts = [
            _at_most("estimated TV", self.estimate),
            _at_most("estimated KL", self.kl),
            _at_most("certified TV", self.certified),
            _at_most("NLL", self.nll),
            _at_most("NLL above the exact", self.above_exact),
            f"sd of log {' and '.join(WIDTHS)} <= {WIDER:g} x reference" if self.widths else "",
            "" if self.nll is not None or self.undefended else f"{SHARE:.0%} of the nats",
        ]
        return ", ".join(part for part in parts if part)


def _gaussian(what: str, model: str, epsilon: float, known: str, **limits: float) -> Target:
    ball = "linf, feature_std"
    task = "gaussian_linear_sbibm"
    return Target(what, task, (model,), ball, epsilon, seeds=3, known=known, **limits)


_FLOWS = {"maf_one": "MAF, 1 transform", "maf_three": "MAF, 3 transforms"}
_TRUTH = {0.02: "truth 0.025", 0.1: "truth 0.126"}
_VOLTERRA = ("maf_one", "gaussian_full", "mixture")
TARGETS = (
    _gaussian("Gaussian head", "gaussian", 0.02, _TRUTH[0.02], certified=0.05, above_exact=0.1),
    _gaussian("Gaussian head", "gaussian", 0.1, _TRUTH[0.1], certified=0.2, above_exact=0.1),
    *(
        _gaussian(what, model, epsilon, _TRUTH[epsilon], estimate=estimate, certified=certified)
        for model, what in _FLOWS.items()
        for epsilon, estimate, certified in ((0.02, 0.04, 0.08), (0.1, 0.17, 0.25))
    ),
    *(
        Target(
            f"{what}, standard training",
            "gaussian_linear_sbibm",
            (f"{model}_standard",),
            "linf, feature_std",
            0.1,
            seeds=3,
            kl=0.28,
            certified=VACUOUS,
            undefended=True,
            known=f"{_TRUTH[0.1]}{prototype}",
        )
        for (model, what), prototype in zip(
            _FLOWS.items(), ("; prototype KL 0.23", ""), strict=True
        )
    ),
    *(
        Target(
            f"best of MAF, Gaussian, mixture{stretch}",
            "lotka_volterra",
            _VOLTERRA,
            "l2, within_std",
            epsilon,
            kl=kl,
            nll=nll,
            known=known,
        )
        for stretch, epsilon, kl, nll, known in (
            ("", 0.5, 0.6, -3.5, "prototype KL 0.90 at NLL -3.53, attacked 0.36"),
            ("", 1.0, 1.2, -2.5, "prototype KL 1.68 at NLL -2.57, attacked 0.65"),
            (" (stretch)", 1.0, 0.79, -4.75, ""),
        )
    ),
    Target(
        "real series",
        "lynx_hare",
        ("gaussian_squashed",),
        "linf, raw log counts",
        0.01,
        certified=0.3,
        recording=True,
        widths=True,
        known="about 0.14 by a Laplace fit",
    ),
    Target("NSF", "two_moons", ("nsf",), "linf, feature_std", 0.005, certified=VACUOUS),
    Target(
        "real recording, NSF",
        "hodgkin_huxley_cell",
        ("nsf",),
        "linf, feature_std",
        0.005,
        certified=VACUOUS,
        recording=True,
    ),
)


@dataclass(frozen=True)
class Measured:
    """One model with one defense against one target; lists hold one value per seed."""

    target: Target
    model: str
    defense: str
    certified: list[float]
    kl: list[float]
    reached: list[float]
    exact: list[float]
    nll: list[float]
    nll_exact: list[float]
    share: list[float]
    widths: list[float]

    @classmethod
    def of(cls, results: Results, target: Target, model: str, defense: str) -> Measured:
        """Read what was measured."""
        where = {"task": target.task, "model": model, "defense": defense}
        at = results.at_recording if target.recording else results.shift
        bound = "total_variation" if target.recording else "certified"
        others = ("kl_estimate", "exact", "nll", "nll_exact", "nats_share")
        kl, exact, nll, nll_exact, share = (
            results.shift(name, target.epsilon, **where) for name in others
        )
        return cls(
            target,
            model,
            defense,
            certified=at(bound, target.epsilon, **where),
            kl=[] if target.recording else kl,
            reached=at("reached", target.epsilon, **where),
            exact=exact,
            nll=nll,
            nll_exact=nll_exact,
            share=share,
            widths=results.log_sd_ratio(WIDTHS, **where) if target.widths else [],
        )

    @property
    def estimate(self) -> list[float]:
        """Estimated bound of the total variation by Pinsker's inequality."""
        return [min(1.0, math.sqrt(max(kl, 0.0) / 2)) for kl in self.kl]

    @property
    def gap(self) -> list[float]:
        """Certified bound less what the strongest attack reaches."""
        return [b - a for b, a in zip(self.certified, self.reached, strict=False)]

    @property
    def met(self) -> bool:
        """Whether every seed meets every limit; a seed without a value does not."""
        target = self.target
        limits = [
            (self.kl, target.kl),
            (self.estimate, target.estimate),
            (self.certified, target.certified),
            (self.nll, target.nll),
            (self.widths, WIDER if target.widths else None),
        ]
        if target.above_exact is not None:
            above = [a - b for a, b in zip(self.nll, self.nll_exact, strict=False)]
            limits.append((above, target.above_exact))
        if target.nll is None and not target.undefended:
            limits.append(([-share for share in self.share], -SHARE))
        wanted = 1 if target.recording else max(1, len(self.certified))
        return all(
            limit is None or (len(values) >= wanted and max(values) <= limit)
            for values, limit in limits
        )

    @property
    def order(self) -> tuple[bool, float]:
        """The best come first: those that meet the target, then the least bound."""
        values = self.kl if self.target.certified is None else self.certified
        return (not self.met, sum(values) / len(values) if values else math.inf)


def best(results: Results, target: Target) -> Measured | None:
    """Return the model and defense that count for a target, or None where nothing was run."""
    found = [
        Measured.of(results, target, model, defense)
        for model in target.models
        for defense in results.defenses(target.task, model)
        if (defense == "none") == target.undefended
    ]
    found = [one for one in found if one.certified]
    return min(found, key=lambda one: one.order, default=None)


def targets(results: Results) -> str:
    """Return the table; every line that has not been run says so."""
    header = (
        *("task", "estimator", "ball", "wanted", "estimated TV / KL", "certified TV"),
        *("attack reaches", "gap", "exact posterior", "NLL", "share of nats"),
        *("model, defense, seeds", "known before", "met"),
    )
    return f"## What was wanted\n\n{markdown(header, [list(_line(results, t)) for t in TARGETS])}"


def _line(results: Results, target: Target) -> Iterator[str]:
    yield from (target.task, target.what, f"{target.ball} {target.epsilon:g}", target.wanted)
    found = best(results, target)
    if found is None:
        yield from (*["-"] * 7, "-", target.known, "not run")
        return
    yield from (f"{spread(found.estimate)} / {spread(found.kl)}", bounds(found.certified))
    yield from (spread(found.reached), spread(found.gap), spread(found.exact))
    widths = f"; width x {spread(found.widths)}" if target.widths else ""
    yield from (spread(found.nll), spread(found.share) + widths)
    yield f"{found.model}, {found.defense}, {len(found.certified)}"
    yield from (target.known, _verdict(found))


def _verdict(found: Measured) -> str:
    seeds, wanted = len(found.certified), found.target.seeds
    few = "" if seeds >= wanted else f" ({seeds} of {wanted} seeds)"
    return ("yes" if found.met else "no") + few


def _at_most(what: str, limit: float | None) -> str:
    return "" if limit is None else f"{what} <= {number(limit)}"
