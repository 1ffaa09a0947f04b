"""Simulators as users write them, one file each."""

from pathlib import Path

import torch

from certibayes.config.simulators.own import OwnSimulator as Spec
from certibayes.tasks.own_simulator import OwnSimulator

PRIOR = """
import random
import numpy as np
import torch
from torch.distributions import *
prior = Independent(Uniform(torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 2.0])), 1)
"""


def write(folder: Path, code: str, name: str = "my_model.py") -> Path:
    path = folder / name
    path.write_text(code)
    return path


def make(folder: Path, code: str, prior: str = PRIOR, **fields) -> OwnSimulator:
    path = write(folder, prior + code)
    return OwnSimulator(Spec(file=str(path), **fields))


SIMULATORS = {
    "batched_torch": """
def simulate(theta):
    return torch.cat([theta, theta[:, :1]], 1) + 0.1 * torch.randn(len(theta), 3)
""",
    "batched_numpy": """
def simulate(theta):
    return np.concatenate([theta, theta[:, :1]], 1) + 0.1 * np.random.randn(len(theta), 3)
""",
    "single_torch": """
def simulate(theta):
    a, b = theta
    return torch.stack([a, b, a * b]) + 0.1 * torch.randn(3)
""",
    "single_numpy": """
def simulate(theta):
    a, b = theta
    return [a + random.gauss(0, 0.1), b + np.random.normal(0, 0.1), a]
""",
}


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def found(task: OwnSimulator) -> dict[str, str]:
    task.prepare()
    return task.findings()
