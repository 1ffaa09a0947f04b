"""`certibayes audit` from file to card and record, for every kind of posterior."""

import json

import numpy as np
import pytest
import torch
from sbi_stand_in import posterior_of

from certibayes.cli import main

pytestmark = pytest.mark.slow
LIGHT = ["--draws", "300", "--report-draws", "300", "--steps", "6", "--restarts", "1"]


def simulate(theta):
    return torch.cat((theta, theta.sum(1, keepdim=True)), 1)


def run(tmp_path, monkeypatch, posterior, *options):
    monkeypatch.chdir(tmp_path)
    source = np.random.default_rng(0)
    np.save("x.npy", source.normal(size=(8, 3)))
    np.save("theta.npy", source.uniform(-2, 2, size=(8, 2)))
    np.save("scale.npy", source.normal(size=(40, 3)))
    files = ["--observations", "x.npy", "--theta", "theta.npy", "--scale", "scale.npy"]
    more = ["--simulator", f"{__name__}:simulate", "--epsilons", "0.05", "0.1"]
    assert main(["audit", posterior, *files, *more, *LIGHT, *options]) == 0
    return json.loads((tmp_path / "audit" / "audit.json").read_text())


def common(tmp_path, record):
    page = (tmp_path / "audit" / "audit.html").read_text()
    assert "http" not in page
    assert "data:image/png;base64," in page
    assert {path.name for path in (tmp_path / "audit").iterdir()} == {"audit.html", "audit.json"}
    ball = record["perturbation"]
    assert (ball["norm"], ball["unit"], ball["epsilons"]) == ("linf", "feature_std", [0.05, 0.1])
    assert ball["unit_from"] == "scale"
    assert record["versions"]["torch"] == torch.__version__
    assert len(set(record["seeds"].values())) == len(record["seeds"])
    assert len(record["sources"]["observations"]["sha256"]) == 64
    for one in (record["clean"], *record["attacks"]):
        assert len(one["predictive_distance"]) == 8
        assert 0 <= one["coverage"]["stated"]["0.9"]["covered"] <= 1
    for one in record["attacks"]:
        assert 0 <= one["detection"]["auroc_nearest"] <= 1


@pytest.mark.parametrize("kind", ["maf", "nsf", "mdn"])
def test_a_posterior_of_sbi(kind, tmp_path, monkeypatch):
    """The bound is above what attacks reach after the cut, up to their Monte Carlo error."""
    torch.save(posterior_of(kind), tmp_path / "p.pt")
    record = run(tmp_path, monkeypatch, "p.pt", "--trust")
    common(tmp_path, record)
    assert record["posterior"]["kind"] == kind
    assert record["posterior"]["cut_by_prior"]
    assert record["uncertified"] is None
    found = record["certificate"]
    mass = np.array(found["mass_inside_lower"])
    assert (mass <= np.array(record["clean"]["mass_inside"]) + 0.02).all()
    for row in found["rows"]:
        upper, before = np.array(row["upper"]), np.array(row["upper_before_cut"])
        np.testing.assert_allclose(upper, np.minimum(before / mass, 1))
        assert (np.array(row["reached_before_cut"]) <= before).all()
        sure = [one["total_variation_at_least"] for one in record["attacks"]
                if one["epsilon"] == row["epsilon"]]  # fmt: skip
        refuted = (np.array(sure) > 0.2).any(0)
        assert [one == "refuted" for one in row["verdict"]] == list(refuted)
        assert [one == "certified" for one in row["verdict"]] == list((upper <= 0.2) & ~refuted)
        assert not (refuted & (upper <= 0.2)).any()
        for one in record["attacks"]:
            if one["epsilon"] == row["epsilon"]:
                assert (np.array(one["total_variation"]) <= upper + 0.1).all()


@pytest.mark.parametrize(
    ("name", "attack"), [("differentiable", "pgd"), ("opaque", "random_search")]
)
def test_an_object(name, attack, tmp_path, monkeypatch):
    """N(x_1, 1) in two parameters: the worst case moves both means by the radius of x_1."""
    record = run(tmp_path, monkeypatch, f"sbi_stand_in:{name}")
    common(tmp_path, record)
    assert record["certificate"] is None
    assert record["uncertified"]["module"] in ("Named", "Opaque")
    assert not record["posterior"]["cut_by_prior"]
    strongest = record["attacks"][-1]
    assert strongest["attack"] == attack
    if name == "differentiable":
        radius = record["perturbation"]["radius_at_largest_epsilon"][0]
        assert np.median(strongest["forward_kl"]) == pytest.approx(radius**2, rel=0.5)


def test_the_same_seed_gives_the_same_record(tmp_path, monkeypatch):
    torch.save(posterior_of("mdn"), tmp_path / "p.pt")
    first, second = (run(tmp_path, monkeypatch, "p.pt", "--trust") for _ in range(2))
    for record in (first, second):
        del record["made"]
        for row in record["certificate"]["rows"]:
            del row["seconds"]
    assert first == second
