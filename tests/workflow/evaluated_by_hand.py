"""An evaluated model whose numbers are made up: what the tracking store gets of it is real."""

from tracked import STUDY, layout_of

from certibayes.attempt import attempt
from certibayes.config.jobs import model_jobs
from certibayes.config.study import Study
from certibayes.io import write_json
from certibayes.stages.evaluate_metrics import clean_metrics, curves, headline_ball, latest

BALL = {"norm": "linf", "unit": "feature_std"}
EPSILONS = (0.01, 0.02, 0.05)


def job_of(defense):
    """Return the evaluation of one of two models: `none` and `robust`."""
    study = Study.model_validate(
        {
            "study": STUDY,
            "models": {"maf": {"estimator": {"kind": "maf"}}},
            "defenses": {
                "robust": {"kind": "robust_likelihood", "perturbation": {**BALL, "epsilon": 0.05}}
            },
            "experiments": [
                {
                    "task": "gaussian_linear",
                    "budget": 1000,
                    "model": "maf",
                    "defenses": ["none", "robust"],
                }
            ],
        }
    )
    return next(job for job in model_jobs(study) if job.defense == defense)


def table_of(defense):
    """Return a metrics.csv with one attack and one certificate."""
    import pandas as pd

    slope = 8.0 if defense == "none" else 2.0
    rows = [{"stage": "evaluate", "method": "clean", "kind": "clean", "nll": -0.75}]
    for epsilon in EPSILONS:
        ball = {**BALL, "epsilon": epsilon}
        level = {"total_variation_median": slope * epsilon, "forward_kl_median": epsilon / 2}
        rows.append({"stage": "attack", "method": "pgd", "kind": "pgd", **ball, **level})
        proved = {"total_variation_median": 2 * slope * epsilon, "certified_share": 0.5}
        about = {"stage": "certify", "method": "shift", "kind": "posterior_shift"}
        rows.append({**about, **ball, **proved})
    names = ["clip", "mask", "accuracy"]
    table = pd.DataFrame(rows)
    return table.reindex(columns=[*table.columns, *names])


def evaluate_by_hand(base, defense):
    """Track one evaluation as the stage does."""
    job, layout = job_of(defense), layout_of(base)
    folder = layout.evaluate(job)
    table = table_of(defense)
    with attempt("evaluate", job, "c0de", layout, inputs=[], outputs=folder) as run:
        for step, values in enumerate(curves(table)):
            run.metrics(values, step=step)
        run.params(headline_ball(table))
        write_json(folder / "result.json", {"defense": defense})
        run.finished(clean_metrics(table) | latest(curves(table)))
