import numpy as np
import pandas as pd
import pytest
from report_example import EPSILONS, write_classifier, write_posterior

from certibayes.report import (
    figures,
    figures_curves,
    figures_observed,
    figures_predictive,
    figures_style,
    observed_certificates,
    posteriors,
    summary,
)


@pytest.fixture
def folders(tmp_path):
    found = [
        write_posterior(tmp_path, "lynx", defense=name, observed=True)
        for name in ("none", "robust_likelihood")
    ]
    found += [write_posterior(tmp_path, seed=seed) for seed in (0, 1)]
    return [*found, write_classifier(tmp_path)]


def test_file_names_derive_from_the_task(folders, tmp_path):
    target = tmp_path / "report"
    target.mkdir()
    written = figures.write_all(summary.collect(folders), folders, target)
    assert {path.name for path in written} == {
        "curves_digits.png",
        "curves_shift.png",
        "coverage_shift.png",
        "curves_lynx.png",
        "coverage_lynx.png",
        "posterior_lynx.png",
        "posterior_lynx.csv",
        "certified_lynx.csv",
        "observed_lynx.png",
        "predictive_lynx.png",
    }
    for path in written:
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG")


def test_moments_state_mean_and_sd_of_the_draws(folders):
    found = posteriors.read_posteriors(folders)
    assert [one.task for one in found] == ["lynx"] * 4
    assert [one.observation for one in found] == ["first", "second"] * 2
    assert posteriors.of_first_observation(found) == found[::2]
    table = posteriors.moments(found)
    assert len(table) == 2 * 2 * 8 * (1 + 2 * len(EPSILONS))
    row = table[(table["defense"] == "none") & (table["parameter"] == "beta")]
    row = row[row["observation"] == "first"]
    clean = row[row["method"] == "clean"].iloc[0]
    assert clean["mean"] == pytest.approx(found[0].clean[:, 1].mean())
    assert clean["sd"] == pytest.approx(found[0].clean[:, 1].std(ddof=1))
    assert found[0].strongest.label == "pgd, epsilon 0.05 (linf, feature_std)"


def test_a_defense_has_one_color_and_none_the_first(folders):
    frame = summary.collect(folders)
    colors = figures_style.defense_colors(frame)
    assert colors["none"] == figures_style.PALETTE[0]
    assert len(set(colors.values())) == len(colors) == 2
    only = figures_style.defense_colors(frame[frame["defense"] != "none"])
    assert figures_style.PALETTE[0] not in only.values()


def test_curves_have_a_panel_per_defense_with_norm_and_unit(folders):
    frame = summary.collect(folders)
    rows = frame[frame["task"] == "lynx"]
    figure = figures_curves.curves_figure(rows, figures_style.defense_colors(frame))
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["standard (no defense)", "robust_likelihood"]
    assert {axis.get_xlabel() for axis in figure.axes} == {"epsilon (linf, feature_std)"}
    certified = [line for line in figure.axes[0].lines if line.get_marker() == "D"]
    expected = rows[(rows["defense"] == "none") & (rows["stage"] == "certify")]
    np.testing.assert_allclose(certified[0].get_ydata(), expected["total_variation_median"])


def test_curves_of_a_study_without_attacks(folders):
    frame = summary.collect(folders)
    clean = frame[(frame["kind"] == "clean") & (frame["task"] == "digits")]
    figures_curves.curves_figure(pd.DataFrame(clean), figures_style.defense_colors(frame))


@pytest.mark.parametrize("observed", [True, "recorded"])
def test_predictions_have_a_row_per_observation_and_series(tmp_path, observed):
    folders = [
        write_posterior(tmp_path, "lynx", defense=name, observed=observed)
        for name in ("none", "fisher")
    ]
    predictions = figures_predictive.read_predictions(folders)
    figure = figures_predictive.predictive_figure(predictions, {"none": "red", "fisher": "blue"})
    assert len(figure.axes) == 2 * 2 * 2
    titles = [axis.get_title(loc="left").splitlines()[-1] for axis in figure.axes]
    assert titles == ["first"] * 4 + ["second"] * 4
    assert [axis.get_ylabel() for axis in figure.axes[::2]] == ["hare", "lynx"] * 2
    recorded = observed == "recorded"
    assert ("not at hand" in figure.get_suptitle()) is not recorded
    for axis in figure.axes:
        assert len(axis.lines) == 10 + recorded
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xdata(), 1900 + np.arange(21))


def test_failed_predictions_are_counted(tmp_path):
    folder = write_posterior(tmp_path, "lynx", observed=True)
    (one,) = figures_predictive.read_predictions([folder])
    one.values[1, 3] = np.nan
    figure = figures_predictive.predictive_figure([one], {"none": "red"})
    assert figure.axes[2].get_title(loc="left") == "second (1 of 10 simulations failed)"


def test_certificates_carry_the_name_of_their_observation(tmp_path):
    folder = write_posterior(tmp_path, "lynx", observed=True)
    with np.load(folder / "posterior.npz") as file:
        arrays = {key: file[key] for key in file.files}
    for epsilon in EPSILONS:
        arrays[f"certify/box/{epsilon!r}/upper"] = np.array([0.1, 0.4])
        arrays[f"certify/box/{epsilon!r}/verdict"] = np.array(["certified", "unknown"])
    np.savez(folder / "posterior.npz", **arrays)
    table = observed_certificates.read_certificates([folder])
    assert table["observation"].tolist() == ["first", "second"] * len(EPSILONS)
    text = observed_certificates.render_certificates(table)
    assert "lynx, real observation second: certified total variation (tau 0.2" in text


def test_exploding_predictions_do_not_hide_the_recording(tmp_path):
    folder = write_posterior(tmp_path, "lynx", observed="recorded")
    (one,) = figures_predictive.read_predictions([folder])
    one.values[0, 0, 0, 5] = 1e6
    figure = figures_predictive.predictive_figure([one], {"none": "red"})
    recording = one.recordings[0, 0]
    low, high = figure.axes[0].get_ylim()
    assert recording.max() < high < recording.max() + 3 * np.ptp(recording)
    assert recording.min() - np.ptp(recording) < low < recording.min()
    assert figure.axes[2].get_ylim()[1] < 10


def test_features_are_named_on_the_axis_of_the_observed_figure(folders):
    found = posteriors.of_first_observation(posteriors.read_posteriors(folders))
    figure = figures_observed.observed_figure(found, {"none": "red", "robust_likelihood": "blue"})
    labels = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert labels[:2] == ["hare 0", "hare 3"]
    assert labels[-1].startswith("lynx")
    assert "observation first under attack" in figure.get_suptitle()
