"""What every adaptive check runs: the specification of an attack, derived from the checked one."""

from __future__ import annotations

from typing import Any

from certibayes.config.attacks import (
    DRAWLESS,
    FGSM,
    PGD,
    AnyAttack,
    Attack,
    CheckName,
    Gloeckler2023L2PGD,
    PGDAdam,
    RandomSearch,
    Search,
)

FGSM_STEPS = 10
"""Steps that stand for one full step, before they are multiplied by the factor."""
FEWEST_PROPOSALS = 50


def checks_of(spec: AnyAttack, defended: bool) -> dict[str, AnyAttack]:
    """Return the attack of every check that applies, in the order of the study file.

    `transfer` needs a defense, `more_draws` an objective with draws. `fgsm` and
    `gloeckler2023_l2pgd`, whose effort is fixed, are strengthened as projected gradient ascent with
    their steps, restarts and draws; the published step length stays constant.

    Args:
        spec: the checked attack.
        defended: whether the attacked model has a defense.
    """
    stated = spec.adaptive_checks
    if stated is None:
        return {}
    return {
        check: _check(spec, check, stated.factor)
        for check in stated.checks
        if (check != "transfer" or defended)
        and (check != "more_draws" or spec.objective not in DRAWLESS)
    }


def _check(spec: AnyAttack, check: CheckName, factor: int) -> AnyAttack:
    if check == "transfer":
        return spec.model_copy(update={"adaptive": None})
    ascent = _ascent(spec)
    if check == "gradient_free":
        return _search(spec, ascent)
    if check == "more_steps":
        return ascent.model_copy(update={"steps": factor * ascent.steps})
    if check == "more_restarts":
        return ascent.model_copy(update={"restarts": factor * ascent.restarts})
    draws = {
        "gradient_draws": factor * ascent.gradient_draws,
        "selection_draws": factor * ascent.selection_draws,
    }
    return ascent.model_copy(update=draws)


def _ascent(spec: AnyAttack) -> PGD | PGDAdam:
    """Return the attack as iterated ascent, without checks of its own."""
    if isinstance(spec, PGD | PGDAdam):
        return spec.model_copy(update={"adaptive": None})
    common = _common(spec)
    if isinstance(spec, FGSM):
        draws: dict[str, Any] = {"points": spec.points, "gradient_draws": spec.gradient_draws}
        restarts = max(spec.restarts, 1)
        return PGD(**common, **draws, adaptive=None, steps=FGSM_STEPS, restarts=restarts)
    assert isinstance(spec, Gloeckler2023L2PGD)
    return PGD(
        **common,
        adaptive=None,
        points=1,
        steps=spec.STEPS,
        restarts=1,
        gradient_draws=spec.GRADIENT_DRAWS,
        step_size=spec.STEP_SIZE,
        final_step=spec.STEP_SIZE,
        selection_every=0,
    )


def _search(spec: AnyAttack, ascent: PGD | PGDAdam) -> RandomSearch:
    """Return a random search with about as many proposals as the ascent has steps."""
    proposals = RandomSearch.model_fields["proposals"].default
    wanted = max(ascent.steps * ascent.restarts, FEWEST_PROPOSALS)
    common = _common(spec)
    points: dict[str, Any] = {"points": spec.points} if isinstance(spec, Search) else {}
    return RandomSearch(**common, **points, steps=max(1, wanted // proposals))


def _common(spec: AnyAttack) -> dict[str, Any]:
    """Return what every attack states, but its kind."""
    return {name: getattr(spec, name) for name in Attack.model_fields if name != "kind"}
