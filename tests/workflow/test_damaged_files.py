"""Files that are damaged or changed by hand: the job that reads them names them and what to do."""

import pytest
from forked import in_child
from single_jobs import job_of, run_job

from certibayes.io import load_arrays, load_weights, read_json, write_json
from certibayes.stages.building import build_task, load_model

pytestmark = pytest.mark.slow


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def last_line_gone(path):
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")


DAMAGE = [
    ("gather", "simulate", "failures.json", cut),
    ("train", "simulate", "x.npy", cut),
    ("train", "simulate", "target.npy", flip),
    ("train", "gather", "scale.json", empty),
    ("retrain", "train", "weights.safetensors", flip),
    ("attack", "retrain", "weights.safetensors", cut),
    ("attack", "gather", "test.npz", flip),
    ("certify", "retrain", "weights.safetensors", empty),
    ("evaluate", "attack", "attack.npz", cut),
    ("evaluate", "attack", "adaptive.csv", empty),
    ("evaluate", "certify", "certificate.npz", cut),
    ("report", "evaluate", "metrics.csv", last_line_gone),
    ("report", "evaluate", "items.npz", cut),
]


@pytest.mark.parametrize(("reader", "writer", "name", "damage"), DAMAGE)
def test_a_job_does_not_read_what_differs_from_its_record(
    small_copy, tmp_path, reader, writer, name, damage
):
    study, layout, _ = small_copy
    path = job_of(study, layout, writer)[1] / name
    damage(path)
    code, output = in_child(lambda: run_job(tmp_path, study, layout, reader))
    assert code == 1, output
    relative = path.relative_to(tmp_path)
    assert f"{relative}: sha256 is " in output
    assert "run.json beside it records" in output
    assert "restore it, or remove it and start the study again" in output
    assert "Traceback" not in output
    path.unlink()
    assert in_child(lambda: run_job(tmp_path, study, layout, writer))[0] == 0
    code, output = in_child(lambda: run_job(tmp_path, study, layout, reader))
    assert code == 0, output


def wrong_digest(folder):
    manifest = read_json(folder / "manifest.json")
    write_json(folder / "manifest.json", manifest | {"sha256": "0" * 64})
    return "weights.safetensors: sha256 is "


def no_digest(folder):
    manifest = read_json(folder / "manifest.json")
    manifest.pop("sha256")
    write_json(folder / "manifest.json", manifest)
    return "manifest.json: got no sha256; "


def no_json(folder):
    cut(folder / "manifest.json")
    return "manifest.json: not a JSON file: "


@pytest.mark.parametrize("damage", [wrong_digest, no_digest, no_json])
def test_weights_without_their_manifest_are_not_read(small_copy, tmp_path, damage):
    study, layout, _ = small_copy
    job, folder = job_of(study, layout, "retrain")
    said = damage(folder)
    (folder / "run.json").unlink()
    code, output = in_child(lambda: run_job(tmp_path, study, layout, "attack"))
    assert code == 1, output
    assert f"{folder.relative_to(tmp_path)}/{said}" in output
    assert "remove it and start the study again" in output
    assert "Traceback" not in output
    with pytest.raises(ValueError, match=r"manifest|sha256"):
        load_model(job, layout, build_task(job))
    assert load_weights(job_of(study, layout, "train")[1])


def of_attack(state):
    return next(state.glob("*/epsilon-0.1.npz"))


def of_training(state):
    return next(state.glob("*/checkpoint.safetensors"))


def of_journal(state):
    return next(state.glob("*/*.jsonl"))


@pytest.mark.parametrize(
    ("stage", "find", "said"),
    [
        ("attack", of_attack, "not an npz file of plain arrays"),
        ("train", of_training, "remove it to start this job afresh"),
        ("train", of_journal, "line 1 is no entry of a journal"),
    ],
)
def test_damaged_state_is_named_and_the_job_runs_without_it(
    small_copy, tmp_path, stage, find, said
):
    study, layout, _ = small_copy
    folder = job_of(study, layout, stage)[1]
    (folder / "run.json").unlink()

    def interrupted():
        from certibayes import attempt

        attempt.Attempt._succeed = lambda self: 1 / 0
        return run_job(tmp_path, study, layout, stage)

    in_child(interrupted)
    path = find(layout.state)
    content = path.read_bytes()
    path.write_bytes(b"x" + content[: len(content) // 2] + b"\n")
    code, output = in_child(lambda: run_job(tmp_path, study, layout, stage))
    assert code == 1, output
    assert f"{path.relative_to(tmp_path)}: {said}" in output or said in output
    assert str(path.relative_to(tmp_path)) in output
    assert "Traceback" not in output
    path.unlink()
    code, output = in_child(lambda: run_job(tmp_path, study, layout, stage))
    assert code == 0, output


def test_arrays_of_an_npz_are_all_or_an_error(small_finished):
    path = next(small_finished.rglob("attack.npz"))
    assert set(load_arrays(path)) == {"epsilons", "x", "selected"}
