import pandas as pd
import pytest
from report_example import EPSILONS, write_classifier, write_posterior

from certibayes.report.summary import read_metrics
from certibayes.stages.evaluate_metrics import clean_metrics, curves, headline_ball, latest


def test_curves_over_epsilon_are_steps_that_state_their_epsilon(tmp_path):
    steps = curves(read_metrics(write_posterior(tmp_path)))
    assert len(steps) == len(EPSILONS)
    for place in ("attack", "attack/pgd", "attack/noise", "certify", "certify/box"):
        assert [step[f"{place}/epsilon"] for step in steps] == list(EPSILONS)
    attacked = [step["attack/tv_median"] for step in steps]
    assert attacked == sorted(attacked)
    assert attacked == [step["attack/pgd/total_variation_median"] for step in steps]
    assert steps[0]["attack/kl_median"] == steps[0]["attack/pgd/forward_kl_median"]
    assert latest(steps)["certify/tv_median"] == steps[-1]["certify/box/total_variation_median"]


def test_models_of_one_task_have_the_same_metrics_whatever_their_defense(tmp_path):
    for write in (write_posterior, write_classifier):
        standard = read_metrics(write(tmp_path))
        robust = read_metrics(write(tmp_path, defense="robust_likelihood"))
        assert latest(curves(standard)).keys() == latest(curves(robust)).keys()
        assert clean_metrics(standard).keys() == clean_metrics(robust).keys()


def test_headlines_take_the_worst_attack_in_the_ball_of_the_certificate(tmp_path):
    table = read_metrics(write_classifier(tmp_path))
    pgd = table[table["kind"] == "pgd"]
    stronger = pgd.assign(method="other", accuracy=pgd["accuracy"] / 2)
    elsewhere = pgd.assign(method="l2", norm="l2", accuracy=0.0)
    both = pd.concat([table, stronger, elsewhere], ignore_index=True)
    found = [step["attack/accuracy"] for step in curves(both)]
    assert found == pytest.approx((pgd["accuracy"] / 2).tolist())
    assert headline_ball(both) == {"headline_ball": "linf, raw"}
    assert "attack/tv_median" not in latest(curves(both))


def test_without_attacks_and_certificates_there_are_no_curves(tmp_path):
    table = read_metrics(write_posterior(tmp_path))
    clean = table[table["kind"] == "clean"]
    assert curves(clean) == []
    assert headline_ball(clean) == {}
    assert clean_metrics(clean)["evaluate/clean/nll"] == -0.75
