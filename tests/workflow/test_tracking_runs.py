import argparse
import json

import numpy as np
import pytest
from tracked import STUDY, history_of, layout_of, make_job, one_attempt, runs, synchronize

from certibayes.attempt import attempt
from certibayes.commands import trace
from certibayes.config.tracking import Tracking
from certibayes.io import save_arrays, save_weights, sha256_of
from certibayes.journal import read
from certibayes.process import Interrupted


def test_a_finished_attempt_is_one_complete_child_run(base):
    source = base / "results" / STUDY / "in.npz"
    save_arrays(source, {"x": np.arange(3)})
    job = make_job()
    layout, folder = layout_of(base), layout_of(base).reference(job)
    with attempt("simulate", job, "c0de", layout, inputs=[source], outputs=folder) as run:
        run.params({"extra": 4})
        for step in range(2500):
            run.metrics({"train/loss": float(step)}, step)
        import torch

        save_weights(folder, {"w": torch.ones(2)}, {"steps": 1})
        (folder / "figure.svg").write_text("<svg/>")
        run.artifact(folder / "figure.svg")
        run.finished({"train/steps": 2500})
    (child,), (parent,) = runs(base)
    tags, params = child.data.tags, child.data.params
    assert child.info.status == "FINISHED"
    assert child.info.end_time >= child.info.start_time
    assert tags["mlflow.parentRunId"] == parent.info.run_id
    assert (tags["stage"], tags["task"], tags["attempt"]) == ("simulate", "digits", "1")
    assert tags["output.figure.svg"] == sha256_of(folder / "figure.svg")
    assert {"host", "pid", "job_key", "snakemake_version", "torch_version"} <= set(tags)
    assert params["extra"] == "4"
    assert params["task_spec.kind"] == "digits"
    assert params["study_seed"] == "0"
    assert not [name for name in params if name.startswith("tracking")]
    history = history_of(base, child.info.run_id, "train/loss")
    assert history == [(step, float(step)) for step in range(2500)]
    (given,) = child.inputs.dataset_inputs
    assert given.dataset.name == f"results/{STUDY}/in.npz"
    assert given.dataset.digest == sha256_of(source)[:36]
    assert [(tag.key, tag.value) for tag in given.tags] == [("mlflow.data.context", "simulate")]
    stored = base / "mlartifacts" / STUDY / child.info.run_id / "artifacts"
    assert {p.name for p in stored.iterdir()} == {
        "weights.safetensors",
        "manifest.json",
        "figure.svg",
    }
    content = json.loads((folder / "run.json").read_text())
    assert content["run_id"] == child.info.run_id
    assert content["key"] == run.key == tags["job_key"]
    assert content["stage"] == "simulate"
    assert content["code"] == "c0de"
    assert content["inputs"] == {f"results/{STUDY}/in.npz": sha256_of(source)}
    assert set(content["outputs"]) == {"weights.safetensors", "manifest.json", "figure.svg"}
    assert content["outputs"]["figure.svg"] == sha256_of(folder / "figure.svg")
    assert content["summary"] == {"train/steps": 2500.0}
    assert (content["attempt"], content["resumed_from"]) == (1, None)
    assert content["seconds"] > 0
    pickles = [p for p in base.rglob("*") if p.suffix in (".pkl", ".pickle", ".pt", ".pth")]
    assert pickles == []


def test_the_key_depends_on_everything_that_decides_the_result_and_on_nothing_else(base):
    source = base / "results" / STUDY / "in.txt"
    source.parent.mkdir(parents=True)
    source.write_text("a")

    def key(stage="simulate", code="c", inputs=(source,), **changes):
        job, layout = make_job(**changes), layout_of(base)
        return attempt(stage, job, code, layout, inputs=inputs, outputs=layout.reference(job)).key

    first = key()
    assert key() == first
    assert key(tracking=Tracking(mode="off")) == first
    others = [key(stage="other"), key(code="d"), key(inputs=()), key(study_seed=1)]
    source.write_text("b")
    others.append(key())
    assert len({first, *others}) == 6


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, "FAILED"), (Interrupted, "KILLED"), (SystemExit, "KILLED")]
)
def test_an_exception_ends_the_run_and_leaves_no_run_json(base, error, status):
    layout, job = layout_of(base), make_job()
    with (
        pytest.raises(error, match="reason"),
        attempt("simulate", job, "c", layout, inputs=[], outputs=layout.reference(job)),
    ):
        raise error("reason")
    (child,), _ = runs(base)
    assert child.info.status == status
    assert child.data.tags["error"] == f"{error.__name__}: reason"
    assert not (layout.reference(job) / "run.json").exists()
    one_attempt(base, code="c")
    assert [run.info.status for run in runs(base)[0]] == [status, "FINISHED"]


def test_an_untracked_job_writes_run_json_and_no_run(base, monkeypatch):
    _, content = one_attempt(base, tracked=False)
    assert content["run_id"] is None
    assert content["outputs"]
    assert synchronize(base, monkeypatch, {}) == 0
    assert runs(base)[0] == []


def test_tracking_off_touches_nothing(tmp_path):
    _, content = one_attempt(tmp_path, job=make_job(Tracking(mode="off")))
    assert content["run_id"] is None
    assert {p.name for p in tmp_path.iterdir()} == {"results"}


def test_long_values_are_cut_to_what_mlflow_takes(base):
    layout, job = layout_of(base), make_job()
    with attempt("simulate", job, "c", layout, inputs=[], outputs=layout.reference(job)) as run:
        run.params({"long": "x" * 10_000, **{f"p{i}": i for i in range(250)}})
        run.metrics({"huge": float("inf"), "nothing": float("nan")}, 0)
    (child,), _ = runs(base)
    assert len(child.data.params["long"]) == 6000
    assert child.data.params["p249"] == "249"
    journal = next(layout.state.glob("*/*.jsonl"))
    assert read(journal).params["long"] == "x" * 10_000


def test_the_study_that_a_run_belongs_to_is_recorded_and_compared(base, capsys):
    layout = layout_of(base)
    layout.root.mkdir(parents=True)
    layout.study_file.write_text("{}")
    _, content = one_attempt(base)
    (child,), _ = runs(base)
    digest = sha256_of(layout.study_file)
    assert content["config_digest"] == child.data.tags["config_digest"] == digest
    folder = layout.reference(make_job())
    trace.main(argparse.Namespace(file=folder))
    assert f"{digest[:16]} (study.json: the same)" in capsys.readouterr().out
    layout.study_file.write_text("{} ")
    trace.main(argparse.Namespace(file=folder))
    assert "(study.json: another study by now)" in capsys.readouterr().out


def test_trace_leads_from_a_file_to_its_run_and_notices_changes(base, capsys):
    source = base / "results" / STUDY / "in.txt"
    source.parent.mkdir(parents=True)
    source.write_text("a")
    run, content = one_attempt(base, inputs=[source])
    folder = layout_of(base).reference(make_job())
    assert trace.main(argparse.Namespace(file=folder / "result.txt")) == 0
    printed = capsys.readouterr().out
    for part in (content["run_id"], run.key, "simulate", "in.txt", "result.txt", "same"):
        assert part in printed
    assert "config       none" in printed
    (folder / "other.txt").write_text("not of this run")
    assert trace.main(argparse.Namespace(file=folder / "other.txt")) == 2
    assert "no output of the run" in capsys.readouterr().err
    source.write_text("b")
    assert trace.main(argparse.Namespace(file=folder / "run.json")) == 1
    assert "CHANGED" in capsys.readouterr().out
    source.unlink()
    assert trace.main(argparse.Namespace(file=folder)) == 1
    assert "missing" in capsys.readouterr().out
    assert trace.main(argparse.Namespace(file=base / "results" / STUDY)) == 2
