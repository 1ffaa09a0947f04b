import pandas as pd
import pytest
from report_example import write_classifier, write_posterior

from certibayes.report import summary, table


@pytest.fixture
def study(tmp_path):
    folders = [write_posterior(tmp_path, defense=name) for name in ("none", "robust_likelihood")]
    folders += [write_classifier(tmp_path, defense=name) for name in ("none", "robust_likelihood")]
    return summary.collect(folders)


def test_the_table_fits_a_terminal(study):
    text = table.render(study)
    assert max(map(len, text.splitlines())) <= table.WIDTH
    assert "nan" not in text.lower()


def test_the_table_states_ball_terms_and_models(study):
    text = table.render(study)
    assert "ball linf, feature_std" in text
    assert "ball linf, raw" in text
    assert "confidence 0.999, 10000 draws, empirical_bernstein" in text
    assert "maf, robust_likelihood, seed 0: NLL -0.75 (exact -0.79); 1200 steps, 31 s" in text
    assert text.count("seed 0") == 4


def test_bounds_of_the_page_are_rounded_against_the_claim(study, tmp_path):
    rows = (study["stage"] == "certify") & (study["task"] == study["task"].iloc[-1])
    study.loc[rows & study["accuracy"].isna(), "total_variation_median"] = 0.12301
    study.loc[rows & study["accuracy"].notna(), "accuracy"] = 0.71299
    table.write_html(study, tmp_path / "summary.html")
    page = (tmp_path / "summary.html").read_text()
    assert ("0.124" in page) or ("0.712" in page)
    assert "0.123" not in page
    assert "0.713" not in page


def test_bounds_are_rounded_against_the_claim(study):
    rows = study["stage"] == "certify"
    posterior = rows & study["accuracy"].isna()
    study.loc[posterior, "total_variation_median"] = 0.1231
    study.loc[rows & ~posterior, "accuracy"] = 0.8769
    text = table.render(study)
    assert "0.124" in text
    assert "0.876" in text
    assert "0.123 " not in text
    assert "0.877" not in text


def test_a_model_without_attacks_is_listed(study):
    text = table.render(study[study["kind"] == "clean"])
    assert "no certificate" in text
    assert "bnn, none, seed 0" in text


def test_the_page_is_self_contained(study, tmp_path):
    table.write_html(study, tmp_path / "summary.html")
    page = (tmp_path / "summary.html").read_text()
    assert "<style>" in page
    assert "http" not in page
    assert page.count("<table") == 3
    assert "kl estimate" not in page


def test_the_page_says_whether_network_or_exact_posterior_moves(study, tmp_path):
    attacked = study["kind"] == "pgd"
    posterior = study["accuracy"].isna()
    known = posterior & study["kind"].isin(["clean", "pgd"])
    for end, value in (("median", 0.5), ("low", 0.25), ("high", 7.0)):
        study.loc[known, f"exact_kl_{end}"] = value
        study.loc[attacked & posterior, f"exact_shift_kl_{end}"] = 100 * value
    table.write_html(study, tmp_path / "summary.html")
    page = (tmp_path / "summary.html").read_text()
    assert page.count("<table") == 4
    assert "shift: does the network fail, or does the exact posterior move?" in page
    assert page.count("0.5 [0.25, 7]") == known.sum()
    assert page.count("50 [25, 700]") == (attacked & posterior).sum()


def test_a_written_summary_renders_as_before(study, tmp_path):
    summary.write(study, tmp_path / "summary.csv")
    assert table.render(pd.read_csv(tmp_path / "summary.csv")) == table.render(study)
