"""Ensembles through the stages: trained, defended, attacked, certified; interrupted and resumed."""

import pandas as pd
import pytest
import torch
from in_process import load_study, run_study

from certibayes.config.jobs import base_models, model_jobs
from certibayes.estimators.ensemble import EnsembleEstimator
from certibayes.io import load_weights, read_json
from certibayes.process import Interrupted
from certibayes.report.invariants import broken
from certibayes.stages import train
from certibayes.stages.building import build_task, load_model

BOX = {"norm": "linf", "unit": "feature_std"}
PIXELS = {"norm": "linf", "unit": "raw"}
TRAINING = {"epochs": 2, "batch_size": 64}
STUDY = {
    "study": "tiny",
    "models": {
        "gaussian": {
            "estimator": {"kind": "gaussian", "hidden": [12]},
            "members": 3,
            "training": TRAINING,
        },
        "deep": {"network": {"kind": "mlp", "hidden": [8]}, "members": 3, "training": TRAINING},
        "bnn": {
            "network": {"kind": "mlp", "hidden": [8]},
            "inference": {"kind": "bbb", "stored_samples": 2},
            "members": 2,
            "training": TRAINING,
        },
    },
    "defenses": {"fisher": {"kind": "fisher", "beta": 0.01}},
    "attacks": {
        "pgd": {
            "kind": "pgd",
            "objective": "forward_kl",
            "perturbation": {**BOX, "epsilons": [0.1]},
            "steps": 3,
        },
        "pixels": {
            "kind": "pgd",
            "objective": "expected_loss",
            "perturbation": {**PIXELS, "epsilons": [0.1]},
            "steps": 3,
        },
    },
    "certificates": {
        "shift": {
            "kind": "posterior_shift",
            "perturbation": {**BOX, "epsilons": [0.02]},
            "draws": 200,
            "comparison_draws": 100,
        },
        "decision": {"kind": "decision", "perturbation": {**PIXELS, "epsilons": [0.01]}},
    },
    "evaluation": {
        "observations": 5,
        "report_draws": 256,
        "coverage_draws": 50,
        "c2st_observations": 1,
        "c2st_draws": 100,
    },
    "tracking": {"mode": "off"},
    "experiments": [
        {
            "task": "gaussian_linear_sbibm",
            "budget": 400,
            "model": "gaussian",
            "defenses": ["none", "fisher"],
            "attacks": ["pgd"],
            "certificates": ["shift"],
        },
        *(
            {
                "task": "digits",
                "budget": 300,
                "model": model,
                "attacks": ["pixels"],
                "certificates": ["decision"],
            }
            for model in ("deep", "bnn")
        ),
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished tiny study; returns the workflow's folder."""
    folder = tmp_path_factory.mktemp("workflow")
    run_study(folder, STUDY)
    return folder


def one_job(study, model, defense="none"):
    return next(job for job in model_jobs(study) if (job.model, job.defense) == (model, defense))


def test_every_method_has_its_rows_and_no_invariant_is_broken(folder):
    _, layout = load_study(folder, STUDY)
    summary = pd.read_csv(layout.root / "summary.csv")
    assert broken(layout.root / "invariants.json") == []
    found = summary.groupby(["model", "defense"])["method"].agg(set).to_dict()
    for defense in ("none", "fisher"):
        assert {"clean", "pgd", "shift"} <= found["gaussian", defense]
    for model in ("deep", "bnn"):
        assert {"clean", "pixels", "decision"} <= found[model, "none"]
    shift = summary[summary["method"] == "shift"]
    assert shift["kl_certified_median"].notna().all()


def test_models_are_the_means_of_their_members(folder):
    study, layout = load_study(folder, STUDY)
    job = one_job(study, "gaussian")
    model = load_model(job, layout, build_task(job))
    assert isinstance(model, EnsembleEstimator)
    heads = [member.head.weight for member in model.estimators]
    assert len(heads) == 3
    assert not any(torch.equal(heads[0], other) for other in heads[1:])
    for name, samples in (("deep", 3), ("bnn", 4)):
        job = one_job(study, name)
        assert load_model(job, layout, build_task(job)).samples == samples


def test_the_manifest_states_what_every_member_took(folder):
    study, layout = load_study(folder, STUDY)
    base = read_json(layout.weights(one_job(study, "gaussian")) / "manifest.json")
    robust = read_json(layout.weights(one_job(study, "gaussian", "fisher")) / "manifest.json")
    assert [member["epochs"] for member in base["members"]] == [2, 2, 2]
    assert [member["best_epoch"] for member in base["members"]] == [2, 2, 2]
    assert len({member["validation_nll"] for member in base["members"]}) == 3
    assert base["steps"] == sum(member["steps"] for member in base["members"])
    assert robust["warm_start"]
    assert robust["steps"] == 2 * base["steps"]
    assert base["device"] in ("cpu", "cuda")
    run = read_json(layout.weights(one_job(study, "gaussian")) / "run.json")
    assert run["device"] == base["device"]
    assert {"train/best_epoch_member1", "train/validation_nll_member2"} <= set(run["summary"])


def test_the_first_member_is_the_single_model(folder):
    study, layout = load_study(folder, STUDY)
    job = next(job for job in base_models(study) if job.model == "gaussian")
    single = job.model_copy(update={"model_spec": job.model_spec.model_copy(update={"members": 1})})
    ensemble, _ = load_weights(layout.weights(job))
    for again in (single, job):
        train.run(again, layout, "code")
        stored, _ = load_weights(layout.weights(job))
        prefix = "member0." if again is job else ""
        first = {n.removeprefix(prefix): v for n, v in stored.items() if n.startswith(prefix)}
        for name, value in first.items():
            assert torch.equal(value, ensemble[f"member0.{name}"]), name


@pytest.mark.parametrize("stops", [(13,), (14, 2, 7)], ids=str)
def test_an_interrupted_ensemble_ends_in_the_same_weights(folder, monkeypatch, stops):
    """All stops but the last lie in the second member, which takes ten steps like the others."""
    study, layout = load_study(folder, STUDY)
    job = next(job for job in base_models(study) if job.model == "gaussian")
    expected, manifest = load_weights(layout.weights(job))
    assert manifest["members"][0]["steps"] == 10
    looks = []
    for stop in stops:
        looks.clear()
        monkeypatch.setattr(
            "certibayes.process.Interruption.requested",
            property(lambda self, stop=stop: looks.append(0) or len(looks) >= stop),
        )
        with pytest.raises(Interrupted, match="training stopped at step"):
            train.run(job, layout, "code")
        monkeypatch.undo()
    train.run(job, layout, "code")
    found, again = load_weights(layout.weights(job))
    assert [member["steps"] for member in again["members"]] == [10, 10, 10]
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name
    assert read_json(layout.weights(job) / "run.json")["attempt"] > 1
