import numpy as np
import pandas as pd
import pytest
from report_example import EPSILONS, write_classifier, write_posterior

from certibayes.report import figures, figures_curves, figures_style, posteriors, summary


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
    }
    for path in written:
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG")


def test_moments_state_mean_and_sd_of_the_draws(folders):
    found = posteriors.read_posteriors(folders)
    assert [one.task for one in found] == ["lynx", "lynx"]
    table = posteriors.moments(found)
    assert len(table) == 2 * 8 * (1 + 2 * len(EPSILONS))
    row = table[(table["defense"] == "none") & (table["parameter"] == "beta")]
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
