"""Posterior predictive distances of the exact posterior, and of attacked and failing ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from evaluated import evaluated, moved

from certibayes.seeding import generator
from certibayes.stages.evaluate_predictive import PredictiveCheck
from certibayes.stages.findings import Findings
from certibayes.tasks.gaussian_linear import GaussianLinear

NORMS = ("l1", "l2", "linf")


def predictive_truth(subject, center):
    """Median norms of N(a * gain * center, a^2 v + s) - x in units, by direct draws."""
    task, x = subject.task, subject.clean.x
    mean = task.slope * task.gain * center
    std = (task.slope**2 * task.posterior_variance + task.noise_variance).sqrt()
    noise = torch.randn(1_000, *x.shape, generator=generator("truth"), dtype=torch.float64)
    gap = ((mean + std * noise - x) / x_units(subject)).abs()
    norms = {"l1": gap.sum(-1), "l2": gap.norm(dim=-1), "linf": gap.amax(-1)}
    return {norm: values.median(0).values.numpy() for norm, values in norms.items()}


def x_units(subject):
    """Stds of the features, as in scale.json of the subject: those of its own observations."""
    return subject.clean.x.std(0)


def test_distances_of_the_exact_posterior_clean_and_attacked(tmp_path):
    subject = evaluated(
        tmp_path, report_draws=400, predictive_draws=400, predictive_observations=20
    )
    findings, check = Findings(), PredictiveCheck(subject)
    for drawn in (subject.clean, moved(subject, 1.0)):
        columns = check.columns(findings, drawn)
        truth = predictive_truth(subject, drawn.x)
        for norm in NORMS:
            found = findings.items[f"{drawn.key}/predictive_{norm}"]
            np.testing.assert_allclose(found, truth[norm][:20], rtol=0.25)
            assert columns[f"predictive_{norm}_median"] == pytest.approx(np.median(found))
        assert (columns["predictive_simulations"], columns["predictive_failed"]) == (8_000, 0)
    clean, attacked = (findings.items[f"{key}/predictive_l2"] for key in ("clean", drawn.key))
    assert (attacked > clean).mean() > 0.9


def test_the_same_draws_give_the_same_simulations(tmp_path):
    subject = evaluated(tmp_path, report_draws=256)
    check = PredictiveCheck(subject)
    assert check.columns(Findings(), subject.clean) == check.columns(Findings(), subject.clean)


@pytest.mark.parametrize("key", ["predictive_draws", "predictive_observations"])
def test_off(tmp_path, key):
    subject = evaluated(tmp_path, report_draws=256, **{key: 0})
    columns = PredictiveCheck(subject).columns(Findings(), subject.clean)
    assert list(columns) == ["predictive_skipped"]
    assert "evaluation.predictive_draws" in columns["predictive_skipped"]


def test_failures_are_counted_whatever_the_policy(tmp_path, monkeypatch):
    simulate = GaussianLinear.simulate

    def half_fail(self, theta, source):
        x = simulate(self, theta, source)
        x[theta[:, 0] > 0] = torch.nan
        return x

    task = {"kind": "gaussian_linear", "failures": {"policy": "error"}}
    subject, findings = evaluated(tmp_path, task=task, report_draws=256), Findings()
    monkeypatch.setattr(GaussianLinear, "simulate", half_fail)
    columns = PredictiveCheck(subject).columns(findings, subject.clean)
    assert 0 < columns["predictive_failed"] < columns["predictive_simulations"] == 200
    assert np.isfinite(columns["predictive_l2_median"])
    assert len(findings.items["clean/predictive_l2"]) == 10


def test_without_a_valid_simulation_the_reason_is_stated(tmp_path, monkeypatch):
    def fail(self, theta, source):
        raise RuntimeError("broken")

    subject = evaluated(tmp_path, report_draws=256, predictive_draws=2)
    monkeypatch.setattr(GaussianLinear, "simulate", fail)
    columns = PredictiveCheck(subject).columns(Findings(), subject.clean)
    assert columns == {
        "predictive_simulations": 20,
        "predictive_failed": 20,
        "predictive_skipped": "every simulation failed",
    }
