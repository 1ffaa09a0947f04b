import os
import subprocess
import sys
from copy import deepcopy

import pytest
import yaml

from certibayes.commands.list import duration, kinds, overview
from certibayes.config import load
from certibayes.config.tasks import GaussianLinear
from certibayes.inventory import estimate, inventory

BALL = {"norm": "linf", "unit": "feature_std"}
SHARD = GaussianLinear.SHARD_SIZE
STUDY = {
    "study": "sized",
    "models": {"maf": {"estimator": {"kind": "maf"}}, "bnn": {"network": {"kind": "mlp"}}},
    "defenses": {
        "fisher": {"kind": "fisher", "beta": 0.1},
        "noise": {"kind": "noise", "perturbation": {**BALL, "epsilon": 0.1}},
    },
    "sweeps": {"strength": {"defense": "fisher", "parameter": "beta", "values": [0.5, 1]}},
    "attacks": {
        "pgd": {
            "kind": "pgd",
            "objective": "forward_kl",
            "perturbation": {**BALL, "epsilons": [0.1]},
        }
    },
    "certificates": {
        "shift": {"kind": "posterior_shift", "perturbation": {**BALL, "epsilons": [0.1]}}
    },
    "experiments": [
        {
            "task": "gaussian_linear",
            "budget": SHARD + 1,
            "model": "maf",
            "sweeps": ["strength"],
            "attacks": ["pgd"],
            "certificates": ["shift"],
            "seeds": [0, 1],
        },
        {"task": "digits", "budget": 100, "model": "bnn"},
    ],
}


@pytest.fixture
def read(tmp_path):
    def function(values=STUDY):
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(values))
        return load(path)

    return function


def finish(entry, seconds=None):
    entry.output.parent.mkdir(parents=True, exist_ok=True)
    if entry.models:
        rows = "".join(",".join(model) + "\n" for model in sorted(entry.models))
        entry.output.write_text("task,budget,model,defense,seed\n" + rows)
    else:
        entry.output.touch()
    if seconds is not None:
        entry.benchmark.parent.mkdir(parents=True, exist_ok=True)
        entry.benchmark.write_text(f"s\th:m:s\n{seconds}\t0:00:01\n")


def counts(entries):
    stages = [entry.stage for entry in entries]
    return {stage: stages.count(stage) for stage in dict.fromkeys(stages)}


def test_every_job_is_counted_once(read, tmp_path):
    entries = inventory(read(), tmp_path)
    assert counts(entries) == {
        "simulate": 3,
        "gather": 2,
        "train": 3,
        "retrain": 4,
        "attack": 6,
        "certify": 6,
        "evaluate": 7,
        "report": 1,
    }
    assert len({entry.output for entry in entries}) == len(entries)
    assert len({entry.benchmark for entry in entries}) == len(entries)
    shards = [one for one in entries if one.stage == "simulate" and one.simulations]
    assert [one.simulations for one in shards] == [SHARD, SHARD]


def test_a_base_model_is_trained_only_where_something_reads_it(read, tmp_path):
    values = deepcopy(STUDY)
    values["experiments"] = [{**STUDY["experiments"][0], "defenses": ["noise"], "seeds": [0]}]
    del values["experiments"][0]["sweeps"]
    assert "train" not in counts(inventory(read(values), tmp_path))
    values["experiments"][0]["defenses"] = ["noise", "fisher"]
    assert counts(inventory(read(values), tmp_path))["train"] == 1


def test_files_tell_what_is_finished(read, tmp_path):
    study = read()
    entries = inventory(study, tmp_path)
    assert not any(entry.done for entry in entries)
    for entry in entries:
        finish(entry)
    assert all(entry.done for entry in inventory(study, tmp_path))
    values = deepcopy(STUDY)
    values["sweeps"]["strength"]["values"].append(2)
    to_do = [one for one in inventory(read(values), tmp_path) if not one.done]
    assert counts(to_do) == {"retrain": 2, "attack": 2, "certify": 2, "evaluate": 2, "report": 1}
    assert {one.defense for one in to_do} == {"fisher_beta_2", ""}
    next(one for one in entries if one.stage == "attack").output.unlink()
    to_do = [one for one in inventory(study, tmp_path) if not one.done]
    assert counts(to_do) == {"attack": 1, "evaluate": 1, "report": 1}


def test_the_report_of_a_part_is_not_the_whole(read, tmp_path):
    entries = inventory(read(), tmp_path)
    for entry in entries:
        finish(entry)
    summary = entries[-1].output
    lines = summary.read_text().splitlines()
    summary.write_text("\n".join(lines[:-1]) + "\n")
    assert [one.stage for one in inventory(read(), tmp_path) if not one.done] == ["report"]


def test_time_is_that_of_the_closest_jobs_that_were_measured(read, tmp_path):
    entries = inventory(read(), tmp_path)
    assert estimate(entries) == (0, 0)
    first, second = (one for one in entries if one.defense == "fisher_beta_0p5" and _trains(one))
    finish(first, 7.0)
    assert estimate([first, second]) == (7.0, 1)
    other = next(one for one in entries if one.defense == "fisher_beta_1" and _trains(one))
    assert estimate([first, other]) == (7.0, 1)
    train = next(one for one in entries if one.stage == "train")
    assert estimate([first, train]) == (0, 0)
    finish(second, 9.0)
    seconds, known = estimate(inventory(read(), tmp_path))
    assert (seconds, known) == (16.0, 2)


def _trains(entry):
    return entry.stage == "retrain"


def test_the_overview_says_what_is_unknown(read, tmp_path):
    study = read()
    text = overview(study, tmp_path)
    assert "Time: unknown, no job like the 32 to do has been measured" in text
    made = f"{2 * SHARD + GaussianLinear().test_pairs:,}"
    task = next(one for one in text.splitlines() if one.startswith("gaussian_linear "))
    assert task.split() == ["gaussian_linear", "-", "2", "1", made, made]
    line = next(one for one in text.splitlines() if "fisher_beta_0p5" in one)
    assert line.split() == [
        *("gaussian_linear", str(SHARD + 1), "maf", "fisher_beta_0p5", "2"),
        *("-", "2", "2", "2", "2", "0", "8"),
    ]
    assert text.splitlines()[-3].split() == ["total", "32", "0", "32"]
    for entry in inventory(study, tmp_path)[:3]:
        finish(entry, 30.0)
    last = overview(study, tmp_path).splitlines()[-1]
    assert "unknown" in last
    for entry in inventory(study, tmp_path):
        finish(entry, 30.0)
    assert overview(study, tmp_path).splitlines()[-1].startswith("Time: nothing to do")


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.2, "3 s"), (90, "2 min"), (3599, "1 h 00 min"), (7500, "2 h 05 min")]
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text


def test_kinds_name_plug_ins_and_presets():
    text = kinds()
    assert "robust_likelihood" in text
    assert "preset (defenses.fisher)" in text
    assert "gloeckler2023_sir" in text


def test_the_command_is_quick_and_needs_no_torch(tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(STUDY))
    code = (
        "import sys; from certibayes.cli import main; code = main(['list']); "
        "heavy = {'torch', 'numpy', 'pandas', 'mlflow', 'snakemake'} & set(sys.modules); "
        "assert not heavy, heavy; sys.exit(code)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "study sized" in done.stdout


def test_a_reader_that_stops_early_is_told_nothing():
    command = [sys.executable, "-m", "certibayes", "list", "--kinds"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1
