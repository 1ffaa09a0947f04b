"""Final models of a study in MLflow's model registry, and back through `certibayes.load`."""

import argparse
import json
import shutil
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
import torch
import yaml
from in_process import run_study
from served import free_port, running

import certibayes
from certibayes.address import Session, TrackingError
from certibayes.commands import sync, trace
from certibayes.io import read_json, write_json
from certibayes.layout import Layout
from certibayes.registration import Registration
from certibayes.tracking import calls

pytestmark = pytest.mark.slow

BALL = {"norm": "l2", "unit": "raw", "epsilons": [0.01, 0.05]}
PIXELS = {"norm": "linf", "unit": "raw", "epsilons": [0.001]}
TRAINING = {"epochs": 2, "batch_size": 128}
STUDY = {
    "study": "tiny",
    "models": {
        "gaussian": {"estimator": {"kind": "gaussian", "hidden": [8]}, "training": TRAINING},
        "net": {"network": {"kind": "mlp", "hidden": [8]}, "training": TRAINING},
    },
    "defenses": {"fisher": {"kind": "fisher", "beta": 0.001}},
    "attacks": {
        "noise": {"kind": "noise", "objective": "forward_kl", "perturbation": BALL},
        "pixels": {"kind": "noise", "objective": "expected_loss", "perturbation": PIXELS},
    },
    "certificates": {
        "shift": {
            "kind": "posterior_shift",
            "perturbation": BALL,
            "bounds": "closed_form",
            "draws": 100,
            "comparison_draws": 50,
        },
        "decision": {"kind": "decision", "perturbation": PIXELS},
    },
    "evaluation": {
        "observations": 5,
        "report_draws": 256,
        "coverage_draws": 50,
        "c2st_observations": 1,
        "c2st_draws": 100,
        "predictive_draws": 0,
    },
    "experiments": [
        {
            "task": "gaussian_linear",
            "budget": 1000,
            "model": "gaussian",
            "defenses": ["none", "fisher"],
            "attacks": ["noise"],
            "certificates": ["shift"],
        },
        {
            "task": "digits",
            "budget": 500,
            "model": "net",
            "attacks": ["pixels"],
            "certificates": ["decision"],
        },
    ],
}
NAMES = {
    "tiny.gaussian_linear.gaussian.none",
    "tiny.gaussian_linear.gaussian.fisher",
    "tiny.digits.net.none",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, template):
    """The workflow's folder of the study, run to its report and never registered."""
    base = tmp_path_factory.mktemp("finished")
    shutil.copy(template, base / "mlflow.db")
    run_study(base, STUDY | {"tracking": {"mode": "off"}})
    return base


@pytest.fixture
def base(finished, tmp_path, monkeypatch):
    base = tmp_path / "base"
    shutil.copytree(finished, base)
    monkeypatch.setenv("CERTIBAYES_BASE", str(base))
    return base


def synchronize(base, tracking=None, close=None):
    path = base / "sync.yaml"
    path.write_text(yaml.safe_dump(STUDY | {"tracking": tracking or {}}))
    return sync.main(argparse.Namespace(config=path, prepare=False, close=close, again=False))


def registered(base):
    """Return (version, aliases) of every version, by model."""
    with calls(f"sqlite:///{base / 'mlflow.db'}") as client:
        return {
            model.name: {
                one.version: client.get_model_version(model.name, one.version)
                for one in client.search_model_versions(f"name = '{model.name}'")
            }
            for model in client.search_registered_models()
        }


def entries(base):
    return read_json(base / "results" / "tiny" / "models.json")


def test_every_final_model_is_registered_once_and_the_best_of_a_task_is_marked(base, capsys):
    assert synchronize(base) == 0
    assert "3 models registered" in capsys.readouterr().out
    found = registered(base)
    assert set(found) == NAMES
    assert all(len(versions) == 1 for versions in found.values())
    for versions in found.values():
        (one,) = versions.values()
        assert f"n{one.tags['budget']}_seed0" in one.aliases
        assert len(one.tags["sha256"]) == len(one.tags["package"]) == 64
    marked = {name for name, (one,) in map(_single, found.items()) if "best" in one.aliases}
    best = {entry["name"] for entry in entries(base)["models"] if entry["standing"]["best"]}
    assert marked == best
    assert {name.split(".")[1] for name in best} == {"gaussian_linear", "digits"}

    assert synchronize(base) == 0
    (base / "results" / "tiny" / ".state" / "published.json").unlink()
    assert synchronize(base, close="FINISHED") == 0
    assert "models registered" not in capsys.readouterr().out
    assert all(len(versions) == 1 for versions in registered(base).values())


def _single(item):
    name, versions = item
    return name, tuple(versions.values())


def test_a_registered_model_is_the_one_in_the_results(base, capsys):
    assert synchronize(base) == 0
    name, folder = "tiny.gaussian_linear.gaussian.fisher", "gaussian_linear/n1000/gaussian/fisher"
    place = base / "results" / "tiny" / folder / "seed0"
    x = np.load(base / "results/tiny/gaussian_linear/simulate/reference/test.npz")["x"][:5]
    local = certibayes.load(place)
    theta = local.sample((20,), x=x[0], generator=torch.Generator().manual_seed(0))
    for address in (f"models:/{name}@n1000_seed0", f"models:/{name}/1"):
        loaded = certibayes.load(address)
        assert loaded.sha256 == local.sha256
        torch.testing.assert_close(loaded.log_prob(theta, x=x[0]), local.log_prob(theta, x=x[0]))
    with np.load(place / "certify" / "shift" / "certificate.npz") as stored:
        for row, found in enumerate(loaded.certificate(x)):
            assert found.epsilon == stored["epsilons"][row]
            np.testing.assert_allclose(found.upper.numpy(), stored["upper"][row], rtol=1e-9)
    with pytest.raises(TrackingError, match=r"models:/nobody@best: .*not found"):
        certibayes.load("models:/nobody@best")
    capsys.readouterr()
    trace.main(argparse.Namespace(file=place / "certify" / "shift"))
    assert f"{name} version 1" in capsys.readouterr().out


def test_other_certificates_make_another_version_and_the_alias_moves(base):
    assert synchronize(base) == 0
    content = entries(base)
    changed_name = content["models"][0]["name"]
    tau = content["models"][0]["certificates"]["shift"]["tau"]
    content["models"][0]["certificates"]["shift"]["tau"] = 0.9
    winner = next(e for e in content["models"] if e["standing"]["best"])
    loser = next(e for e in content["models"] if e["task"] == winner["task"] and e is not winner)
    winner["standing"]["best"], loser["standing"]["best"] = False, True
    write_json(base / "results" / "tiny" / "models.json", content)
    assert synchronize(base) == 0
    found = registered(base)
    changed = found[changed_name]
    assert len(changed) == 2
    newest = max(changed, key=int)
    assert "n1000_seed0" in changed[newest].aliases
    aliases = {
        name: {alias for one in versions.values() for alias in one.aliases}
        for name, versions in found.items()
    }
    assert "best" in aliases[loser["name"]]
    assert "best" not in aliases[winner["name"]]

    content["models"][0]["certificates"]["shift"]["tau"] = tau
    write_json(base / "results" / "tiny" / "models.json", content)
    assert synchronize(base) == 0
    reverted = registered(base)[changed_name]
    assert len(reverted) == 2
    assert "n1000_seed0" in reverted[min(reverted, key=int)].aliases


def test_a_registry_whose_database_was_removed_is_filled_again(base):
    assert synchronize(base) == 0
    (base / "mlflow.db").unlink()
    command = [sys.executable, "-m", "certibayes", "sync", "--config", str(base / "sync.yaml")]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=base)
    assert answer.returncode == 0, answer.stderr
    assert "3 models registered" in answer.stdout


def test_the_report_of_a_part_leaves_the_best_where_it_is(base):
    assert synchronize(base) == 0
    content = entries(base)
    winner = next(e for e in content["models"] if e["standing"]["best"])
    loser = next(e for e in content["models"] if e["task"] == winner["task"] and e is not winner)
    loser["standing"]["best"] = True
    write_json(base / "results" / "tiny" / "models.json", content | {"models": [loser]})
    assert synchronize(base) == 0
    found = registered(base)
    assert any("best" in one.aliases for one in found[winner["name"]].values())
    assert not any("best" in one.aliases for one in found[loser["name"]].values())


def test_two_processes_that_register_one_package_leave_one_version(base, tmp_path):
    assert synchronize(base) == 0
    name, (first,) = next(map(_single, registered(base).items()))
    session = Session.read(Layout(base / "results" / "tiny"))
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "MLmodel").write_text("the same package, saved by another process")
    registration = Registration(session)
    digest = first.tags["package"]
    assert registration.add(name, digest, tmp_path / "saved", None, first.tags) == str(
        first.version
    )
    assert list(registered(base)[name]) == [first.version]


def test_an_unreachable_registry_stops_nothing_and_is_caught_up_with(base, capsys):
    offline = {"uri": f"http://127.0.0.1:{free_port()}"}
    assert synchronize(base, offline, close="FINISHED") == 0
    assert synchronize(base, offline) == 1
    assert registered(base) == {}
    assert synchronize(base) == 0
    assert "3 models registered" in capsys.readouterr().out


def test_weights_that_were_trained_anew_since_the_report_are_not_registered(base, caplog):
    content = entries(base)
    content["models"][0]["sha256"] = "0" * 64
    write_json(base / "results" / "tiny" / "models.json", content)
    assert synchronize(base) == 0
    assert content["models"][0]["name"] not in registered(base)
    assert "weights were trained anew" in caplog.text


def test_a_served_model_answers_a_request_with_certificates(base):
    assert synchronize(base) == 0
    port, uri = free_port(), "models:/tiny.gaussian_linear.gaussian.none@n1000_seed0"
    command = f"exec mlflow models serve --model-uri {uri} --env-manager local"
    x = np.load(base / "results/tiny/gaussian_linear/simulate/reference/test.npz")["x"][:2]
    with running(f"{command} --host 127.0.0.1 --port {port} --workers 1", port, base):
        question = {"inputs": x.tolist(), "params": {"draws": 7, "seed": 5}}
        answers = ask(port, question)
        assert answers == ask(port, question)
        (plain,) = ask(port, {"inputs": x[:1].tolist(), "params": {"certificate": False}})
    model = certibayes.load(uri)
    assert [np.shape(answer["draws"]) for answer in answers] == [(7, model.theta_dim)] * 2
    assert answers[0]["parameters"] == list(model.theta_names)
    for row, answer in enumerate(answers):
        stated = [(one["epsilon"], one["upper"]) for one in answer["certificates"]]
        expected = [(one.epsilon, float(one.upper[row])) for one in model.certificate(x)]
        np.testing.assert_allclose(stated, expected, rtol=1e-9)
        assert {one["verdict"] for one in answer["certificates"]} <= {"certified", "unknown"}
    assert plain["certificates"] == []
    assert len(plain["draws"]) == 1000
    with pytest.raises(OSError, match=r"refused|reset"):
        ask(port, question)


def ask(port, question):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        json.dumps(question).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=300) as response:
        return json.load(response)["predictions"]
