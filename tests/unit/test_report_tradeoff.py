from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from report_example import EPSILONS, write_classifier, write_posterior

from certibayes.config.defenses import Fisher, NoDefense
from certibayes.config.sweeps import Sweep
from certibayes.report import figures_model, summary
from certibayes.report.figures_tradeoff import MOST_EPSILONS, tradeoff_figure
from certibayes.report.pareto import non_dominated
from certibayes.report.seeds import over_seeds
from certibayes.report.tradeoff import COLUMNS, WORST, tradeoff

SWEEP = Sweep(defense="fisher", parameter="beta", values=(0.1, 1, 10))


def brute_force(points):
    """Compare every point with every other, one number after the other."""
    found = []
    for i, one in enumerate(points):
        dominated = False
        for j, other in enumerate(points):
            if i != j and not any(np.isnan([*one, *other])):
                no_worse = all(b <= a for a, b in zip(one, other, strict=True))
                dominated |= no_worse and any(b < a for a, b in zip(one, other, strict=True))
        found.append(not dominated and not any(np.isnan(one)))
    return found


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_pareto_points_are_those_of_brute_force(axes):
    random = np.random.default_rng(axes)
    for size in (1, 2, 5, 30):
        for scale in (3, 1000):
            points = random.integers(0, scale, (size, axes)).astype(float)
            points[random.uniform(size=points.shape) < 0.05] = np.nan
            points[random.uniform(size=points.shape) < 0.05] = np.inf
            assert non_dominated(points).tolist() == brute_force(points.tolist())


def test_equal_points_do_not_dominate_each_other():
    points = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 3.0], [0.5, 9.0]])
    assert non_dominated(points).tolist() == [True, True, False, True]


@pytest.fixture
def folders(tmp_path):
    return [
        write_posterior(tmp_path, defense=name, seed=seed)
        for name in ("none", *SWEEP.names)
        for seed in (0, 1, 2)
    ]


@pytest.fixture
def frame(folders):
    return summary.collect(folders)


def models(*defenses):
    spec = {"none": NoDefense(), "fisher": Fisher(beta=0.3)}
    return [
        SimpleNamespace(defense=name, defense_spec=spec.get(name, Fisher(beta=1.0)))
        for name in defenses
    ]


@pytest.fixture
def points(frame):
    return tradeoff(frame, models("none", *SWEEP.names), {"strength": SWEEP})


def test_seeds_are_aggregated_as_by_hand(frame):
    table = over_seeds(frame)
    kept = (table["defense"] == "none") & (table["method"] == "pgd") & (table["epsilon"] == 0.05)
    row = table[kept & (table["quantity"] == "forward_kl_median")].iloc[0]
    rows = frame[(frame["defense"] == "none") & (frame["method"] == "pgd")]
    values = rows.loc[rows["epsilon"] == 0.05, "forward_kl_median"]
    assert len(values) == row["n"] == 3
    assert row["mean"] == pytest.approx(values.mean())
    assert row["sd"] == pytest.approx(values.std(ddof=1))
    assert (row["low"], row["high"]) == (values.min(), values.max())
    keys = [name for name in table.columns if name not in ("mean", "sd", "low", "high", "n")]
    assert not table.duplicated(keys).any()
    assert "seed" not in set(table["quantity"])


def test_one_seed_has_no_standard_deviation(tmp_path):
    table = over_seeds(summary.collect([write_posterior(tmp_path)]))
    assert table["sd"].isna().all()
    assert (table["mean"] == table["low"]).all()
    assert (table["n"] == 1).all()


def test_every_attack_certificate_epsilon_and_quantity_has_every_defense(points):
    assert list(points.columns) == list(COLUMNS)
    by = ["stage", "method", "epsilon", "quantity"]
    sizes = points.groupby(by)["defense"].agg(["size", "nunique"])
    assert (sizes == 4).all(axis=None)
    attacks = {("attack", name) for name in ("noise", "pgd", WORST)}
    found = set(zip(points["stage"], points["method"], strict=True))
    assert found == attacks | {("certify", "box")}
    assert (points["seeds"] == 3).all()


def test_a_sweep_is_one_curve_in_the_order_of_its_values(points):
    first = points[(points["method"] == "box") & (points["epsilon"] == EPSILONS[0])]
    assert list(first["curve"]) == ["none", "strength", "strength", "strength"]
    assert list(first["value"])[1:] == [0.1, 1, 10]
    assert list(first["parameter"].dropna()) == ["beta"] * 3


def test_the_defense_that_a_sweep_starts_from_is_a_point_of_it(tmp_path):
    names = ("none", "fisher", "fisher_beta_1", "trades")
    frame = summary.collect([write_posterior(tmp_path, defense=name) for name in names])
    table = tradeoff(frame, models(*names), {"strength": SWEEP})
    about = table.drop_duplicates("defense").set_index("defense")
    assert about.loc["fisher", "curve"] == about.loc["fisher_beta_1", "curve"] == "strength"
    assert about.loc["fisher", "value"] == 0.3
    assert about.loc["trades", "curve"] == "trades"


def test_pareto_marks_are_those_of_the_stated_axes(frame):
    random = np.random.default_rng(0)
    for column in ("forward_kl_median", "nll", "coverage_area"):
        known = frame[column].notna()
        frame.loc[known, column] = random.uniform(size=known.sum())
    table = tradeoff(frame, models("none", *SWEEP.names), {"strength": SWEEP})
    table = table[table["quantity"] == "forward_kl_median"]
    seen = set()
    for _, group in table.groupby(["method", "epsilon"]):
        for mark, axis in (("pareto", "fit"), ("pareto_coverage", "coverage_area")):
            expected = brute_force(group[["robustness", axis]].to_numpy().tolist())
            assert group[mark].tolist() == expected
            seen.add(tuple(expected))
    assert len(seen) > 2


def test_the_worst_attack_counts_per_seed(frame):
    pgd = frame[frame["method"] == "pgd"]
    other = pgd.assign(method="other", kind="fgsm", objective="nll")
    other["forward_kl_median"] *= np.where(other["seed"] == 0, 2.0, 0.5)
    both = pd.concat([frame, other], ignore_index=True)
    table = tradeoff(both, models("none", *SWEEP.names), {})
    row = table[(table["defense"] == "none") & (table["method"] == WORST)]
    row = row[(row["epsilon"] == 0.05) & (row["quantity"] == "forward_kl_median")].iloc[0]
    values = pgd[(pgd["defense"] == "none") & (pgd["epsilon"] == 0.05)]
    values = values.set_index("seed")["forward_kl_median"]
    assert row["robustness"] == pytest.approx((2 * values[0] + values[1] + values[2]) / 3)


def test_of_a_classifier_larger_is_better(tmp_path):
    names = ("none", "fisher")
    frame = summary.collect([write_classifier(tmp_path, name) for name in names])
    table = tradeoff(frame, models(*names), {})
    assert set(table["quantity"]) == {"accuracy"}
    assert set(table["fit_quantity"]) == {"accuracy"}
    for _, group in table.groupby(["method", "epsilon"]):
        expected = brute_force((-group[["robustness", "fit"]].to_numpy()).tolist())
        assert group["pareto"].tolist() == expected
    tradeoff_figure(table)


def test_the_figure_has_a_column_per_epsilon_and_rings_the_pareto_points(points):
    figure = tradeoff_figure(points)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:3] == [f"epsilon {value:g} (linf, feature_std)" for value in EPSILONS]
    assert len(figure.axes) == 3 * len(EPSILONS)
    kept = (points["method"] == WORST) & (points["quantity"] == "forward_kl_median")
    first = points[kept & (points["epsilon"] == EPSILONS[0])]
    ring = next(line for line in figure.axes[0].lines if line.get_markersize() == 10)
    assert len(ring.get_xdata()) == first["pareto"].sum()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [
        *("standard (no defense)", "strength: beta of fisher"),
        *("Pareto-optimal", "range over 3 seeds"),
    ]


def with_objectives(points, *objectives):
    own = points["method"] == "pgd"
    first = points.assign(objective=points["objective"].where(~own, objectives[0]))
    more = [first[own].assign(method=f"m{i}", objective=o) for i, o in enumerate(objectives[1:])]
    reverse = first[first["quantity"] == "forward_kl_median"]
    reverse = reverse.assign(quantity="reverse_kl_median", robustness=5 * reverse["robustness"])
    return pd.concat([first, reverse, *more], ignore_index=True)


@pytest.mark.parametrize(
    ("objectives", "labels"),
    [
        (("reverse_kl",), ["KL(q(.|x') || q(.|x))"]),
        (("forward_kl",), ["KL(q(.|x) || q(.|x'))"]),
        (("mmd",), ["KL(q(.|x) || q(.|x'))"]),
        (("reverse_kl", "mmd"), ["KL(q(.|x) || q(.|x'))", "KL(q(.|x') || q(.|x))"]),
    ],
)
def test_the_divergence_is_the_one_that_the_attacks_maximize(points, objectives, labels):
    table = with_objectives(points, *objectives)
    figure = tradeoff_figure(table)
    shown = [axis.get_xlabel() for axis in figure.axes[:: len(EPSILONS)]]
    assert len(shown) == 2 * len(labels) + 1
    for text, label in zip(shown, [*labels, *labels], strict=False):
        assert f"median {label}" in text
    quantity = "reverse_kl_median" if objectives == ("reverse_kl",) else "forward_kl_median"
    kept = (table["method"] == WORST) & (table["quantity"] == quantity)
    kept &= (table["epsilon"] == EPSILONS[0]) & (table["curve"] == "none")
    point = next(line for line in figure.axes[0].lines if line.get_marker() == "o")
    assert list(point.get_xdata()) == list(table.loc[kept, "robustness"])


def test_values_at_the_ends_of_a_curve_stay_inside_the_frame(points):
    figure = tradeoff_figure(points)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    seen = 0
    for axis in figure.axes:
        frame = axis.get_window_extent(renderer)
        for text in axis.texts:
            box = text.get_window_extent(renderer)
            assert frame.x0 <= box.x0 <= box.x1 <= frame.x1
            assert frame.y0 <= box.y0 <= box.y1 <= frame.y1
            seen += 1
    assert seen


def test_the_table_states_means_too(frame):
    known = frame["forward_kl_median"].notna()
    more = frame.assign(forward_kl_mean=frame["forward_kl_median"].where(known) * 2)
    table = tradeoff(more, models("none", *SWEEP.names), {"strength": SWEEP})
    by = table[table["method"] == WORST].groupby("quantity")["robustness"].mean()
    assert by["forward_kl_mean"] == pytest.approx(2 * by["forward_kl_median"])
    assert set(table.loc[table["curve"] == "strength", "swept"]) == {"fisher"}


def test_masked_attacks_have_a_figure_of_their_own(points):
    both = pd.concat([points, points[points["stage"] == "attack"].assign(mask="[0, 3]")])
    figures = dict(figures_model.tradeoff_figures(both))
    assert "features [0, 3]" in figures.popitem()[1].get_suptitle()


def test_of_many_epsilons_some_are_drawn(points):
    more = [points.assign(epsilon=points["epsilon"] + i) for i in range(4)]
    assert len(tradeoff_figure(pd.concat(more)).axes) == 3 * MOST_EPSILONS


def test_one_defense_has_no_tradeoff_figure(frame):
    alone = frame[frame["defense"] == "none"]
    table = tradeoff(alone, models("none"), {})
    assert list(figures_model.tradeoff_figures(table)) == []
    noise = tradeoff(frame, models("none", *SWEEP.names), {}).query("stage == 'attack'")
    unattacked = noise[noise["method"] != WORST]
    assert unattacked["defense"].nunique() > 1
    assert list(figures_model.tradeoff_figures(unattacked)) == []
    clean = frame[frame["kind"] == "clean"]
    assert tradeoff(clean, models("none", *SWEEP.names), {}).empty


def test_a_range_of_x_has_a_figure_of_its_own(points):
    both = pd.concat([points, points.assign(clip="[0.0, 1.0]")])
    stems = [stem for stem, _ in figures_model.tradeoff_figures(both)]
    assert stems == [
        "tradeoff_shift_n1000_maf_linf_feature_std",
        "tradeoff_shift_n1000_maf_linf_feature_std_0_0_1_0",
    ]
