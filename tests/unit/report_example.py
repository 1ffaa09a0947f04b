"""Synthetic `evaluate` folders, as the evaluate stage leaves them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from certibayes.columns import COLUMNS, COVERAGE_COLUMNS, PARAMETER_COLUMNS

EPSILONS = (0.01, 0.02, 0.05)
ITEMS = 60
META = {
    "noise": {"kind": "noise", "points": 8},
    "pgd": {"kind": "pgd", "points": 8},
    "box": {"kind": "", "points": None, "objective": None},
}
NAMES = ("alpha", "beta", "gamma", "delta", "hare_0", "lynx_0", "sigma_hare", "sigma_lynx")


def write_posterior(root: Path, task="shift", model="maf", defense="none", seed=0, observed=False):
    folder = root / task / "n1000" / model / defense / f"seed{seed}" / "evaluate"
    folder.mkdir(parents=True)
    random = np.random.default_rng([seed, len(defense)])
    slope = 8.0 if defense == "none" else 2.0
    items, rows, coverage, parameters = {"clean/sbc_draws": np.array(100)}, [], [], []
    about = {"method": "clean", "epsilon": 0.0}
    parameters += [row | about for row in _calibration(items, "clean", random, 1.0, 0.0)]
    base = _base(task, model, defense, seed)
    clean = {"coverage_area": 0.02} | _quantiles("predictive_l2", random.uniform(1, 2, 20))
    clean |= {"nats": 4.0 if defense == "none" else 3.0}
    clean |= {"nll": -0.75, "nll_exact": -0.79, "coverage_90": 0.9, "c2st": 0.53}
    rows.append(base | clean | {"stage": "evaluate", "method": "clean", "kind": "clean"})
    coverage += [("clean", 0.0, level, level) for level in np.linspace(0.05, 0.95, 19)]
    for epsilon in EPSILONS:
        shift = 1 - np.exp(-slope * epsilon * random.uniform(0.5, 1.5, ITEMS))
        bound = np.minimum(1.0, (6 if defense == "none" else 1.5) * slope * epsilon + 0.02)
        for attack, factor in (("noise", 0.3), ("pgd", 0.9)):
            value = factor * shift
            key = f"attack/{attack}/{epsilon!r}"
            noisy = value + 0.001 * random.standard_normal(ITEMS)
            items[f"{key}/selected"] = value
            items[f"{key}/forward_kl"] = noisy
            items[f"{key}/common_total_variation"] = np.minimum(value, bound)
            items[f"{key}/common_forward_kl"] = np.minimum(value, bound)
            quantities = _quantiles("total_variation", value) | {"coverage_90": 0.9 - value.mean()}
            if attack == "pgd":
                quantities["exact_total_variation"] = 2 * epsilon
                coverage += [
                    (attack, epsilon, level, level ** (1 + 10 * slope * epsilon / 8))
                    for level in np.linspace(0.05, 0.95, 19)
                ]
            about = {"stage": "attack", "method": attack, "kind": attack}
            quantities |= _quantiles("forward_kl", 10 * value)
            quantities |= _quantiles("predictive_l2", random.uniform(1, 2, 20) + 3 * value.mean())
            rows.append(base | about | _ball(epsilon, "forward_kl") | quantities)
            about = {"method": attack, "epsilon": epsilon}
            moved = _calibration(items, f"attack/{attack}/{epsilon!r}", random, 1.2, 5 * epsilon)
            parameters += [row | about for row in moved]
        certified = np.full(ITEMS, bound <= 0.2)
        key = f"certify/box/{epsilon!r}"
        items[f"{key}/upper"] = np.full(ITEMS, bound)
        items[f"{key}/common_total_variation"] = np.full(ITEMS, bound)
        items[f"{key}/common_forward_kl"] = np.full(ITEMS, 10 * bound)
        _verdicts(items, key, certified)
        about = {"stage": "certify", "method": "box", "kind": "posterior_shift", "tau": 0.2}
        about |= {"confidence": 0.999, "draws": 10_000, "interval": "empirical_bernstein"}
        about |= {"bounds": "crown_ibp", "route": "direct"}
        about |= _quantiles("reached_total_variation", np.full(ITEMS, 0.01))
        shares = {"certified_share": certified.mean(), "unknown_share": 1 - certified.mean()}
        quantities = _quantiles("total_variation", np.full(ITEMS, bound)) | {"refuted_share": 0.0}
        rows.append(base | about | _ball(epsilon, None) | quantities | shares)
    _write(
        folder, rows, items, coverage, "forward_kl", "feature_std", "posterior_shift", parameters
    )
    _write_observed(folder, random, slope, observed)
    return folder


def write_classifier(root: Path, defense="none", seed=0):
    folder = root / "digits" / "n1297" / "bnn" / defense / f"seed{seed}" / "evaluate"
    folder.mkdir(parents=True)
    random = np.random.default_rng([seed, len(defense)])
    margin = random.gamma(2.0, 0.01 if defense == "none" else 0.05, ITEMS) - 0.003
    base = _base("digits", "bnn", defense, seed) | {"budget": 1297}
    items, rows = {"clean/correct": margin > 0}, []
    clean = {"nll": 0.12, "accuracy": (margin > 0).mean(), "ece": 0.02}
    rows.append(base | clean | {"stage": "evaluate", "method": "clean", "kind": "clean"})
    for epsilon in EPSILONS:
        for attack, factor in (("noise", 0.2), ("pgd", 0.8)):
            correct = margin > factor * epsilon
            key = f"attack/{attack}/{epsilon!r}"
            items[f"{key}/selected"] = factor * epsilon - margin
            items[f"{key}/correct"] = correct
            about = {"stage": "attack", "method": attack, "kind": attack, "ece": 0.05}
            about["accuracy"] = correct.mean()
            rows.append(base | about | _ball(epsilon, "expected_loss") | {"unit": "raw"})
        certified = margin > 1.4 * epsilon
        key = f"certify/box/{epsilon!r}"
        _verdicts(items, key, certified)
        about = {"stage": "certify", "method": "box", "kind": "decision", "unit": "raw"}
        about |= {"accuracy": certified.mean(), "certified_share": certified.mean()}
        about |= {"unknown_share": 1 - certified.mean(), "refuted_share": 0.0, "confidence": 1.0}
        rows.append(base | _ball(epsilon, None) | about)
    _write(folder, rows, items, [], "expected_loss", "raw", "decision")
    np.savez(folder / "posterior.npz")
    return folder


def _calibration(items, key, random, width, shift):
    """Add ranks of 8 parameters and return their rows of parameters.csv."""
    ranks = random.normal(shift, width, (ITEMS, 8))
    items[f"{key}/sbc_ranks"] = np.clip(np.round(50 + 29 * ranks), 0, 100).astype(int)
    moved = np.abs(shift) * np.linspace(0.2, 2, 8)
    rows = []
    for name, value in zip(NAMES, moved, strict=True):
        row = {"parameter": name, "sbc_ks": 0.1, "sbc_p": 0.4}
        for column, center in (("mean_shift", value), ("wasserstein", value), ("std_ratio", 1.1)):
            row |= {f"{column}_median": center, f"{column}_low": 0.7 * center}
            row |= {f"{column}_high": 1.4 * center}
        rows.append(row)
    return rows


def tamper(folder: Path, **changes):
    """Replace arrays of items.npz; a key's slashes are written as double underscores."""
    with np.load(folder / "items.npz") as file:
        arrays = {key: file[key] for key in file.files}
    for key, change in changes.items():
        name = key.replace("__", "/")
        arrays[name] = change(arrays[name].copy())
    np.savez(folder / "items.npz", **arrays)


def _base(task, model, defense, seed):
    keys = {"study": "demo", "task": task, "budget": 1000, "model": model, "defense": defense}
    cost = {"observations": ITEMS, "train_steps": 1200, "train_seconds": 31.4}
    return keys | {"seed": seed} | cost


def _ball(epsilon, objective):
    return {"norm": "linf", "unit": "feature_std", "epsilon": epsilon, "objective": objective}


def _quantiles(name, values):
    low, median, high = np.quantile(values, [0.15, 0.5, 0.85])
    return {f"{name}_low": low, f"{name}_median": median, f"{name}_high": high}


def _verdicts(items, key, certified):
    items[f"{key}/certified"] = certified
    items[f"{key}/refuted"] = np.zeros(ITEMS, dtype=bool)
    items[f"{key}/unknown"] = ~certified


def _write(folder, rows, items, coverage, objective, unit, certificate, parameters=()):
    meta = {
        name: {"norm": "linf", "unit": unit, "objective": objective, "clip": None} | about
        for name, about in META.items()
    }
    meta["box"]["kind"] = certificate
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(folder / "metrics.csv", index=False)
    np.savez(folder / "items.npz", meta=np.array(json.dumps(meta)), **items)
    table = pd.DataFrame(coverage, columns=list(COVERAGE_COLUMNS[:4]))
    table = table.assign(tarp=table["coverage"] ** 1.1)
    table.to_csv(folder / "coverage.csv", index=False)
    table = pd.DataFrame(parameters, columns=list(PARAMETER_COLUMNS))
    table.to_csv(folder / "parameters.csv", index=False)


def _write_observed(folder, random, slope, observed):
    if not observed:
        none = np.array([], dtype=str)
        np.savez(folder / "posterior.npz", names=none, features=none, observations=none)
        return
    mixing = np.eye(8) + 0.5 * np.random.default_rng(0).standard_normal((8, 8))
    draws = {"clean": np.exp(0.3 * random.standard_normal((2000, 8)) @ mixing)}
    year = np.arange(21)
    series = {"x/clean": np.r_[3 + np.sin(year / 1.6), 2.8 + np.sin(year / 1.6 - 1)]}
    for name, factor in (("noise", 0.2), ("pgd", 1.0)):
        for epsilon in EPSILONS:
            key = f"attack/{name}/{epsilon!r}"
            moved = 0.4 * factor * slope * epsilon
            draws[key] = np.exp(0.3 * random.standard_normal((2000, 8)) @ mixing + moved)
            step = epsilon * random.choice([-1.0, 1.0], 42)
            series[f"x/{key}"] = series["x/clean"] + 10 * step
    names = {"names": np.array(list(NAMES)), "observations": np.array(["first", "second"])}
    names["features"] = np.array([f"{animal} {y}" for animal in ("hare", "lynx") for y in year])
    arrays = {f"observed/{i}/{k}": v + i for i in range(2) for k, v in (draws | series).items()}
    predicted = {
        "predicted/times": 1900.0 + year,
        "predicted/labels": np.array(["year", "hare", "lynx"]),
        "predicted/values": random.standard_normal((2, 10, 2, 21)),
    }
    if observed == "recorded":
        predicted["predicted/recordings"] = random.standard_normal((2, 2, 21))
    np.savez(folder / "posterior.npz", **names, **arrays, **predicted)
