"""The reader of reference posteriors and what an evaluation does without them."""

import bz2
import sys
from types import SimpleNamespace

import pytest
import torch

from certibayes.metrics.c2st import c2st
from certibayes.stages import evaluate_reference
from certibayes.stages.evaluate_reference import reference_columns
from certibayes.stages.findings import Findings
from certibayes.tasks.sbibm_reference import FOLDERS, reference_posteriors

HEADER = "$\\alpha$,$\\beta$\n"


def package(root, folder="two_moons", draws=420):
    """Write files as the package holds them; observation i is (i, -i)."""
    generator = torch.Generator().manual_seed(0)
    for i in range(1, 11):
        place = root / "tasks" / folder / "files" / f"num_observation_{i}"
        place.mkdir(parents=True)
        (place / "observation.csv").write_text(f"data_1,data_2\n{i}.0,-{i}.5\n")
        (place / "true_parameters.csv").write_text(f"{HEADER}0.5,{i}\n")
        rows = torch.randn(draws, 2, generator=generator) + i
        text = HEADER + "".join(f"{a},{b}\n" for a, b in rows.tolist())
        (place / "reference_posterior_samples.csv.bz2").write_bytes(bz2.compress(text.encode()))
    return root


def job(kind, draws=400):
    return SimpleNamespace(
        study_seed=0,
        task="mine",
        seed=0,
        task_spec=SimpleNamespace(kind=kind),
        evaluation=SimpleNamespace(reference_draws=draws),
    )


class Shifted:
    """A posterior N(x_1 + shift, I) at every x."""

    def __init__(self, shift):
        self.shift = shift

    def __call__(self, x):
        return SimpleNamespace(
            draw=lambda n, generator: (
                x[:, :1]
                + self.shift
                + torch.randn(n, len(x), 2, generator=generator, dtype=torch.float64)
            )
        )


def test_reads_the_files_that_the_variable_names(tmp_path, monkeypatch):
    monkeypatch.setenv("CERTIBAYES_SBIBM", str(package(tmp_path)))
    references = reference_posteriors("two_moons")
    assert len(references) == 10
    third = references[2]
    assert third.x.tolist() == [3.0, -3.5]
    assert third.theta.tolist() == [0.5, 3.0]
    assert third.samples.shape == (420, 2)
    assert third.samples.dtype == torch.float64
    assert float(third.samples.mean()) == pytest.approx(3.0, abs=0.2)
    assert reference_posteriors("digits") is None


def test_finds_an_installed_package_without_importing_it(tmp_path, monkeypatch):
    monkeypatch.delenv("CERTIBAYES_SBIBM", raising=False)
    folder = package(tmp_path / "sbibm", "sir")
    (folder / "__init__.py").write_text("raise ImportError('needs a hundred packages')")
    monkeypatch.syspath_prepend(tmp_path)
    assert len(reference_posteriors("sir_sbibm")) == 10
    assert "sbibm" not in sys.modules


def test_an_absent_package_is_no_error_but_an_incomplete_one_is(tmp_path, monkeypatch):
    monkeypatch.delenv("CERTIBAYES_SBIBM", raising=False)
    monkeypatch.setattr("certibayes.tasks.sbibm_reference.find_spec", lambda name: None)
    assert all(reference_posteriors(kind) is None for kind in FOLDERS)
    monkeypatch.setenv("CERTIBAYES_SBIBM", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"CERTIBAYES_SBIBM: got .* allowed: the folder"):
        reference_posteriors("slcp")
    package(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"slcp.*observation.csv: missing"):
        reference_posteriors("slcp")


@pytest.fixture
def quick_c2st(monkeypatch):
    """Stop early: on few draws the protocol of sbibm takes thousands of epochs."""

    def quick(a, b, seed, early_stopping):
        assert not early_stopping
        return c2st(a, b, seed)

    monkeypatch.setattr(evaluate_reference, "c2st", quick)


@pytest.mark.usefixtures("quick_c2st")
@pytest.mark.parametrize(("shift", "least", "most"), [(0.0, 0.4, 0.6), (4.0, 0.85, 1.0)])
def test_c2st_tells_a_shifted_posterior_from_the_right_one(
    tmp_path, monkeypatch, shift, least, most
):
    monkeypatch.setenv("CERTIBAYES_SBIBM", str(package(tmp_path)))
    findings = Findings()
    columns = reference_columns(findings, job("two_moons"), Shifted(shift))
    assert least < columns["reference_c2st"] <= most
    assert columns["reference_observations"] == 10
    assert columns["reference_draws"] == 400
    scores = findings.items["evaluate/reference/c2st"]
    assert scores.shape == (10,)
    assert scores.mean() == pytest.approx(columns["reference_c2st"])
    assert columns["reference_c2st_low"] == scores.min()
    assert columns["reference_c2st_high"] == scores.max()


def test_columns_say_that_references_are_absent(monkeypatch):
    monkeypatch.setattr(evaluate_reference, "reference_posteriors", lambda kind: None)
    findings = Findings()
    assert reference_columns(findings, job("slcp"), None) == {"reference_observations": 0}
    assert reference_columns(findings, job("lotka_volterra"), None) == {}
    assert not findings.items
