"""Stage `attack`: one model and one attack, all epsilons and observations."""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor

from certibayes import registry
from certibayes.attacks.base import Attack, AttackResult, Objective
from certibayes.attacks.masks import masked
from certibayes.attempt import Attempt, attempt
from certibayes.config.jobs import AttackJob
from certibayes.io import load_arrays, save_arrays
from certibayes.layout import Layout
from certibayes.seeding import derive_seed, generator
from certibayes.stages.building import build_task, load_model
from certibayes.stages.data import load_reference
from certibayes.stages.observations import Observations, ball_of, load_observations

log = logging.getLogger(__name__)


def run(job: AttackJob, layout: Layout, code: str) -> None:
    """Write attack.npz: epsilons (e,), x (e, n, x_dim) and selected (e, n), float64.

    `selected` is the objective of the kept candidate on the selection draws. Finished epsilons are
    kept in the state folder, so adding one computes one.
    """
    folder = layout.attack(job, job.attack)
    inputs = [layout.weights(job) / "weights.safetensors", layout.reference(job) / "test.npz"]
    state_key = _without_epsilons(job)
    with attempt(
        "attack", job, code, layout, inputs=inputs, outputs=folder, state_key=state_key
    ) as run:
        epsilons = job.attack_spec.perturbation.epsilons
        found = [_finished(job, layout, run, e) for e in epsilons]
        save_arrays(
            folder / "attack.npz",
            {
                "epsilons": np.array(epsilons),
                "x": np.stack([arrays["x"] for arrays in found]),
                "selected": np.stack([arrays["selected"] for arrays in found]),
            },
        )
        run.finished(_metrics(found[-1]))


def _without_epsilons(job: AttackJob) -> AttackJob:
    grid = job.attack_spec.perturbation.without_epsilons()
    spec = job.attack_spec.model_copy(update={"perturbation": grid})
    return job.model_copy(update={"attack_spec": spec})


def _finished(
    job: AttackJob, layout: Layout, run: Attempt, epsilon: float
) -> dict[str, np.ndarray]:
    path = run.state / f"epsilon-{epsilon!r}.npz"
    if not path.exists():
        x, result = _attack(job, layout, epsilon)
        save_arrays(path, {"x": x.numpy(), "selected": result.objective.double().numpy()})
    arrays = load_arrays(path)
    log.info("%s at %g: median %.4g", job.attack, epsilon, np.median(arrays["selected"]))
    run.metrics(_metrics(arrays), step=job.attack_spec.perturbation.epsilons.index(epsilon))
    run.stop_if_asked()
    return arrays


def _metrics(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    return {"attack/objective_median": float(np.median(arrays["selected"]))}


def _attack(job: AttackJob, layout: Layout, epsilon: float) -> tuple[Tensor, AttackResult]:
    """Search in float32, then project in float64: the stored points lie in the ball exactly."""
    task = build_task(job)
    model = load_model(job, layout, task)
    spec = job.attack_spec
    observations = load_observations(layout, job, job.observations)
    whole = ball_of(layout, job, task, spec.perturbation.at(epsilon))
    ball = masked(whole, spec.mask, f"attacks.{job.attack}.mask")
    ball.require_inside_clip(observations.x)
    attack: Attack = registry.load("attack", spec.kind)(spec)
    objective: Objective = registry.load("objective", spec.objective)()
    x = observations.x.float()
    prior = load_reference(layout, job).target
    target = objective.aim(
        model,
        x,
        _single(_truth(observations)),
        _single(prior),
        generator(job.study_seed, job.task, "target"),
    )
    seed = derive_seed(job.study_seed, job.task, job.seed, "attack", repr(epsilon))
    result = attack.attack(model, x, target, objective, ball, seed)
    return ball.project(observations.x, result.x.double()), result


def _truth(observations: Observations) -> Tensor:
    """Return labels or true thetas, first dimension n + m; NaN for the m real observations."""
    target = observations.target
    unknown = len(observations.x) - observations.tests
    if unknown == 0:
        return target
    return torch.cat([target, target.new_full((unknown, *target.shape[1:]), torch.nan)])


def _single(target: Tensor) -> Tensor:
    """Return thetas in the precision of the attacked model; labels stay whole numbers."""
    return target.float() if target.is_floating_point() else target
