"""Simulators as users write them, one file each."""

from pathlib import Path

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
