import pandas as pd
import pytest
from report_example import EPSILONS, write_classifier, write_posterior

from certibayes.report import summary
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
