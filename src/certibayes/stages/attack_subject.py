"""What an attack meets: model, observations, ball, objective and targets of a job."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from certibayes import registry
from certibayes.attacks.base import Attack, AttackResult, Objective, Target
from certibayes.attacks.first_targets import first_targets
from certibayes.attacks.masks import masked
from certibayes.config.attacks import Attack as AttackSpec
from certibayes.config.defenses import NoDefense
from certibayes.config.jobs import AttackJob
from certibayes.device import chosen_device
from certibayes.layout import Layout
from certibayes.seeding import generator
from certibayes.stages.attack_blocks import attack_blocks
from certibayes.stages.building import build_task, load_model
from certibayes.stages.data import load_reference
from certibayes.stages.observations import ball_of, load_observations
from certibayes.threat import Ball


def undefended(job: AttackJob) -> AttackJob:
    """Return the same job on the model without its defense."""
    return job.model_copy(update={"defense": "none", "defense_spec": NoDefense()})


class Subject:
    """The model of a job in float32 on the chosen device, and its first observations.

    Attributes:
        model: the attacked model.
        x: observations, shape (rows, x_dim), float64, on the CPU.
        objective: what is maximised.
    """

    def __init__(self, job: AttackJob, layout: Layout, rows: int | None = None) -> None:
        """Load what the attack needs.

        Args:
            job: the attack's slice of the config.
            layout: paths of the study.
            rows: first observations that count; None = all, real ones included.
        """
        self._job, self._layout = job, layout
        self._task = build_task(job)
        self._device = chosen_device()
        self.model = load_model(job, layout, self._task).to(self._device)
        observations = load_observations(layout, job, job.observations)
        self._all, self._truth = observations.x, observations.truth
        self.x = self._all[: len(self._all) if rows is None else min(rows, observations.tests)]
        self.objective: Objective = registry.load("objective", job.attack_spec.objective)()

    def in_double(self) -> nn.Module:
        """Return a copy of the model in float64."""
        return deepcopy(self.model).double()

    def ball(self, epsilon: float) -> Ball:
        """Return the ball of one radius, radius 0 along features outside the mask.

        Raises:
            ValueError: if an x lies outside the clip range or the mask names no feature.
        """
        spec = self._job.attack_spec
        whole = ball_of(self._layout, self._job, self._task, spec.perturbation.at(epsilon))
        ball = masked(whole, spec.mask, f"attacks.{self._job.attack}.mask")
        ball.require_inside_clip(self.x)
        return ball

    def target(self, model: nn.Module, dtype: torch.dtype = torch.float32) -> Target:
        """Return what a model's observations aim at, in one precision; labels stay whole."""
        prior = load_reference(self._layout, self._job).target
        truth, prior = (
            value.to(self._device, dtype if value.is_floating_point() else value.dtype)
            for value in (self._truth, prior)
        )
        x = self._all.to(self._device, dtype)
        source = generator(self._job.study_seed, self._job.task, "target")
        if len(self.x) == len(self._all):
            return self.objective.aim(model, x, truth, prior, source)
        return first_targets(self.objective, model, x, truth, prior, source, len(self.x))

    def search(
        self, spec: AttackSpec, model: nn.Module, target: Target, ball: Ball, seed: int
    ) -> tuple[Tensor, AttackResult]:
        """Attack in float32, then project in float64: the points lie in the ball exactly."""
        attack: Attack = registry.load("attack", spec.kind)(spec)
        x = self.x.float().to(self._device)
        result = attack_blocks(attack, model, x, target, self.objective, ball, seed)
        return ball.project(self.x, result.x.cpu().double()), result

    @torch.no_grad()
    def values(self, model: nn.Module, points: list[Tensor], draws: int, seed: int) -> Tensor:
        """Return the objective at several points, (points, rows), float64, on common fresh draws.

        Args:
            model: the attacked model in float64.
            points: each of shape (rows, x_dim), float64.
            draws: draws of theta.
            seed: of the draws; not one that an attack used.
        """
        clean = model(self.x.to(self._device))
        target = self.target(model, torch.float64)
        prepared = self.objective.prepare(clean, target, draws, generator(seed, "report"))
        return torch.stack([prepared(model(x.to(self._device))).cpu() for x in points])
