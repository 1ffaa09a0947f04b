import pandas as pd
import pytest
from report_example import EPSILONS, write_classifier, write_posterior

from certibayes.report import summary
from certibayes.report.figures_parameters import strongest_attack
from certibayes.report.levels import levels


def test_collect_keeps_every_row_once_and_puts_no_defense_first(tmp_path):
    folders = [write_posterior(tmp_path, defense=name) for name in ("fisher", "none")]
    frame = summary.collect(folders)
    assert len(frame) == sum(len(pd.read_csv(folder / "metrics.csv")) for folder in folders)
    assert list(frame["defense"].drop_duplicates()) == ["none", "fisher"]
    first = frame[frame["defense"] == "none"]
    assert list(first["stage"].drop_duplicates()) == ["evaluate", "attack", "certify"]
    assert list(frame.columns) == list(summary.COLUMNS)


def test_collect_does_not_depend_on_the_order_of_folders(tmp_path):
    folders = [write_posterior(tmp_path, seed=seed) for seed in (0, 1)]
    pd.testing.assert_frame_equal(summary.collect(folders), summary.collect(folders[::-1]))


def test_a_missing_column_is_named(tmp_path):
    folder = write_posterior(tmp_path)
    table = pd.read_csv(folder / "metrics.csv").drop(columns="unknown_share")
    table.to_csv(folder / "metrics.csv", index=False)
    with pytest.raises(ValueError, match=r"metrics\.csv: columns missing: unknown_share"):
        summary.collect([folder])


def test_collect_refuses_nothing():
    with pytest.raises(ValueError, match="at least one"):
        summary.collect([])


def test_written_summary_reads_back(tmp_path):
    frame = summary.collect([write_posterior(tmp_path)])
    summary.write(frame, tmp_path / "summary.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "summary.csv"), frame, check_dtype=False)


def test_levels_take_the_worst_attack(tmp_path):
    frame = summary.collect([write_posterior(tmp_path)])
    worse = frame[frame["kind"] == "pgd"].assign(method="other", total_variation_median=0.9)
    table = levels(pd.concat([frame, worse], ignore_index=True))
    assert list(table["epsilon"]) == list(EPSILONS)
    assert (table["attacked"] == 0.9).all()
    assert set(table["attack"]) == {"other"}
    assert (table["clean"] == 0).all()


def test_of_equally_strong_attacks_the_larger_divergence_counts(tmp_path):
    frame = summary.collect([write_posterior(tmp_path)])
    pgd = frame["kind"] == "pgd"
    frame.loc[pgd, "total_variation_median"] = 1 - 1e-9
    more = frame[pgd].assign(method="other", total_variation_median=1 - 2e-9)
    more = more.assign(forward_kl_median=500.0, reverse_kl_median=3.0, forward_kl_se=0.25)
    frame.loc[pgd, "reverse_kl_median"] = 40.0
    both = pd.concat([frame, more], ignore_index=True)
    table = levels(both)
    assert set(table["attack"]) == {"other"}
    assert set(table["forward_kl"]) == {500.0}
    assert set(table["forward_kl_se"]) == {0.25}
    assert set(table["reverse_kl"]) == {40.0}
    assert strongest_attack(both)["method"] == "other"
    assert strongest_attack(both.iloc[::-1])["method"] == "other"


def test_the_exact_shift_comes_from_the_attack_or_else_the_certificate(tmp_path):
    frame = summary.collect([write_posterior(tmp_path)])
    certify = frame["stage"] == "certify"
    frame.loc[certify, "exact_total_variation"] = 0.7
    wanted = [2 * epsilon for epsilon in EPSILONS]
    assert levels(frame)["exact"].tolist() == pytest.approx(wanted)
    assert set(levels(frame[frame["kind"] != "pgd"])["exact"]) == {0.7}


def test_masked_attacks_are_not_merged_with_whole_ones(tmp_path):
    frame = summary.collect([write_posterior(tmp_path)])
    masked = frame[frame["kind"] == "pgd"].assign(mask="[0]", total_variation_median=0.99)
    table = levels(pd.concat([frame, masked], ignore_index=True))
    assert len(table) == 2 * len(EPSILONS)
    assert (table.loc[table["mask"].isna(), "attacked"] < 0.99).all()
    assert (table.loc[table["mask"] == "[0]", "attacked"] == 0.99).all()


def test_of_two_certificates_of_one_ball_none_is_chosen(tmp_path):
    frame = summary.collect([write_posterior(tmp_path)])
    better = frame[frame["stage"] == "certify"].assign(method="crown", total_variation_median=0.1)
    with pytest.raises(ValueError, match=r"certificates of one ball: got .*'crown'"):
        levels(pd.concat([frame, better], ignore_index=True))


def test_levels_of_a_classifier_are_accuracies(tmp_path):
    frame = summary.collect([write_classifier(tmp_path)])
    table = levels(frame)
    clean = frame[frame["kind"] == "clean"]["accuracy"].item()
    assert (table["clean"] == clean).all()
    assert (table["certified"] <= table["attacked"]).all()
    assert (table["attacked"] <= table["noise"]).all()


def test_a_model_without_attacks_has_one_level(tmp_path):
    frame = summary.collect([write_posterior(tmp_path)])
    assert len(levels(frame[frame["kind"] == "clean"])) == 1
