"""Build what a job names and load what earlier jobs left."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from certibayes import registry
from certibayes.bnn.base import WeightInference
from certibayes.bnn.mean_field import MeanField, MeanFieldPosterior
from certibayes.bnn.predictive import Predictive
from certibayes.config.jobs import Job, ModelJob
from certibayes.defenses.base import Defense
from certibayes.estimators.build import build_estimator
from certibayes.io import MANIFEST, WEIGHTS, load_weights
from certibayes.layout import Layout
from certibayes.seeding import generator
from certibayes.stages.data import load_scale
from certibayes.stages.observations import clip_range
from certibayes.tasks.base import ClassificationTask, PosteriorTask, Restorable, Task, ThetaTask

SAMPLES = "samples."
INFERENCE = "inference."


def build_task(job: Job) -> Task:
    """Return the job's task; it may need more before it simulates, see `build_simulator`."""
    task: Task = registry.load("task", job.task_spec.kind)(job.task_spec)
    return task


def build_simulator(job: Job, layout: Layout) -> Task:
    """Return the job's task ready to simulate: with its decoder, if it needs one.

    Raises:
        FileNotFoundError: if the decoder has not been trained.
        WeightsError: if the decoder is not the one that its manifest records.
    """
    task = build_task(job)
    if job.task_spec.needs_decoder:
        assert isinstance(task, Restorable)
        task.restore(layout.decoder(job))
    if isinstance(task, PosteriorTask):
        task.prepare()
    return task


def simulator_files(job: Job, layout: Layout) -> list[Path]:
    """Return the files that pairs are made from: a decoder, files of the user's."""
    folder = layout.decoder(job)
    decoder = [folder / WEIGHTS, folder / MANIFEST] if job.task_spec.needs_decoder else []
    return [*decoder, *(Path(path) for path in job.task_spec.inputs)]


def member_purpose(member: int) -> tuple[object, ...]:
    """Return what tells the seeds of a member from those of others; nothing for the first.

    So the first member of an ensemble is the model that is no ensemble.
    """
    return ("member", member) if member else ()


def build_network(job: ModelJob, layout: Layout, task: Task, member: int = 0) -> nn.Module:
    """Return a member's estimator or network with fresh weights, seeded by job and member.

    The features of x are counted in the stored units: a user's simulator need not run again.
    """
    spec = job.model_spec
    x_dim = len(load_scale(layout, job).feature_std)
    parts = (job.study_seed, job.task, job.seed, "weights", *member_purpose(member))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(*parts).initial_seed())
        if spec.estimator is not None:
            assert isinstance(task, ThetaTask)
            return build_estimator(spec.estimator, task, x_dim)
        assert spec.network is not None
        assert isinstance(task, ClassificationTask)
        return registry.load("network", spec.network.kind)(spec.network, x_dim, task.classes)


def build_inference(job: ModelJob, network: nn.Module) -> WeightInference:
    """Return the job's weight inference around a network."""
    spec = job.model_spec.inference
    inference: WeightInference = registry.load("inference", spec.kind)(network, spec)
    return inference


def build_defense(job: ModelJob, layout: Layout, task: Task) -> Defense:
    """Return the job's training objective."""
    spec = job.defense_spec
    stated = getattr(spec, "perturbation", None)
    clip = clip_range(layout, job, task, None if stated is None else stated.clip)
    defense: Defense = registry.load("defense", spec.kind)(spec, load_scale(layout, job), clip)
    return defense


def member_prefix(job: ModelJob, member: int) -> str:
    """Return what the names of a member's tensors start with; nothing if it is the only one."""
    return "" if job.model_spec.members == 1 else f"member{member}."


def weights_of(inference: WeightInference, samples: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what a weights file holds: the inference's state and the stored weight samples."""
    state = {INFERENCE + name: value for name, value in inference.lasting_state().items()}
    return state | {SAMPLES + name: value for name, value in samples.items()}


def load_inference_state(folder: Path, prefix: str) -> dict[str, Tensor]:
    """Return the state of the weight inference of a trained model's member, named by prefix."""
    state, _ = load_weights(folder)
    return _with_prefix(state, prefix + INFERENCE)


def load_model(job: ModelJob, layout: Layout, task: Task) -> nn.Module:
    """Return q(y | x) as trained: an estimator, or the predictive of the stored weight samples."""
    state, _ = load_weights(layout.weights(job))
    members = [
        _load_member(job, layout, task, member, _with_prefix(state, member_prefix(job, member)))
        for member in range(job.model_spec.members)
    ]
    model = members[0] if len(members) == 1 else _ensemble(members)
    return model.eval().requires_grad_(False)


def draw_model(job: ModelJob, layout: Layout, task: Task, draws: int, seed: int) -> nn.Module:
    """Return the predictive of fresh weight vectors, drawn from the posterior as trained.

    Args:
        job: a model of one member, whose inference draws afresh.
        layout: paths of the study.
        task: the job's.
        draws: number of weight vectors.
        seed: of these alone.
    """
    state, _ = load_weights(layout.weights(job))
    inference = _trained(job, layout, task, 0, state)
    with torch.no_grad():
        samples = inference.sample(draws, generator(seed, "weights"))
    return inference.model(samples).eval().requires_grad_(False)


def mean_field_model(job: ModelJob, layout: Layout, task: Task) -> MeanFieldPosterior:
    """Return the posterior of a model of one member whose weights are independent Gaussians."""
    state, _ = load_weights(layout.weights(job))
    inference = _trained(job, layout, task, 0, state)
    assert isinstance(inference, MeanField)
    stored = inference.model(_with_prefix(state, SAMPLES))
    assert isinstance(stored, Predictive)
    means, stds = inference.marginals()
    posterior = MeanFieldPosterior(stored.network, means, stds, stored.weight_samples)
    return posterior.eval().requires_grad_(False)


def _load_member(
    job: ModelJob, layout: Layout, task: Task, member: int, state: dict[str, Tensor]
) -> nn.Module:
    inference = _trained(job, layout, task, member, state)
    return inference.model(_with_prefix(state, SAMPLES))


def _trained(
    job: ModelJob, layout: Layout, task: Task, member: int, state: dict[str, Tensor]
) -> WeightInference:
    inference = build_inference(job, build_network(job, layout, task, member))
    inference.load_lasting_state(_with_prefix(state, INFERENCE))
    return inference


def _ensemble(members: list[nn.Module]) -> nn.Module:
    """Return the mean of the members' distributions."""
    predictives = [member for member in members if isinstance(member, Predictive)]
    if len(predictives) == len(members):
        return Predictive.joined(predictives)
    ensemble: nn.Module = registry.load("estimator", "ensemble")(members)
    return ensemble


def _with_prefix(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
