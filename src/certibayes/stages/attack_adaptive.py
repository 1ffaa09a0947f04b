"""Adaptive checks of a gradient attack: do stronger and different attacks reach more?"""

from __future__ import annotations

import hashlib
import logging

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from certibayes.attempt import Attempt
from certibayes.config.attacks import Attack
from certibayes.config.jobs import AttackJob
from certibayes.io import load_arrays, save_arrays
from certibayes.layout import Layout
from certibayes.metrics.gain_ratio import gain_ratio
from certibayes.seeding import derive_seed
from certibayes.stages.attack_subject import Subject, undefended
from certibayes.writing import atomic

TABLE = "adaptive.csv"
ARRAYS = "adaptive.npz"
TRANSFER = "transfer"
COLUMNS = (
    "check",
    "epsilon",
    "observations",
    "draws",
    "main_median",
    "check_median",
    "main_gain",
    "check_gain",
    "ratio",
    "p_value",
    "beats",
)
"""Columns of adaptive.csv: medians of the objective and of its gain over the clean value."""

log = logging.getLogger(__name__)


def run_checks(job: AttackJob, layout: Layout, run: Attempt, attacked: np.ndarray) -> pd.DataFrame:
    """Write adaptive.csv and adaptive.npz; return the table, one row per check.

    Attack and checks are compared at the largest epsilon, on the first test observations and on
    fresh draws that selected none of the points. `beats` tells that the median gain of a check over
    the clean value is more than 1.1 times that of the attack. Finished checks are kept in the state
    folder. adaptive.npz: epsilon (), clean (n,), main (n,), and per check value/<check> (n,) and
    x/<check> (n, x_dim), float64. Without checks the table has no rows.

    Args:
        job: the attack's slice of the config.
        layout: paths of the study.
        run: the attempt whose state folder keeps what is finished.
        attacked: points of the attack at the largest epsilon, shape (n + m, x_dim).
    """
    rows, arrays = _compare(job, layout, run, attacked) if job.checks else ([], {})
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    folder = layout.attack(job, job.attack)
    with atomic(folder / TABLE) as temporary:
        table.to_csv(temporary, index=False)
    save_arrays(folder / ARRAYS, arrays)
    for row in table[table["beats"].astype(bool)].to_dict("records"):
        log.warning(
            "gradients may be masked: %s reaches %.3g times the median gain of %s at epsilon %g "
            "(sign test over observations: p = %.2g)",
            *(row["check"], row["ratio"], job.attack, row["epsilon"], row["p_value"]),
        )
    return table


def ratio_metrics(table: pd.DataFrame) -> dict[str, float]:
    """Return the largest ratio of a table of checks as a metric; nothing without checks."""
    return {} if table.empty else {"attack/adaptive_ratio_max": float(table["ratio"].max())}


def _compare(
    job: AttackJob, layout: Layout, run: Attempt, attacked: np.ndarray
) -> tuple[list[dict[str, object]], dict[str, np.ndarray]]:
    stated = job.attack_spec.adaptive_checks
    assert stated is not None
    epsilon = job.attack_spec.perturbation.epsilons[-1]
    subject = Subject(job, layout, stated.observations)
    found = {}
    for name, spec in job.checks.items():
        found[name] = _points(job, layout, run, subject, name, spec, epsilon)
        run.stop_if_asked()
    main = torch.from_numpy(attacked[: len(subject.x)])
    clean_value, main_value, *others = subject.values(
        subject.in_double(),
        [subject.x, main, *found.values()],
        stated.report_draws,
        _seed(job, epsilon, "report"),
    )
    rows: list[dict[str, object]] = []
    arrays = {"epsilon": np.array(epsilon), "clean": clean_value.numpy()}
    arrays["main"] = main_value.numpy()
    for (name, x), value in zip(found.items(), others, strict=True):
        gain = gain_ratio(clean_value, main_value, value)
        arrays |= {f"value/{name}": value.numpy(), f"x/{name}": x.numpy()}
        rows.append(
            {
                "check": name,
                "epsilon": epsilon,
                "observations": len(x),
                "draws": stated.report_draws,
                "main_median": float(main_value.nanquantile(0.5)),
                "check_median": float(value.nanquantile(0.5)),
                "main_gain": gain.main,
                "check_gain": gain.check,
                "ratio": gain.ratio,
                "p_value": gain.p_value,
                "beats": gain.beats,
            }
        )
    return rows, arrays


def _points(
    job: AttackJob,
    layout: Layout,
    run: Attempt,
    subject: Subject,
    name: str,
    spec: Attack,
    epsilon: float,
) -> Tensor:
    """Return the points of one check, shape (n, x_dim), float64; those found before, if any."""
    stated = f"{spec.model_dump_json()} {len(subject.x)} {epsilon!r}"
    path = run.state / f"check-{name}-{hashlib.sha256(stated.encode()).hexdigest()[:16]}.npz"
    if not path.exists():
        model = subject.model
        if name == TRANSFER:
            model = Subject(undefended(job), layout, len(subject.x)).model
        target = subject.target(subject.model)
        seed = _seed(job, epsilon, name)
        x, _ = subject.search(spec, model, target, subject.ball(epsilon), seed)
        save_arrays(path, {"x": x.numpy()})
    return torch.from_numpy(load_arrays(path)["x"])


def _seed(job: AttackJob, epsilon: float, purpose: str) -> int:
    return derive_seed(job.study_seed, job.task, job.seed, "adaptive", purpose, repr(epsilon))
