"""Certificates beside attacks, exact shifts and what is known."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from report_example import EPSILONS, write_classifier, write_posterior
from torch.distributions import Distribution, Independent, Normal, constraints

from certibayes.certificates.base import Verdict
from certibayes.certificates.posterior_shift import PosteriorShiftResult
from certibayes.metrics.information import nats_over_prior, prior_log_prob
from certibayes.metrics.standard_error import Estimate
from certibayes.report import summary, table
from certibayes.report.tightness import COLUMNS, tightness, tightness_parts
from certibayes.seeding import generator
from certibayes.stages.evaluate_gap import gap_columns, gaps


def test_nats_of_a_linear_gaussian_are_the_mutual_information():
    """theta ~ N(0, 1), x = theta + N(0, 1): I = ln(2) / 2; a model that ignores x gains nothing."""
    source = generator("pairs")
    theta = torch.randn(100_000, 1, generator=source, dtype=torch.float64)
    x = theta + torch.randn(100_000, 1, generator=source, dtype=torch.float64)
    prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
    log_prior = prior_log_prob(prior, theta)
    exact = Normal(x / 2, 0.5**0.5).log_prob(theta).sum(1)
    assert nats_over_prior(exact, log_prior) == pytest.approx(np.log(2) / 2, abs=0.01)
    assert nats_over_prior(log_prior, log_prior) == 0
    wide = Normal(x / 2, 1.0).log_prob(theta).sum(1)
    assert nats_over_prior(wide, log_prior) < nats_over_prior(exact, log_prior)


def test_a_prior_that_can_be_drawn_from_alone_has_no_density():
    class Drawn(Distribution):
        arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    assert prior_log_prob(Drawn(validate_args=False), torch.zeros(3, 1)) is None


def result(reached, comparison_kl, **changes):
    values = torch.tensor([0.3, 0.5, 1.0], dtype=torch.float64)
    found = PosteriorShiftResult(
        upper=values,
        lower=torch.tensor(reached, dtype=torch.float64),
        verdict=(Verdict.UNKNOWN,) * 3,
        confidence=0.999,
        seconds=0.0,
        mean=values,
        comparison=values,
        comparison_kl=torch.tensor(comparison_kl, dtype=torch.float64),
        kl_estimate=Estimate(values, values),
        kl_bound=None,
    )
    return replace(found, **changes)


def test_gaps_are_those_to_the_certified_bound_and_on_common_draws():
    reached = torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64)
    found = gaps(result([0.2, 0.1, 0.0], [0.3, 0.2, torch.inf]), reached)
    torch.testing.assert_close(
        found["gap_total_variation"], torch.tensor([0.1, 0.4, 1.0], dtype=torch.float64)
    )
    torch.testing.assert_close(
        found["gap_forward_kl"], torch.tensor([0.2, 0.0, torch.inf], dtype=torch.float64)
    )
    columns = gap_columns(found, slice(2))
    assert columns["gap_total_variation_median"] == pytest.approx(0.25)
    assert columns["reached_forward_kl_median"] == pytest.approx(0.15)


def test_the_gap_of_a_closed_form_is_that_of_its_own_divergence():
    reached = torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64)
    bound = torch.tensor([0.15, 0.2, 1.4], dtype=torch.float64)
    closed = result([0.2, 0.1, 0.0], [5.0, 5.0, 5.0], confidence=1.0, kl_bound=bound)
    assert closed.deterministic
    torch.testing.assert_close(gaps(closed, reached)["gap_forward_kl"], bound - reached)
    drawn = result([0.2, 0.1, 0.0], [5.0, 5.0, 5.0], kl_bound=bound)
    torch.testing.assert_close(gaps(drawn, reached)["gap_forward_kl"], 5.0 - reached)


def test_without_an_attack_in_the_ball_there_is_no_gap():
    assert gaps(result([-torch.inf] * 3, [0.1] * 3), None) == {}


def collected(tmp_path, defenses):
    return summary.collect([write_posterior(tmp_path, defense=name) for name in defenses])


def test_one_row_per_certified_shift_with_the_share_of_the_standard_model(tmp_path):
    found = tightness(collected(tmp_path, ("none", "robust")))
    assert list(found.columns) == list(COLUMNS)
    assert len(found) == 2 * len(EPSILONS)
    shares = found.groupby("defense")["nats_share"].unique()
    assert shares["none"] == [1.0]
    assert shares["robust"] == [0.75]
    assert (found["reached"] == 0.01).all()
    assert set(found["bounds"]) == {"crown_ibp"}
    assert found["certified"].notna().all()
    assert (found["nll"] == -0.75).all()


def test_without_the_standard_model_there_is_no_share(tmp_path):
    found = tightness(collected(tmp_path, ("robust",)))
    assert found["nats"].notna().all()
    assert found["nats_share"].isna().all()


def test_a_study_of_classifiers_has_no_such_rows(tmp_path):
    frame = summary.collect([write_classifier(tmp_path)])
    assert tightness(frame).empty
    assert tightness_parts(frame) == []


def test_the_page_says_how_tight(tmp_path):
    frame = collected(tmp_path, ("none", "robust"))
    table.write_html(frame, tmp_path / "summary.html")
    page = (tmp_path / "summary.html").read_text()
    assert "how tight, and how much is known" in page
    assert "nats share" in page
    rows = page.split("how tight, and how much is known")[1].split("</table>")[0]
    assert rows.count("crown_ibp") == 2 * len(EPSILONS)
