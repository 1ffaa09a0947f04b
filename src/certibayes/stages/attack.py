"""Stage `attack`: one model and one attack, all epsilons and observations."""

from __future__ import annotations

import logging

import numpy as np
from torch import Tensor

from certibayes.attacks.base import AttackResult
from certibayes.attempt import Attempt, attempt
from certibayes.config.jobs import AttackJob
from certibayes.device import chosen_device
from certibayes.io import load_arrays, save_arrays
from certibayes.layout import Layout
from certibayes.seeding import derive_seed
from certibayes.stages.attack_adaptive import TRANSFER, ratio_metrics, run_checks
from certibayes.stages.attack_subject import Subject, undefended

log = logging.getLogger(__name__)


def run(job: AttackJob, layout: Layout, code: str) -> None:
    """Write attack.npz: epsilons (e,), x (e, n, x_dim) and selected (e, n), float64.

    `selected` is the objective of the kept candidate on the selection draws. Finished epsilons are
    kept in the state folder, so adding one computes one. Adaptive checks follow, see `run_checks`.
    """
    folder = layout.attack(job, job.attack)
    models = [job, undefended(job)] if TRANSFER in job.checks else [job]
    weights = [layout.weights(model) / "weights.safetensors" for model in models]
    inputs = [*weights, layout.reference(job) / "test.npz"]
    state_key = _without_epsilons(job)
    with attempt(
        "attack", job, code, layout, inputs=inputs, outputs=folder, state_key=state_key
    ) as run:
        run.computes_on(chosen_device().type)
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
        table = run_checks(job, layout, run, found[-1]["x"])
        run.finished(_metrics(found[-1]) | ratio_metrics(table))


def _without_epsilons(job: AttackJob) -> AttackJob:
    """Return what decides the points of the attack at any epsilon: no checks either."""
    changed: dict[str, object] = {
        "perturbation": job.attack_spec.perturbation.without_epsilons(),
    }
    if job.attack_spec.adaptive_checks is not None:
        changed["adaptive"] = None
    spec = job.attack_spec.model_copy(update=changed)
    return job.model_copy(update={"attack_spec": spec, "checks": {}})


def _finished(
    job: AttackJob, layout: Layout, run: Attempt, epsilon: float
) -> dict[str, np.ndarray]:
    path = run.state / f"epsilon-{epsilon!r}.npz"
    if not path.exists():
        x, result = _attack(job, layout, epsilon)
        save_arrays(path, {"x": x.numpy(), "selected": result.objective.cpu().double().numpy()})
    arrays = load_arrays(path)
    log.info("%s at %g: median %.4g", job.attack, epsilon, np.median(arrays["selected"]))
    step = job.attack_spec.perturbation.epsilons.index(epsilon)
    run.metrics(_metrics(arrays) | {"attack/epsilon": epsilon}, step=step)
    run.stop_if_asked()
    return arrays


def _metrics(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    return {"attack/objective_median": float(np.median(arrays["selected"]))}


def _attack(job: AttackJob, layout: Layout, epsilon: float) -> tuple[Tensor, AttackResult]:
    subject = Subject(job, layout)
    target = subject.target(subject.model)
    seed = derive_seed(job.study_seed, job.task, job.seed, "attack", repr(epsilon))
    return subject.search(job.attack_spec, subject.model, target, subject.ball(epsilon), seed)
