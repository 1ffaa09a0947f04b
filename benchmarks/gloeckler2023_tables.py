"""Tables of docs/gloeckler2023.md, published values beside those of a run."""

from __future__ import annotations

from typing import Any

from gloeckler2023_results import ATTACK, NOISE, Results, markdown, number, spread

from certibayes.attacks.pgd import PGD
from certibayes.attacks.reverse_kl import ReverseKL
from certibayes.config import attacks as specs
from certibayes.config.tasks import BUILT_IN
from certibayes.config.threat import PerturbationGrid
from certibayes.seeding import generator
from certibayes.tasks.gaussian_linear import GaussianLinear
from certibayes.threat import Scale, ThreatModel

TASKS = ("gaussian_linear", "lotka_volterra", "vae", "hodgkin_huxley", "sir", "spatial_sir")
VARIANTS = {"hodgkin_huxley": "hodgkin_huxley_published", "spatial_sir": "spatial_sir_published"}
BUDGETS = (1_000, 10_000, 100_000)
LARGE = 100_000
BETA = {
    "gaussian_linear": "0p001",
    "lotka_volterra": "0p01",
    "vae": "0p01",
    "sir": "0p1",
    "spatial_sir": "0p1",
    "hodgkin_huxley": "100",
}
"""Weight of the penalty in the published main comparison, as the sweep names it."""
ADVERSARIAL_RADIUS = dict.fromkeys(TASKS, "1") | {"gaussian_linear": "0p1"}
TRADES_RADIUS = dict.fromkeys(TASKS, "0p5") | {"gaussian_linear": "0p1", "vae": "0p1"}
ESTIMATORS = {
    "gaussian_diagonal": "gaussian",
    "gaussian_full": "gaussian_full",
    "mixture": "mixture",
    "maf": "maf",
    "nsf": "nsf",
}
EMBEDDED = ("vae", "hodgkin_huxley", "spatial_sir")


def flow(task: str, name: str = "maf") -> str:
    """Return the name of the study's flow for a task: with an embedding where the study has one."""
    return f"{name}_embedded" if task.startswith(EMBEDDED) else name


def undefended(results: Results, published: dict[str, Any]) -> str:
    """Return the medians of undefended flows by budget and radius."""
    rows = []
    for task in TASKS:
        for budget in BUDGETS:
            known = published["undefended"][task][str(budget)]
            rows.append([task, f"{budget:,}", "published", *map(number, known), ""])
            for name in (task, VARIANTS.get(task)):
                if name is not None:
                    rows += _measured(results, published, name, budget)
    header = ("task", "simulations", "", *_epsilons(published), "test NLL")
    text = "Median KL under the published attack, masked autoregressive flow without a defense."
    return f"## Without a defense\n\n{text}\n\n{markdown(header, rows)}"


def _measured(
    results: Results, published: dict[str, Any], task: str, budget: int
) -> list[list[str]]:
    where = {"task": task, "budget": budget, "model": flow(task), "defense": "none"}
    nll = results.clean("nll", **where)
    if not nll:
        return []
    found = [
        spread(results.attacked("reverse_kl_median", epsilon, **where))
        for epsilon in published["epsilons"]
    ]
    return [[task, f"{budget:,}", "here", *found, spread(nll)]]


def noise(results: Results, published: dict[str, Any]) -> str:
    """Return the medians under one random point of the ball."""
    rows = []
    for task, known in published["noise"].items():
        where = {"task": task, "budget": LARGE, "model": flow(task), "defense": "none"}
        found = [
            spread(results.at("reverse_kl_median", method=NOISE, epsilon=epsilon, **where))
            for epsilon in published["epsilons"]
        ]
        if found[0] != "-":
            rows += [[task, "published", *map(number, known)], [task, "here", *found]]
    if not rows:
        return ""
    header = ("task", "", *_epsilons(published))
    text = f"Median KL at one uniform point of the ball, or at x; {LARGE:,} simulations."
    return f"## Random perturbations\n\n{text}\n\n{markdown(header, rows)}"


def defenses(results: Results, published: dict[str, Any]) -> str:
    """Return the published main comparison: medians at epsilon 1 and 2, likelihood, coverage."""
    rows = []
    for task in TASKS:
        main = _main(task)
        for defense, name in main.items():
            known = published["defenses"][task].get(defense)
            label = defense if name in (defense, "ensemble") else f"{defense} ({name})"
            rows += _defended(results, task, name, label, known)
        where = {"task": task, "budget": LARGE, "model": flow(task)}
        for prefix in ("adversarial_", "trades_"):
            for name in _swept(results, prefix, where):
                if name not in main.values():
                    rows += _defended(results, task, name, name, None)
    if not rows:
        return ""
    header = (
        *("task", "defense", "published, epsilon 1 / 2", "KL, epsilon 1", "KL, epsilon 2"),
        *("TV, epsilon 1", "test NLL", "coverage area"),
    )
    text = (
        f"Medians under the published attack, {LARGE:,} simulations, at the strengths of the "
        "published main comparison, then at others. The area between expected coverage and the "
        "diagonal is that of clean observations: defended posteriors are too wide, as published."
    )
    return f"## Defenses\n\n{text}\n\n{markdown(header, rows)}"


def _defended(
    results: Results, task: str, name: str, label: str, known: list[float] | None
) -> list[list[str]]:
    where = {"task": task, "budget": LARGE, "model": flow(task), "defense": name}
    if name == "ensemble":
        where |= {"model": f"{flow(task)}_ensemble", "defense": "none"}
    nll = results.clean("nll", **where)
    if not nll:
        return []
    return [
        [
            *(task, label),
            "-" if known is None else f"{number(known[-2])} / {number(known[-1])}",
            spread(results.attacked("reverse_kl_median", 1.0, **where)),
            spread(results.attacked("reverse_kl_median", 2.0, **where)),
            spread(results.attacked("total_variation_median", 1.0, **where)),
            spread(nll),
            spread(results.clean("coverage_area", **where)),
        ]
    ]


def _main(task: str) -> dict[str, str]:
    return {
        "none": "none",
        "fisher": f"fisher_beta_{BETA[task]}",
        "adversarial": f"adversarial_epsilon_{ADVERSARIAL_RADIUS[task]}",
        "trades": f"trades_epsilon_{TRADES_RADIUS[task]}",
        "noise": "noise",
        "ensemble": "ensemble",
    }


def trade_off(results: Results, published: dict[str, Any], weights: dict[str, float]) -> str:
    """Return mean KL at epsilon 2 against test NLL for every weight of the penalty.

    Args:
        results: of the study.
        published: its published values.
        weights: of the penalty, by the name of the defense.
    """
    rows = []
    for task in TASKS:
        where = {"task": task, "budget": LARGE, "model": flow(task)}
        found = []
        run = results.select(**where)["defense"].unique()
        for name in sorted(set(run) & set(weights), key=lambda one: weights[one]):
            mean = results.attacked("reverse_kl_mean", 2.0, defense=name, **where)
            nll = results.clean("nll", defense=name, **where)
            found.append(
                [task, name, number(weights[name]), spread(mean), spread(nll), str(len(nll))]
            )
        if found:
            rows += [
                [task, "published", number(p["beta"]), number(p["mean_kl"]), number(p["nll"]), "1"]
                for p in published["trade_off"][task]
            ]
            rows += found
    if not rows:
        return ""
    header = ("task", "defense", "weight", "mean KL at epsilon 2", "test NLL", "seeds")
    text = (
        "Published values are single models of a search over the weight of the penalty. "
        "`fisher_beta` penalizes the trace of the information, as published, `fisher_top` its "
        "largest eigenvalue, which is what an l2 adversary meets."
    )
    return f"## Robustness against likelihood\n\n{text}\n\n{markdown(header, rows)}"


def strengths(results: Results, published: dict[str, Any]) -> str:
    """Return medians at epsilon 1 and 2 by estimator and weight of the penalty."""
    rows = []
    for label, name in ESTIMATORS.items():
        for task in TASKS:
            where = {"task": task, "budget": LARGE}
            where["model"] = flow(task, name)
            for beta, *known in published["fisher_strength"][label].get(task, []):
                named = [d for d in _swept(results, "fisher_beta_", where) if _strength(d) == beta]
                for defense in named:
                    medians = [
                        spread(results.attacked("reverse_kl_median", e, defense=defense, **where))
                        for e in (1.0, 2.0)
                    ]
                    published_pair = " / ".join(map(number, known))
                    nll = spread(results.clean("nll", defense=defense, **where))
                    rows.append([label, task, number(beta), published_pair, *medians, nll])
    if not rows:
        return ""
    header = (
        *("estimator", "task", "weight", "published, epsilon 1 / 2"),
        *("KL, epsilon 1", "KL, epsilon 2", "test NLL"),
    )
    return f"## Estimators under the Fisher penalty\n\n{markdown(header, rows)}"


def coverage(results: Results, published: dict[str, Any]) -> str:
    """Return the area between expected coverage and the diagonal, clean and attacked."""
    epsilons = published["coverage_epsilons"]
    rows = []
    for task in TASKS:
        for defense, name in _main(task).items():
            where = {"task": task, "budget": LARGE, "model": flow(task), "defense": name}
            found = [
                spread(
                    results.attacked("coverage_area", epsilon, **where)
                    if epsilon
                    else results.clean("coverage_area", **where)
                )
                for epsilon in epsilons
            ]
            if found[0] == "-":
                continue
            known = published["coverage"].get(defense, {}).get(task)
            if known is not None:
                areas = [number(value["area"]) for value in known]
                rows.append([task, defense, "published", *areas])
            rows.append([task, defense, "here", *found])
    if not rows:
        return ""
    header = ("task", "defense", "", "clean", *(f"epsilon {e:g}" for e in epsilons[1:]))
    text = "Area between expected coverage and the diagonal; 0 = calibrated, 0.495 = never covered."
    return f"## Coverage under attack\n\n{text}\n\n{markdown(header, rows)}"


def predictive(results: Results, published: dict[str, Any]) -> str:
    """Return what clean and attacked posteriors predict, as distances to the clean x."""
    rows = []
    for task in (*TASKS, *VARIANTS.values()):
        where = {"task": task, "budget": 10_000, "model": flow(task), "defense": "none"}
        for norm in ("l1", "l2", "linf"):
            name = f"predictive_{norm}_median"
            if name not in results.table or not (clean := results.clean(name, **where)):
                continue
            attacked = (
                results.attacked(name, epsilon, **where) for epsilon in published["epsilons"]
            )
            rows.append([task, norm, spread(clean), *map(spread, attacked)])
    if not rows:
        return ""
    header = ("task", "norm", "clean", *_epsilons(published))
    text = (
        "Distance between the clean x and simulations at draws from the posterior at x', in stds "
        "of the features, median over observations; undefended, 10,000 simulations. The "
        "publication shows examples in its Fig. 2."
    )
    return f"## Posterior predictive distance\n\n{text}\n\n{markdown(header, rows)}"


def pyloric(results: Results, published: dict[str, Any]) -> str:
    """Return the medians of the stomatogastric network."""
    rows = [
        [f"published, {name}, voltages, 750,000 simulations", *map(number, known), "-", "-"]
        for name, known in published["pyloric"].items()
        if not name.endswith("area")
    ]
    shown = len(rows)
    for task in ("pyloric_traces", "pyloric_summary"):
        models = results.select(task=task, stage="evaluate")
        for row in models.itertuples():
            where = {"task": task, "budget": row.budget, "model": row.model, "defense": row.defense}
            found = [
                spread(results.attacked("reverse_kl_median", epsilon, **where))
                for epsilon in published["epsilons"]
            ]
            name = f"here, {row.defense}, {task}, {row.budget:,} simulations"
            rows.append([name, *found, number(row.nll), number(row.coverage_area)])
    if len(rows) == shown:
        return ""
    header = ("model", *_epsilons(published), "test NLL", "coverage area")
    text = (
        "`pyloric_summary` infers from 18 statistics of the recording, the publication from the "
        "three voltages: radii and divergences of the two are not comparable, what a defense "
        "changes is."
    )
    return f"## Pyloric network\n\n{text}\n\n{markdown(header, rows)}"


def exact_attack(epsilons: list[float]) -> str:
    """Attack the exact posterior of gaussian_linear and compare with the analytic worst case."""
    task = GaussianLinear(BUILT_IN["gaussian_linear"]())
    draws = generator("exact", "gaussian_linear")
    x = task.simulate(task.sample_prior(10_000, draws), draws)
    rows = []
    for epsilon in epsilons:
        ball = ThreatModel("l2", epsilon, "within_std").ball(Scale.of(x))
        grid = PerturbationGrid(norm="l2", unit="within_std", epsilons=(epsilon,))
        attack = PGD(specs.PGD(objective="reverse_kl", perturbation=grid, adaptive=None))
        found = attack.attack(task.exact_posterior, x[:100], None, ReverseKL(), ball, seed=0)
        _, worst = task.worst_case_shift(ball)
        reached = float(found.objective.min()) / worst
        rows.append([f"{epsilon:g}", number(worst), f"{reached:.4f}"])
    header = ("epsilon", "worst KL, closed form", "share reached, least of 100 observations")
    text = "`pgd` against the exact posterior of `gaussian_linear`, without a clip."
    return f"## An attack whose answer is known\n\n{text}\n\n{markdown(header, rows)}"


def adaptive(results: Results) -> str:
    """Return by how much stronger and different attacks exceed the published one."""
    table = results.adaptive
    if table.empty:
        return ""
    table = table[table["attack"] == ATTACK]
    rows = []
    for (task, budget, model), part in table.groupby(["task", "budget", "model"]):
        worst = part.groupby("check")["ratio"].agg(["median", "max"])
        for check, values in worst.iterrows():
            above = int((part[part["check"] == check]["ratio"] > 1.1).sum())
            models = int((part["check"] == check).sum())
            rows.append(
                [
                    *(task, budget[1:], model, str(check)),
                    *(number(values["median"]), number(values["max"]), f"{above} of {models}"),
                ]
            )
    header = (
        *("task", "simulations", "model", "check", "median ratio", "largest"),
        "models beaten by more than 10 %",
    )
    text = (
        "Adaptive checks of the published attack (docs/attacks.md) over all defenses and seeds: "
        "median KL of the check over that of the attack, on the same fresh draws."
    )
    return f"## Is the published attack strong enough?\n\n{text}\n\n{markdown(header, rows)}"


def _swept(results: Results, prefix: str, where: dict[str, Any]) -> list[str]:
    """Return the defenses of a sweep that were run, by strength."""
    names = results.select(**where)["defense"].unique()
    return sorted((name for name in names if name.startswith(prefix)), key=_strength)


def _strength(defense: str) -> float:
    return float(defense.rpartition("_")[2].replace("p", "."))


def _epsilons(published: dict[str, Any]) -> list[str]:
    return [f"epsilon {epsilon:g}" for epsilon in published["epsilons"]]
