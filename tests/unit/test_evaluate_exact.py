"""Distance to exact posteriors, calibration and shifts of a model whose errors are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from evaluated import evaluated, moved

from certibayes.stages.evaluate_calibration import add_calibration
from certibayes.stages.evaluate_exact import exact_columns
from certibayes.stages.evaluate_parameters import add_parameters
from certibayes.stages.findings import Findings, quantiles

FEW = {"report_draws": 300, "c2st_observations": 1, "c2st_draws": 50}


def test_a_network_that_is_exact_does_not_fail_where_the_posterior_moves(tmp_path):
    subject, findings = evaluated(tmp_path, **FEW), Findings()
    drawn = moved(subject, 0.1)
    columns = exact_columns(findings, subject, drawn)
    exact = subject.task.exact_posterior(drawn.x)
    distance = (exact.mean - subject.task.exact_posterior(subject.clean.x).mean) / exact.stddev
    truth = 0.5 * float(distance[0].square().sum())
    assert columns["exact_shift_kl_median"] == pytest.approx(truth, rel=1e-9)
    assert columns["exact_kl_median"] == columns["exact_kl_high"] == 0
    assert columns["c2st"] is None
    assert abs(columns["exact_mmd_median"]) < 0.01


@pytest.mark.parametrize(("shift", "width"), [(0.3, 1.0), (0.0, 1.5), (0.2, 0.8)])
def test_kl_from_the_exact_posterior_has_its_closed_form(tmp_path, shift, width):
    subject, findings = evaluated(tmp_path, shift, width, **FEW), Findings()
    columns = exact_columns(findings, subject, subject.clean)
    one = math.log(width) + (1 + shift**2) / (2 * width**2) - 0.5
    truth = subject.task.theta_dim * one
    kl, error = findings.items["clean/exact_kl"], findings.items["clean/exact_kl_se"]
    assert abs(kl[0] - truth) <= 4 * error[0]
    assert columns["exact_kl_median"] == pytest.approx(truth, abs=4 * error.mean())
    assert "exact_shift_kl_median" not in columns
    assert columns["c2st"] > 0.4


def test_a_density_that_vanishes_at_an_exact_draw_gives_infinity(tmp_path):
    subject = evaluated(tmp_path, width=1e-200, **FEW)
    assert exact_columns(Findings(), subject, moved(subject, 0.1))["exact_kl_low"] == math.inf


def test_quantiles_of_infinite_values_are_values():
    found = quantiles("a", torch.tensor([0.0, 1.0, math.inf, math.inf]))
    assert [found[f"a_{which}"] for which in ("low", "median", "high")] == [1.0, math.inf, math.inf]


def test_an_exact_model_is_calibrated_and_an_overconfident_one_is_not(tmp_path):
    found = {}
    for width in (1.0, 0.5):
        subject, findings = evaluated(tmp_path / str(width), width=width, **FEW), Findings()
        found[width], _ = add_calibration(findings, subject, subject.clean)
        table = findings.coverage_table()
        assert len(table) == 101
        assert table["tarp"].between(0, 1).all()
        ranks = findings.items["clean/sbc_ranks"]
        assert ranks.shape == (subject.tests, 10)
        assert ranks.max() <= findings.items["clean/sbc_draws"] == 300
    assert min(found[1.0]["sbc_p"], found[1.0]["tarp_p"]) > 0.01
    assert max(found[0.5]["sbc_p"], found[0.5]["tarp_p"]) < 1e-3
    assert found[0.5]["tarp_bias"] < found[1.0]["tarp_bias"]
    assert found[1.0]["tarp_area"] < 0.06


def test_an_attacked_exact_model_is_not_calibrated_for_the_true_theta(tmp_path):
    subject = evaluated(tmp_path, **FEW)
    columns, _ = add_calibration(Findings(), subject, moved(subject, 0.3))
    assert columns["sbc_p"] < 1e-3


def test_parameters_move_by_their_gain(tmp_path):
    subject, findings = evaluated(tmp_path, **FEW), Findings()
    for drawn in (subject.clean, moved(subject, 0.2)):
        _, uniformity = add_calibration(findings, subject, drawn)
        add_parameters(findings, subject, drawn, uniformity)
    table = findings.parameter_table()
    shifted, clean = (table[table["method"] == name] for name in ("step", "clean"))
    assert shifted["parameter"].tolist() == list(subject.task.theta_names)
    assert clean["mean_shift_median"].isna().all()
    truth = 0.2 * (subject.task.gain / subject.task.posterior_variance.sqrt()).abs().numpy()
    for column in ("mean_shift_median", "wasserstein_median"):
        np.testing.assert_allclose(shifted[column], truth, atol=0.12)
    np.testing.assert_allclose(shifted["std_ratio_median"], 1, atol=0.03)
    assert (shifted["sbc_p"] < 1e-3).any()
