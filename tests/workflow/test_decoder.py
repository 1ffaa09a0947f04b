"""The decoder of the task vae: trained by a rule of its own, read by the simulations."""

import numpy as np
import pytest
import torch
from in_process import load_study

from certibayes.config import ConfigError
from certibayes.config.jobs import decoder_job, gather_jobs, simulate_job
from certibayes.config.simulators.gloeckler2023 import Vae as VaeSpec
from certibayes.digest import closure
from certibayes.integrity import ChangedFileError
from certibayes.io import load_arrays, read_json
from certibayes.stages import decoder, gather, simulate
from certibayes.stages.building import build_simulator
from certibayes.workflow.plan import Plan

STUDY = {
    "study": "tiny",
    "tasks": {"vae": {"kind": "vae", "test_pairs": 50, "epochs": 2}},
    "models": {"gaussian": {"estimator": {"kind": "gaussian", "hidden": [8]}}},
    "evaluation": {"observations": 20},
    "tracking": {"mode": "off"},
    "experiments": [{"task": "vae", "budget": 600, "model": "gaussian"}],
}


@pytest.fixture
def small(monkeypatch):
    """A few random images and small shards, so that a test takes seconds."""
    images = torch.randint(0, 256, (600, 784), generator=torch.Generator().manual_seed(0)).byte()
    monkeypatch.setattr(decoder, "_images", lambda part: images)
    monkeypatch.setattr(VaeSpec, "SHARD_SIZE", 300)


def test_simulations_come_from_the_decoder_that_the_rule_stored(small, tmp_path):
    study, layout = load_study(tmp_path, STUDY)
    decoder.run(decoder_job(study, "vae"), layout, "code")
    folder = layout.root / "vae" / "simulate" / "decoder"
    stored = read_json(folder / "run.json")
    assert set(stored["outputs"]) == {"weights.safetensors", "manifest.json"}
    assert stored["summary"]["decoder/steps"] == 6
    assert read_json(folder / "manifest.json")["shapes"]["6.weight"] == [784, 500]
    (job,) = gather_jobs(study)
    for shard in range(job.shards):
        simulate.run(simulate_job(study, "vae", shard), layout, "code")
    gather.run(job, layout, "code")
    shard = layout.shard(job, 1)
    theta = torch.from_numpy(np.load(shard / "target.npy")).double()
    task = build_simulator(job, layout)
    noise = (torch.from_numpy(np.load(shard / "x.npy")).double() - task.decode(theta)) / 0.05
    assert noise.shape == (300, 784)
    assert float(noise.square().mean()) == pytest.approx(1, abs=0.02)
    assert load_arrays(layout.reference(job) / "test.npz")["x"].shape == (50, 784)
    inputs = read_json(shard / "run.json")["inputs"]
    assert "results/tiny/vae/simulate/decoder/weights.safetensors" in inputs


def test_without_or_with_another_decoder_no_shard_is_made(small, tmp_path):
    study, layout = load_study(tmp_path, STUDY)
    with pytest.raises(FileNotFoundError, match=r"decoder/weights\.safetensors"):
        simulate.run(simulate_job(study, "vae", 0), layout, "code")
    decoder.run(decoder_job(study, "vae"), layout, "code")
    weights = layout.root / "vae" / "simulate" / "decoder" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ChangedFileError, match=r"weights\.safetensors: sha256 is"):
        simulate.run(simulate_job(study, "vae", 0), layout, "code")
    assert not (layout.root / "vae" / "simulate" / "shard0" / "run.json").exists()


class Wildcards:
    task = "vae"


def of_decoder(tmp_path, **changes):
    study, _ = load_study(tmp_path, {**STUDY, **changes})
    return Plan(study).slice("decoder")(Wildcards)


def test_only_its_epochs_decide_the_decoder(tmp_path):
    plain = of_decoder(tmp_path)
    spec = {"kind": "vae", "test_pairs": 70, "epochs": 2, "failures": {"policy": "error"}}
    assert of_decoder(tmp_path, seed=5) == plain
    assert of_decoder(tmp_path, tasks={"vae": spec}) == plain
    assert of_decoder(tmp_path, tasks={"vae": {**spec, "epochs": 3}}) != plain


def test_the_code_of_the_decoder_is_its_own(tmp_path):
    study, _ = load_study(tmp_path, STUDY)
    trained = {name.removeprefix("certibayes.") for name in closure(decoder_job(study, "vae"))}
    assert {"decoder_training", "networks.autoencoder", "datasets.mnist"} <= trained
    assert not {"training_loop", "tasks.vae", "stages.simulate", "datasets.download"} & trained
    assert "certibayes.decoder_training" not in closure(simulate_job(study, "vae", 0))


def test_a_task_without_a_decoder_has_no_such_job(tmp_path):
    study, _ = load_study(tmp_path, STUDY)
    with pytest.raises(ConfigError, match="sir: got a task without a decoder; allowed: kind vae"):
        decoder_job(study, "sir")


def test_the_decoder_is_trained_once_before_every_simulation(project):
    project.study["tasks"] = STUDY["tasks"]
    project.study["experiments"][0]["task"] = "vae"
    project.study["experiments"][0]["budget"] = 60_000
    project.write()
    planned = project.planned()
    assert planned["decoder"] == 1
    assert planned["simulate"] == 3
    project.study["experiments"][0]["task"] = "gaussian_linear_sbibm"
    project.write()
    assert "decoder" not in project.planned()


@pytest.mark.slow
def test_a_study_on_decoded_digits_runs_through(project, data_root):
    project.copy_package()
    tasks = {"vae": {**STUDY["tasks"]["vae"], "epochs": 1}}
    project.study |= {"tasks": tasks, "data_root": str(data_root)}
    experiment = {"task": "vae", "budget": 1_000, "model": "gaussian", "attacks": ["pgd"]}
    project.study["experiments"] = [experiment]
    project.write()
    code, output = project.snakemake()
    assert code == 0, output
    scale = read_json(project.folder / "results/tiny/vae/simulate/reference/scale.json")
    assert 0.15 < scale["within_std"] < 0.25
    assert project.planned() == {}
