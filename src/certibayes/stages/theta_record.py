"""What a manifest keeps of a task's theta: weights alone do not say onto which support they map.

The file of a user's own simulator may change after training. Estimators end in a bijection onto the
prior's support, so another support makes another posterior of the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributions import biject_to

from certibayes.config.jobs import ModelJob
from certibayes.config.simulators.own import OwnPairs, OwnSimulator
from certibayes.estimators.support import support_like
from certibayes.io import MANIFEST, FileFormatError
from certibayes.tasks.base import Task, ThetaTask

THETA = "theta"
POINTS = (-1.0, 0.0, 1.0)
"""Unconstrained values that every parameter takes; their images tell supports apart."""
TOLERANCE = 1e-6
"""Relative to the largest image of a parameter: supports may have float32 bounds."""


def theta_record(task: Task) -> dict[str, Any]:
    """Return the entry of a manifest: names, and images of `POINTS` under the bijection.

    Empty for a task that infers no theta.
    """
    if not isinstance(task, ThetaTask):
        return {}
    return {THETA: {"names": list(task.theta_names), "images": _images(task).tolist()}}


def require_recorded_theta(
    task: Task, job: ModelJob, manifest: Mapping[str, Any], folder: Path
) -> None:
    """Check that a task's theta is the one that a model was trained for.

    Args:
        task: as it is built now.
        job: of the model.
        manifest: of the model.
        folder: that holds it, for the message.

    Raises:
        FileFormatError: if names or support are others, or if a task of the user's own has no
            record of them.
    """
    if not isinstance(task, ThetaTask):
        return
    spec = job.task_spec
    about = f" ({_files(spec)})" if isinstance(spec, OwnSimulator | OwnPairs) else ""
    recorded = manifest.get(THETA)
    if recorded is None:
        if about:
            raise FileFormatError(
                f"{folder / MANIFEST}: {THETA}: got none; allowed: names and support of the "
                f"parameters{about}; train the model again"
            )
        return
    names = list(task.theta_names)
    if names != recorded["names"]:
        raise FileFormatError(
            f"{folder}: parameters of task {job.task}{about}: got {names}; allowed: "
            f"{recorded['names']}, as {MANIFEST} records"
        )
    found = _images(task)
    expected = torch.tensor(recorded["images"], dtype=torch.float64)
    limit = TOLERANCE * expected.abs().amax(0)
    differs = ((found - expected).abs() > limit).any(0)
    if bool(differs.any()):
        changed = [name for name, other in zip(names, differs.tolist(), strict=True) if other]
        raise FileFormatError(
            f"{folder}: support of task {job.task}{about}: got another one of {changed} than in "
            f"training; allowed: the one that {MANIFEST} records"
        )


def _images(task: ThetaTask) -> Tensor:
    """Return the images of `POINTS`, shape (points, theta_dim), float64."""
    points = torch.tensor(POINTS, dtype=torch.float64)[:, None].expand(-1, task.theta_dim)
    images: Tensor = biject_to(support_like(task.support, points))(points)
    return images


def _files(spec: OwnSimulator | OwnPairs) -> str:
    return spec.file if isinstance(spec, OwnSimulator) else spec.folder
