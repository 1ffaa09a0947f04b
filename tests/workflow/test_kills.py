"""`kill -9` of a job in every stage, wherever it was, and what the next attempt makes of it."""

import os
import signal
from pathlib import Path

import pytest
import torch
from forked import in_child
from in_process import load_study
from single_jobs import STAGES, contents, job_of, outputs_of, run_job

from certibayes.config.jobs import decoder_job
from certibayes.io import read_json
from certibayes.layout import Layout
from certibayes.networks.autoencoder import VariationalAutoencoder
from certibayes.stages import decoder
from certibayes.writing import PARTIAL

pytestmark = pytest.mark.slow
FIRST, THIRD, LAST = 1, 3, "run.json"
VAE = {
    "study": "tiny",
    "tasks": {"vae": {"kind": "vae", "test_pairs": 50, "epochs": 3}},
    "models": {"gaussian": {"estimator": {"kind": "gaussian", "hidden": [8]}}},
    "evaluation": {"observations": 20},
    "tracking": {"mode": "off"},
    "experiments": [{"task": "vae", "budget": 600, "model": "gaussian"}],
}


def kill_at(moment):
    """Have this process killed before a rename: the n-th one, or that of a name."""
    rename, renamed = Path.replace, []

    def replace(self, target):
        renamed.append(Path(target).name)
        if moment in (len(renamed), renamed[-1]):
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)

    Path.replace = replace


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("moment", [FIRST, THIRD, LAST])
def test_a_killed_job_leaves_whole_files_and_the_next_attempt_the_same_results(
    small_copy, tmp_path, stage, moment
):
    study, layout, original = small_copy
    _, folder = job_of(study, layout, stage)
    expected = contents(job_of(study, original, stage)[1])
    for path in outputs_of(folder):
        path.unlink()

    def killed():
        kill_at(moment)
        return run_job(tmp_path, study, layout, stage)

    code, output = in_child(killed)
    assert code == -signal.SIGKILL, output
    left = contents(folder)
    assert "run.json" not in left
    assert left == {name: expected[name] for name in left}

    code, output = in_child(lambda: run_job(tmp_path, study, layout, stage))
    assert code == 0, output
    assert contents(folder) == expected
    assert read_json(folder / "run.json")["attempt"] == 2
    assert list(layout.root.rglob(f".*{PARTIAL}*")) == []


@pytest.mark.parametrize(("moment", "steps"), [(FIRST, 6), (THIRD, 4), (LAST, 0)])
def test_a_killed_decoder_goes_on_from_its_checkpoint_to_the_same_weights(
    tmp_path, monkeypatch, moment, steps
):
    """Three epochs of two batches, and a checkpoint, one rename, after each."""
    images = torch.randint(0, 256, (300, 784), generator=torch.Generator().manual_seed(0)).byte()
    monkeypatch.setattr(decoder, "_images", lambda part: images)
    monkeypatch.setattr("certibayes.decoder_training.CHECKPOINT_SECONDS", 0.0)
    study, layout = load_study(tmp_path, VAE)
    job = decoder_job(study, "vae")
    whole = Layout(tmp_path / "whole")
    decoder.run(job, whole, "code")
    expected = contents(whole.decoder(job))

    def killed():
        kill_at(moment)
        decoder.run(job, layout, "code")

    code, output = in_child(killed)
    assert code == -signal.SIGKILL, output
    left = contents(layout.decoder(job))
    assert "run.json" not in left
    assert left == {name: expected[name] for name in left}

    def again():
        update = VariationalAutoencoder.elbo

        def counted(self, x, noise):
            print("a step" if torch.is_grad_enabled() else "a test batch")
            return update(self, x, noise)

        VariationalAutoencoder.elbo = counted
        decoder.run(job, layout, "code")

    code, output = in_child(again)
    assert code == 0, output
    assert output.count("a step") == steps
    assert contents(layout.decoder(job)) == expected
    assert read_json(layout.decoder(job) / "run.json")["attempt"] == 2
    assert list(layout.root.rglob(f".*{PARTIAL}*")) == []
