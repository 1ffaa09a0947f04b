"""Tables of docs/wicker2021.md: every method and regime, certified and calibrated."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from gloeckler2023_results import markdown
from wicker2021_results import Results, average, interval, known, share

FIRST = ("map", "ensemble")
"""Inferences that stand first in every table."""
RADII = {"mnist": 0.1, "fashion_mnist": 0.1, "cifar10": 0.00784314}
STRONG = {"mnist": "strong", "fashion_mnist": "strong", "cifar10": "strong_color"}
QUICK = {"mnist": "quick", "fashion_mnist": "quick", "cifar10": "quick_color"}
ATTACKED = ("nll", "ece", "outside_entropy_auroc", "outside_attacked_entropy_auroc")
"""Columns of attack rows."""
WHOLE = {
    "posterior_decision": ("true predictive", "the mean over the posterior decides for the label"),
    "probabilistic_safety": ("safe weights", "all but a share tau of the networks decide for it"),
}
"""Certificates of the posterior of the weights, and what they say."""
INFORMATION = "outside_information_auroc"
QUESTIONS = {
    "nll": ("NLL", -1),
    "ece": ("ECE", -1),
    "outside_entropy_auroc": ("AUROC, entropy", 1),
    INFORMATION: ("AUROC, information", 1),
}
"""Column -> what it is called, and whether more is better."""


def robustness(results: Results) -> str:
    """Return accuracy clean, attacked and certified of every model, by data set and network."""
    header = (
        *("model", "inferred by", "KL weight", "training", "clean", "quick attack, all"),
        *("strong attack, 1,000", "certified", "median radius", "mean network"),
        *("std / mean", "disagreement", "training, s"),
    )
    parts = []
    for task in dict.fromkeys(one.task for one in results.jobs):
        for network in _networks(results, task):
            rows = [
                _robust(results, task, model, defense)
                for model, defense in _combinations(results, task, network)
            ]
            if rows:
                title = f"### {task}, {network}, epsilon {RADII[task]:.3g}"
                parts.append(f"{title}\n\n{markdown(header, rows)}")
    text = (
        "Shares with 95 % intervals over images (Clopper and Pearson, 1934), over the first 1,000 "
        "for the strong attack (50 steps, 5 restarts, margin of the mean predictive), over all for "
        "the others. `mean network`: clean accuracy of the network at the mean of the weights. The "
        "deterministic twin (`map`) and the deep ensemble stand first."
    )
    return "\n\n".join(["## Clean, attacked, certified", text, *parts])


def _robust(results: Results, task: str, model: str, defense: str) -> list[str]:
    spec = results.study.models[model].inference
    weight = getattr(spec, "kl_weight", None)
    named = [f"`{model}`", spec.kind, "-" if weight is None else f"{weight:g}", defense]
    clean = results.clean(task, model, defense)
    epsilon, where = RADII[task], (task, model, defense)
    certified = results.certified(*where, epsilon)
    return [
        *named,
        share(clean),
        share(results.attacked(*where, QUICK[task], epsilon)),
        share(results.attacked(*where, STRONG[task], epsilon)),
        share(certified),
        _number(certified, "radius_median"),
        share(clean, "mean_network_accuracy"),
        _number(clean, "weight_std"),
        _number(clean, "disagreement"),
        f"{average(clean, 'train_seconds'):.0f}",
    ]


def calibration(results: Results) -> str:
    """Return what certified training does to likelihood, calibration and foreign inputs."""
    header = (
        *("data", "model", "training", "NLL", "ECE", "AUROC, entropy", "AUROC, information"),
        *("likelihood ratio", "NLL attacked", "ECE attacked", "AUROC, own attacked"),
        "AUROC, foreign attacked",
    )
    rows, answers = [], []
    for task in dict.fromkeys(one.task for one in results.jobs):
        for network in _networks(results, task):
            for model, defense in _combinations(results, task, network):
                if defense != "none" and not _certifies(results, defense):
                    continue
                rows.append(_calibrated(results, task, model, defense))
                if defense != "none":
                    answers += _answers(results, task, model, defense)
    questions = ("data", "model", "training", "of", "standard", "certified", "helps")
    text = (
        "Against foreign inputs (`evaluation.outside` of the study): probability that a foreign "
        "input has the larger entropy, or mutual information of label and weights. *helps*: the "
        "95 % intervals over images of standard and certified training lie apart, in the right "
        "direction (yes), in the wrong one (no), or overlap (not told). One seed where a line has "
        "an interval, so seeds may differ by more. Attacked: by the quick attack at the radius; "
        "AUROC of the entropy, own inputs attacked against clean foreign ones, and clean own ones "
        "against foreign inputs that were attacked until the model was sure."
    )
    return "\n\n".join(
        [
            "## Does certified training help calibration?",
            text,
            _tally(answers),
            *([markdown(questions, answers)] if answers else []),
            *(["### All numbers", markdown(header, rows)] if rows else []),
        ]
    )


def _calibrated(results: Results, task: str, model: str, defense: str) -> list[str]:
    clean = results.clean(task, model, defense)
    attacked = results.attacked(task, model, defense, QUICK[task], RADII[task])
    return [
        *(task, f"`{model}`", defense),
        *(interval(clean, column) if _varies(clean, column) else "-" for column in QUESTIONS),
        _number(clean, "outside_likelihood_ratio"),
        *(interval(attacked, column) for column in ATTACKED),
    ]


def _answers(results: Results, task: str, model: str, defense: str) -> Iterator[list[str]]:
    standard = results.clean(task, model, "none")
    certified = results.clean(task, model, defense)
    for column, (name, sign) in QUESTIONS.items():
        if not _varies(standard, column) or not _varies(certified, column):
            continue
        before, after = _ends(standard, column), _ends(certified, column)
        answer = "not told"
        if before[1] < after[0]:
            answer = "yes" if sign > 0 else "no"
        elif after[1] < before[0]:
            answer = "no" if sign > 0 else "yes"
        values = (interval(standard, column), interval(certified, column))
        yield [task, f"`{model}`", defense, name, *values, answer]


def _varies(rows: pd.DataFrame, column: str) -> bool:
    """Tell whether a column is known and says something: one network alone has no information."""
    alone = column == INFORMATION and not any(known(rows, "mutual_information"))
    return bool(known(rows, column)) and not alone


def _ends(rows: pd.DataFrame, column: str) -> tuple[float, float]:
    """Return the ends of the interval of one seed, the range of several."""
    values = known(rows, column)
    if len(values) > 1:
        return min(values), max(values)
    low, high = known(rows, f"{column}_low"), known(rows, f"{column}_high")
    return (low[0], high[0]) if low and high else (values[0], values[0])


def _tally(answers: list[list[str]]) -> str:
    lines = []
    for name, _ in QUESTIONS.values():
        found = [row[-1] for row in answers if row[3] == name]
        if found:
            counts = ", ".join(f"{word} {found.count(word)}" for word in ("yes", "no", "not told"))
            lines.append(f"- {name}: {counts}, of {len(found)}.")
    return "\n".join(lines) if lines else "No pair of standard and certified training was run."


def posterior(results: Results) -> str:
    """Return what is certified of the whole posterior, beside the stored ensemble."""
    rows = []
    for kind, (title, note) in WHOLE.items():
        for job in results.jobs:
            if all(spec.kind != kind for spec in job.certificates.values()):
                continue
            where = (job.task, job.model, job.defense)
            found = results.rows(*where, kind=kind)
            for epsilon in sorted(set(known(found, "epsilon"))):
                part = found[found["epsilon"] == epsilon]
                stored = share(results.certified(*where, epsilon))
                named = (title, job.task, f"`{job.model}`", job.defense, f"{epsilon:g}")
                row = [*named, stored, share(part), note]
                if row not in rows:
                    rows.append(row)
    header = ("certificate", "data", "model", "training", "epsilon", "stored", "certified", "says")
    text = "Shares of all test images that are certified, with 95 % intervals over images."
    table = markdown(header, rows) if rows else "None was run."
    return f"## The whole posterior\n\n{text}\n\n{table}"


def left_out(results: Results) -> str:
    """Return what of the study was not run; nothing if all of it was."""
    missing: dict[tuple[str, str], dict[str, None]] = {}
    for job in results.jobs:
        if results.clean(job.task, job.model, job.defense).empty:
            missing.setdefault((job.task, job.model), {})[job.defense] = None
    rows = [[task, f"`{model}`", ", ".join(names)] for (task, model), names in missing.items()]
    return f"## Not run\n\n{markdown(('data', 'model', 'training'), rows)}" if rows else ""


def _networks(results: Results, task: str) -> list[str]:
    return list(dict.fromkeys(_network(one.model) for one in results.jobs if one.task == task))


def _network(model: str) -> str:
    return model.partition("_")[0]


def _combinations(results: Results, task: str, network: str) -> list[tuple[str, str]]:
    """Return what was run of one network, training by training, the twin first."""
    found = dict.fromkeys(
        (one.model, one.defense)
        for one in results.jobs
        if one.task == task
        and _network(one.model) == network
        and not results.clean(task, one.model, one.defense).empty
    )
    defenses = list(dict.fromkeys(defense for _, defense in found))

    def order(pair: tuple[str, str]) -> tuple[int, int]:
        kind = results.study.models[pair[0]].inference.kind
        return defenses.index(pair[1]), FIRST.index(kind) if kind in FIRST else len(FIRST)

    return sorted(found, key=order)


def _certifies(results: Results, defense: str) -> bool:
    spec = results.study.defenses[defense]
    return spec.kind == "robust_likelihood" and spec.bounds != "attack"


def _number(rows: pd.DataFrame, column: str) -> str:
    return f"{average(rows, column):.3g}" if known(rows, column) else "-"
