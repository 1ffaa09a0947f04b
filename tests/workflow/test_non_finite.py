"""A loss that stops being finite, from the stage to its exit code and manifest."""

import math

import pytest
from forked import in_child
from in_process import load_study
from single_jobs import job_of, run_job, small_study

from certibayes.defenses.none import NoDefense
from certibayes.io import load_weights, read_json
from certibayes.journal import read

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("policy", ["fail", "restore"])
def test_the_policy_decides_between_no_model_and_the_best_one(
    small_copy, tmp_path, monkeypatch, policy
):
    plain = NoDefense.objective

    def exploding(self, model, target, x, progress, generator):
        value = plain(self, model, target, x, progress, generator)
        return value * math.nan if 0.5 < progress < 1.0 else value

    monkeypatch.setattr(NoDefense, "objective", exploding)
    values = small_study()
    values["models"]["gaussian"]["training"] |= {"epochs": 4, "non_finite": policy}
    study, layout = load_study(tmp_path, values)
    _, folder = job_of(study, layout, "train")
    for path in folder.iterdir():
        path.unlink()
    code, output = in_child(lambda: run_job(tmp_path, study, layout, "train"))
    assert "train/loss: got nan at step " in output
    assert "Traceback" not in output
    if policy == "fail":
        assert code == 1
        assert "models.gaussian: train/loss" in output
        assert "try a smaller learning_rate or gradient_clip of training, or " in output
        assert list(folder.iterdir()) == []
        return
    assert code == 0, output
    assert "weights of epoch 2, the best of 2, restored" in output
    state, manifest = load_weights(folder)
    assert all(value.isfinite().all() for value in state.values())
    (member,) = manifest["members"]
    assert member["stopped"].startswith("train/loss: got nan")
    assert (member["epochs"], member["best_epoch"]) == (2, 2)
    assert read_json(folder / "run.json")["summary"]["train/stopped"] == 1
    (journal,) = layout.state.glob("*/*.jsonl")
    assert read(journal).params["training_stopped"] == member["stopped"]
