"""Run a study's stages one after the other in this process, without Snakemake."""

import yaml

from certibayes.config import load
from certibayes.config.jobs import (
    attack_job,
    base_models,
    certify_job,
    gather_jobs,
    model_job,
    model_jobs,
    report_job,
    simulate_job,
)
from certibayes.layout import Layout
from certibayes.stages import (
    attack,
    certify,
    evaluate,
    gather,
    report,
    retrain,
    simulate,
    train,
)


def load_study(folder, values):
    """Return the study and its layout below a workflow's folder."""
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(values))
    study = load(path)
    return study, Layout(folder / "results" / study.study)


def run_study(folder, values):
    """Run every job of a study and return its layout."""
    study, layout = load_study(folder, values)
    for job in gather_jobs(study):
        for shard in range(job.shards):
            simulate.run(simulate_job(study, job.task, shard), layout, "code")
        gather.run(job, layout, "code")
    for job in base_models(study):
        train.run(job, layout, "code")
    for job in model_jobs(study):
        if job.defense != "none":
            retrain.run(model_job(job), layout, "code")
        for name in job.attacks:
            attack.run(attack_job(job, name), layout, "code")
        for name in job.certificates:
            certify.run(certify_job(job, name), layout, "code")
        evaluate.run(job, layout, "code")
    report.run(report_job(study), layout, "code")
    return layout
