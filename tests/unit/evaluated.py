"""A subject of an evaluation on gaussian_linear whose model is the exact posterior, or is off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, constraints

from certibayes.config.evaluation import Evaluation
from certibayes.config.jobs import EvaluateJob
from certibayes.config.models import Model
from certibayes.config.simulators.gloeckler2023 import GaussianLinear as Spec
from certibayes.estimators.theta_map import ThetaMap
from certibayes.estimators.unconstrained import unconstrained
from certibayes.io import write_json
from certibayes.layout import Layout
from certibayes.seeding import generator
from certibayes.stages.evaluate_subject import Drawn, Subject, load_subject
from certibayes.tasks.gaussian_linear import GaussianLinear

PAIRS = 300


class OnlyDensityAndDraws:
    """N(center, std^2) with nothing but what every posterior has."""

    def __init__(self, center: Tensor, std: Tensor) -> None:
        self._normal = Independent(Normal(center, std), 1)
        self.theta_map = ThetaMap(constraints.real_vector, center.new_zeros(1), center.new_ones(1))

    def log_prob(self, theta: Tensor) -> Tensor:
        return self._normal.log_prob(theta)

    def draw(self, n: int, source: torch.Generator) -> Tensor:
        mean, std = self._normal.mean, self._normal.stddev
        noise = torch.randn(n, *mean.shape, generator=source, dtype=torch.float64)
        return mean + std * noise


class NearlyExact(nn.Module):
    """The exact posterior of gaussian_linear, moved by `shift` stds and stretched by `width`."""

    def __init__(self, shift: float, width: float) -> None:
        super().__init__()
        self.shift, self.width, self.task = shift, width, GaussianLinear(Spec())

    def forward(self, x: Tensor) -> OnlyDensityAndDraws:
        exact = self.task.exact_posterior(x)
        return OnlyDensityAndDraws(
            exact.mean + self.shift * exact.stddev, self.width * exact.stddev
        )


def evaluated(
    folder: Path,
    shift: float = 0.0,
    width: float = 1.0,
    task: dict[str, object] | None = None,
    **evaluation: int,
) -> Subject:
    """Return a subject whose test pairs and units lie below a folder."""
    simulator = GaussianLinear(Spec())
    source = generator("evaluated")
    theta = simulator.sample_prior(PAIRS, source)
    x = simulator.simulate(theta, source)
    job = EvaluateJob.model_validate(
        {
            "study": "s",
            "study_seed": 0,
            "task": "t",
            "task_spec": task or {"kind": "gaussian_linear"},
            "budget": 10,
            "model": "m",
            "model_spec": Model.model_validate({"estimator": {"kind": "gaussian"}}),
            "seed": 0,
            "attacks": {},
            "certificates": {},
            "evaluation": Evaluation.model_validate({"observations": PAIRS, **evaluation}),
        }
    )
    layout = Layout(folder)
    reference = layout.reference(job)
    reference.mkdir(parents=True)
    np.savez(reference / "test.npz", target=theta, x=x, observed=np.empty((0, x.shape[1])))
    scale = {"feature_std": x.std(0).tolist(), "within_std": float(x.std(1).mean())}
    write_json(reference / "scale.json", scale)
    return load_subject(job, layout, simulator, NearlyExact(shift, width))


def moved(subject: Subject, step: float) -> Drawn:
    """Return the posteriors at observations of which every feature is larger by `step`."""
    x = subject.clean.x + step
    posterior = subject.model(x)
    free = unconstrained(posterior)
    u = free.draw(subject.job.evaluation.report_draws, generator("moved"))
    key = f"attack/step/{step!r}"
    return Drawn(key, "step", step, x, posterior, free, u)
