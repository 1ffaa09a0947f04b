"""Build what a job names and load what earlier jobs left."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from certibayes import registry
from certibayes.bnn.base import WeightInference
from certibayes.config.jobs import Job, ModelJob
from certibayes.defenses.base import Defense
from certibayes.estimators.build import build_estimator
from certibayes.io import load_weights
from certibayes.layout import Layout
from certibayes.seeding import generator
from certibayes.stages.data import load_scale
from certibayes.tasks.base import ClassificationTask, PosteriorTask, Task

SAMPLES = "samples."
INFERENCE = "inference."


def build_task(job: Job) -> Task:
    """Return the job's task."""
    task: Task = registry.load("task", job.task_spec.kind)(job.task_spec)
    return task


def build_network(job: ModelJob, task: Task) -> nn.Module:
    """Return the job's estimator or network with fresh weights, seeded by the job."""
    spec = job.model_spec
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(job.study_seed, job.task, job.seed, "weights").initial_seed())
        if spec.estimator is not None:
            assert isinstance(task, PosteriorTask)
            return build_estimator(spec.estimator, task)
        assert spec.network is not None
        assert isinstance(task, ClassificationTask)
        return registry.load("network", spec.network.kind)(spec.network, task.x_dim, task.classes)


def build_inference(job: ModelJob, network: nn.Module) -> WeightInference:
    """Return the job's weight inference around a network."""
    spec = job.model_spec.inference
    inference: WeightInference = registry.load("inference", spec.kind)(network, spec)
    return inference


def build_defense(job: ModelJob, layout: Layout, task: Task) -> Defense:
    """Return the job's training objective."""
    spec = job.defense_spec
    defense: Defense = registry.load("defense", spec.kind)(spec, load_scale(layout, job), task.clip)
    return defense


def weights_of(inference: WeightInference, samples: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what a weights file holds: the inference's state and the stored weight samples."""
    state = {INFERENCE + name: value for name, value in inference.state_dict().items()}
    return state | {SAMPLES + name: value for name, value in samples.items()}


def load_inference_state(folder: Path) -> dict[str, Tensor]:
    """Return the state of a trained model's weight inference."""
    state, _ = load_weights(folder)
    return _with_prefix(state, INFERENCE)


def load_model(job: ModelJob, layout: Layout, task: Task) -> nn.Module:
    """Return q(y | x) as trained: an estimator, or the predictive of the stored weight samples."""
    network = build_network(job, task)
    state, _ = load_weights(layout.weights(job))
    inference = build_inference(job, network)
    inference.load_state_dict(_with_prefix(state, INFERENCE))
    model = inference.model(_with_prefix(state, SAMPLES))
    return model.eval().requires_grad_(False)


def _with_prefix(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
