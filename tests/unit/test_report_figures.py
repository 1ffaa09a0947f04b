import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from report_example import EPSILONS, write_classifier, write_posterior

from certibayes.config.sweeps import Sweep
from certibayes.report import (
    figures,
    figures_coverage,
    figures_curves,
    figures_distance,
    figures_observed,
    figures_parameters,
    figures_posterior,
    figures_predictive,
    figures_sbc,
    figures_style,
    observed_certificates,
    posteriors,
    summary,
)
from certibayes.report.tradeoff import tradeoff


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
    frame = summary.collect(folders)
    written = figures.write_all(frame, tradeoff(frame, [], {}), folders, target)
    assert {path.name for path in written} == {
        "curves_digits.png",
        "curves_shift.png",
        "coverage_shift.png",
        "tarp_shift.png",
        "sbc_shift_n1000_maf.png",
        "parameters_shift_n1000_maf.png",
        "predictive_distance_shift_n1000_maf.png",
        "curves_lynx.png",
        "coverage_lynx.png",
        "tarp_lynx.png",
        "sbc_lynx_n1000_maf.png",
        "parameters_lynx_n1000_maf.png",
        "predictive_distance_lynx_n1000_maf.png",
        "tradeoff_lynx_n1000_maf_linf_feature_std.png",
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


def seeded(tmp_path, count=3):
    folders = [
        write_posterior(tmp_path, defense=name, seed=seed)
        for name in ("none", "fisher")
        for seed in range(count)
    ]
    return folders, summary.collect(folders)


def test_curves_have_a_band_from_the_smallest_to_the_largest_seed(tmp_path):
    _, frame = seeded(tmp_path)
    figure = figures_curves.curves_figure(frame, {"none": "red", "fisher": "blue"})
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "range over 3 seeds" in labels
    rows = frame[(frame["defense"] == "none") & (frame["method"] == "pgd")]
    wanted = rows.groupby("epsilon")["total_variation_median"].agg(["min", "max"])
    axis = figure.axes[0]
    bands = [band.get_paths()[0].vertices for band in axis.collections]
    ends = [set(np.round(band[:, 1], 12)) for band in bands]
    assert set(np.round(wanted.to_numpy().ravel(), 12)) in ends
    single = frame[frame["seed"] == 0]
    figure = figures_curves.curves_figure(single, {"none": "red", "fisher": "blue"})
    assert not [t for t in figure.legends[0].get_texts() if "seeds" in t.get_text()]


def test_titles_labels_and_legend_of_coverage_stand_apart(folders):
    table = figures_coverage.read_coverage(folders)
    frame = summary.collect(folders)
    colors = figures_style.defense_colors(frame)
    own = frame[frame["task"] == "lynx"]
    figure = figures_coverage.coverage_figure(table[table["task"] == "lynx"], own, colors)
    FigureCanvasAgg(figure).draw()
    axes = [axis for axis in figure.axes if axis.get_visible()]
    texts = [figure._suptitle, *(axis.title for axis in axes)]
    texts += [axis.xaxis.label for axis in axes]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    boxes += [axis.get_window_extent() for axis in axes]
    boxes.append(figure.legends[0].get_window_extent())
    for place, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[place + 1 :])


def test_coverage_of_balls_has_its_own_figure(tmp_path):
    folders, frame = seeded(tmp_path)
    table = figures_coverage.read_coverage(folders)
    colors = {"none": "red", "fisher": "blue"}
    for quantity in ("coverage", "tarp"):
        figure = figures_coverage.coverage_figure(table, frame, colors, quantity)
        clean = figure.axes[0].lines[1]
        rows = table[(table["method"] == "clean") & (table["defense"] == "none")]
        wanted = rows.groupby("level")[quantity].mean()
        np.testing.assert_allclose(clean.get_ydata(), wanted)


def test_the_strongest_attack_is_named_where_parameters_move(tmp_path):
    folders, frame = seeded(tmp_path)
    table = figures_parameters.read_parameters([*folders, write_classifier(tmp_path)])
    figure = figures_parameters.parameters_figure(table, frame, {"none": "red", "fisher": "blue"})
    assert "pgd, epsilon 0.05 (linf, feature_std)" in figure.get_suptitle()
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()][:2] == ["alpha", "beta"]
    rows = table[(table["method"] == "pgd") & (table["epsilon"] == 0.05)]
    rows = rows[(rows["defense"] == "none") & (rows["parameter"] == "beta")]
    points = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 8]
    assert points[0].get_xdata()[1] == pytest.approx(rows["mean_shift_median"].mean())


def test_parameters_need_an_attack(tmp_path):
    folders, frame = seeded(tmp_path, 1)
    clean = frame[frame["kind"].isin(["clean", "noise"])]
    table = figures_parameters.read_parameters(folders)
    with pytest.raises(ValueError, match="at least one beside noise"):
        figures_parameters.parameters_figure(table, clean, {"none": "red"})


def test_rank_histograms_have_a_row_per_defense_and_a_column_per_parameter(tmp_path):
    folders, frame = seeded(tmp_path, 1)
    ranks = figures_sbc.read_ranks([*folders, write_classifier(tmp_path)])
    assert [one.keys["defense"] for one in ranks] == ["none", "fisher"]
    figure = figures_sbc.sbc_figure(ranks, frame, {"none": "red", "fisher": "blue"})
    assert len(figure.axes) == 2 * 8
    assert [axis.get_title() for axis in figure.axes[:2]] == ["alpha", "beta"]
    heights = figure.axes[0].patches[1].get_data().values
    found, uniform = (
        np.histogram((values + 0.5) / 101, 10, (0, 1))[0]
        for values in (ranks[0].ranks["clean"][:, 0], np.arange(101))
    )
    np.testing.assert_allclose(heights, (found / 60) / (uniform / 101))


@pytest.mark.parametrize(
    ("draws", "count"), [(99, 10), (255, 8), (256, 10), (119, 10), (129, 10), (197, 11), (3, 10)]
)
def test_bars_of_ranks_hold_equally_many_ranks_where_that_is_possible(draws, count):
    assert figures_sbc.bins(draws) == count
    if (draws + 1) % count == 0:
        ranks = np.histogram((np.arange(draws + 1) + 0.5) / (draws + 1), count, (0, 1))[0]
        assert set(ranks) == {(draws + 1) // count}


def test_of_many_parameters_the_least_flat_are_drawn(tmp_path):
    folders, frame = seeded(tmp_path, 1)
    (one, _) = figures_sbc.read_ranks(folders)
    flat = np.tile(np.arange(60)[:, None] * 100 // 60, (1, 12))
    flat[:, [3, 7]] = 99
    names = tuple(f"p{i}" for i in range(12))
    many = figures_sbc.Ranks(one.keys, names, 100, {"clean": flat})
    figure = figures_sbc.sbc_figure([many], frame, {"none": "red"})
    titles = [axis.get_title() for axis in figure.axes]
    assert len(titles) == figures_sbc.MOST_PARAMETERS
    assert {"p3", "p7"} < set(titles)
    assert "8 of 12 parameters" in figure.get_suptitle()


def test_predictive_distances_start_at_the_clean_observation(tmp_path):
    _, frame = seeded(tmp_path)
    figure = figures_distance.distance_figure(frame, {"none": "red", "fisher": "blue"})
    line = figure.axes[1].lines[0]
    assert list(line.get_xdata()) == [0.0, *EPSILONS]
    clean = frame[(frame["kind"] == "clean") & (frame["defense"] == "none")]
    assert line.get_ydata()[0] == pytest.approx(clean["predictive_l2_median"].mean())
    assert figures_distance.has_distances(frame)
    assert not figures_distance.has_distances(frame.assign(predictive_l2_median=np.nan))


def test_no_color_repeats_and_those_of_a_sweep_are_shades(tmp_path):
    sweep = Sweep(defense="fisher", parameter="beta", values=tuple(range(1, 11)))
    others = [f"other{i}" for i in range(40)]
    names = ["none", "fisher", *sweep.names, *others]
    frame = pd.DataFrame({"defense": names})
    table = pd.DataFrame({"defense": ["none", *sweep.names], "curve": ["none"] + 10 * ["s"]})
    for colors in (figures_style.defense_colors(frame), figures_style.defense_colors(frame, table)):
        assert set(colors) == set(names)
        assert len(set(colors.values())) == len(names)
        assert [n for n, c in colors.items() if c == figures_style.PALETTE[0]] == ["none"]
    light = [sum(to_rgb(colors[name])) for name in sweep.names]
    assert light == sorted(light, reverse=True)
    assert len(set(figures_style.curve_colors(names).values())) == len(names)


def many(tmp_path, count=9):
    names = ["none", *(f"fisher_beta_{i}" for i in range(count - 1))]
    folders = [write_posterior(tmp_path, "lynx", defense=n, observed=True) for n in names]
    frame = summary.collect(folders)
    return folders, frame, figures_style.defense_colors(frame)


def test_no_figure_is_too_wide(tmp_path):
    folders, frame, colors = many(tmp_path)
    coverage = figures_coverage.read_coverage(folders)
    predictions = figures_predictive.read_predictions(folders)
    observed = posteriors.of_first_observation(posteriors.read_posteriors(folders))
    for figure in (
        figures_curves.curves_figure(frame, colors),
        figures_coverage.coverage_figure(coverage, frame, colors),
        figures_predictive.predictive_figure(predictions, colors),
        figures_posterior.posterior_figure(observed, colors),
    ):
        assert figure.get_figwidth() <= figures_style.WIDEST
    figure = figures_curves.curves_figure(frame, colors)
    shown = [axis.get_title() for axis in figure.axes if axis.get_visible()]
    assert shown == [figures_style.defense_label(name) for name in colors]


@pytest.mark.parametrize("epsilon", [0.0, EPSILONS[0]])
def test_at_a_single_epsilon_ranges_are_bars(tmp_path, epsilon):
    _, frame = seeded(tmp_path)
    alone = frame[(frame["kind"] == "clean") | (frame["epsilon"] == EPSILONS[0])]
    alone = alone.assign(epsilon=alone["epsilon"].where(alone["epsilon"].isna(), epsilon))
    axis = figures_curves.curves_figure(alone, {"none": "red", "fisher": "blue"}).axes[0]
    low, high = axis.get_xlim()
    assert low <= epsilon < high
    rows = alone[(alone["defense"] == "none") & (alone["method"] == "pgd")]
    ends = rows[["total_variation_low", "total_variation_high"]].mean()
    bars = [bar for found in axis.collections for bar in found.get_segments()]
    assert any(np.allclose(bar[:, 1], ends) for bar in bars)
    seeds = rows["total_variation_median"].agg(["min", "max"])
    assert any(np.allclose(bar[:, 1], seeds) for bar in bars)


def test_clip_and_mask_are_named_and_not_merged(tmp_path):
    folders, frame = seeded(tmp_path, 1)
    colors = {"none": "red", "fisher": "blue"}
    pgd = frame[frame["kind"] == "pgd"]
    both = pd.concat(
        [frame, pgd.assign(clip="[0, 1]", mask="[2]", method="other")], ignore_index=True
    )
    labels = {axis.get_xlabel() for axis in figures_curves.curves_figure(both, colors).axes}
    wanted = {
        "epsilon (linf, feature_std)",
        "epsilon (linf, feature_std, clip [0, 1], features [2])",
    }
    assert labels == wanted
    figure = figures_distance.distance_figure(both, colors)
    assert {axis.get_xlabel() for axis in figure.axes} == wanted
    table = figures_coverage.read_coverage(folders)
    table = pd.concat([table, table[table["method"] == "pgd"].assign(method="other")])
    figure = figures_coverage.coverage_figure(table, both, colors)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "other 0.05 (linf, feature_std, clip [0, 1], features [2])" in legend
    assert all(axis.get_legend() is None for axis in figure.axes)


def test_distances_reach_close_to_the_top(tmp_path):
    _, frame = seeded(tmp_path)
    axis = figures_distance.distance_figure(frame, {"none": "red", "fisher": "blue"}).axes[1]
    rows = frame[frame["kind"].isin(["clean", "pgd"])]
    assert axis.get_ylim()[1] == pytest.approx(1.05 * rows["predictive_l2_median"].max())
