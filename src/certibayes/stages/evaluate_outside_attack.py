"""Foreign inputs that an attack moves until the classifier is sure of them."""

from __future__ import annotations

from copy import deepcopy

from torch import Tensor

from certibayes import registry
from certibayes.attacks.base import Attack
from certibayes.attacks.confidence import Confidence
from certibayes.attacks.masks import masked
from certibayes.bnn.predictive import Predictive
from certibayes.config.jobs import EvaluateJob
from certibayes.device import chosen_device
from certibayes.layout import Layout
from certibayes.seeding import derive_seed
from certibayes.stages.attack_blocks import attack_blocks
from certibayes.stages.attack_files import StoredAttack
from certibayes.stages.evaluate_outside import detection_columns, foreign_inputs
from certibayes.stages.evaluate_weights import sample_probabilities
from certibayes.stages.findings import Value
from certibayes.stages.observations import ball_of
from certibayes.tasks.base import Task


def attacked_outside_columns(
    job: EvaluateJob,
    layout: Layout,
    task: Task,
    model: Predictive,
    attack: StoredAttack,
    clean: Tensor,
) -> dict[str, Value]:
    """Return what tells attacked foreign inputs from clean ones of the task; or nothing.

    An attack with `outside` searches the ball around as many foreign inputs as it takes of the
    task, in float32, for the least entropy of the mean predictive.

    Args:
        job: names the foreign inputs, `evaluation.outside`.
        layout: paths of the study.
        task: the job's.
        model: the classifier, float64.
        attack: as stored, with its settings.
        clean: the task's own inputs, shape (batch, x_dim).
    """
    name = job.evaluation.outside
    if not attack.spec.outside or name is None:
        return {}
    own = clean[: len(attack.x)]
    foreign = foreign_inputs(job, name, own)
    whole = ball_of(layout, job, task, attack.spec.perturbation.at(attack.epsilon))
    ball = masked(whole, attack.spec.mask, f"attacks.{attack.name}.mask")
    search: Attack = registry.load("attack", attack.spec.kind)(attack.spec)
    device = chosen_device()
    seed = derive_seed(job.study_seed, job.task, job.seed, "outside", repr(attack.epsilon))
    single = deepcopy(model).float().to(device)
    start = foreign.float().to(device)
    found = attack_blocks(search, single, start, None, Confidence(), ball, seed)
    points = ball.project(foreign, found.x.cpu().double())
    inside, outside = sample_probabilities(model, own), sample_probabilities(model, points)
    return detection_columns("outside_attacked", inside, outside)
