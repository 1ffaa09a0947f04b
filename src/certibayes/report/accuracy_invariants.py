"""Accuracy and verdicts, item by item: certified <= attacked <= clean."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from certibayes.report.finding import Finding, first_violation
from certibayes.report.items import Items, Method

OTHER_PREDICTIVES = ("posterior_decision", "probabilistic_safety")
"""Certificates of the whole posterior of the weights."""


def accuracy_findings(items: Items) -> Iterator[Finding]:
    """Yield what holds for labels and verdicts.

    An observation that is certified at epsilon stays correct under every attack of the same norm
    and unit with a radius up to epsilon; one that is wrong without attack is never right under
    attack, because x itself is a candidate. Of an attack on the first observations alone, those
    count. `OTHER_PREDICTIVES` do not speak of the stored ensemble that is attacked.
    """
    for certificate in items.of("certify"):
        for epsilon in items.epsilons(certificate):
            yield from _one_verdict(items, certificate, epsilon)
            if certificate.kind not in OTHER_PREDICTIVES:
                yield from _certified(items, certificate, epsilon)
    for attack in items.of("attack"):
        for epsilon in items.epsilons(attack):
            yield from _attacked(items, attack, epsilon)


def _one_verdict(items: Items, certificate: Method, epsilon: float) -> Iterator[Finding]:
    verdicts = [
        items.get(certificate, epsilon, name) for name in ("certified", "refuted", "unknown")
    ]
    flags = [verdict.astype(bool) for verdict in verdicts if verdict is not None]
    if len(flags) == len(verdicts):
        wrong = np.stack(flags).sum(0) != 1
        holds, detail = first_violation(wrong, certificate.name)
        name = "verdicts: exactly one per observation"
        yield Finding(name, holds, detail, certificate, epsilon)


def _certified(items: Items, certificate: Method, epsilon: float) -> Iterator[Finding]:
    certified = items.get(certificate, epsilon, "certified")
    clean = items.clean_correct
    if certified is None or clean is None:
        return
    violated = certified.astype(bool) & ~clean.astype(bool)
    holds, detail = first_violation(violated, certificate.name)
    yield Finding("accuracy: certified <= clean", holds, detail, certificate, epsilon)
    for attack in filter(certificate.same_ball, items.of("attack")):
        for radius in items.epsilons(attack):
            correct = items.get(attack, radius, "correct")
            if radius > epsilon or correct is None:
                continue
            attacked = certified[: len(correct)]
            violated = attacked.astype(bool) & ~correct.astype(bool)
            what = f"{certificate.name} against {attack.name} at epsilon {radius}"
            holds, detail = first_violation(violated, what)
            name = "accuracy: certified <= attacked"
            yield Finding(name, holds, detail, certificate, epsilon, attack, radius)


def _attacked(items: Items, attack: Method, epsilon: float) -> Iterator[Finding]:
    correct = items.get(attack, epsilon, "correct")
    clean = items.clean_correct
    if correct is None or clean is None:
        return
    violated = correct.astype(bool) & ~clean[: len(correct)].astype(bool)
    holds, detail = first_violation(violated, attack.name)
    yield Finding("accuracy: attacked <= clean", holds, detail, attack, epsilon, attack, epsilon)
