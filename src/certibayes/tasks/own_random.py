"""Randomness of code that draws from the global generators of Python, NumPy and torch."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_from(generator: torch.Generator) -> int:
    """Draw a seed of 63 bits from a generator."""
    return int(torch.randint(2**63 - 1, (1,), generator=generator))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the three global generators (torch's of the CPU) and put them back at the end."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.default_generator.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
