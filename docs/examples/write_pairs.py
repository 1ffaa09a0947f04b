"""Simulate pairs outside of certibayes and store them in the folder my_pairs."""

from pathlib import Path

import numpy as np
from my_model import simulate

theta = np.random.default_rng(0).uniform([5.0, 0.3], [15.0, 1.3], (2_200, 2))
Path("my_pairs").mkdir(exist_ok=True)
np.savez("my_pairs/pairs.npz", theta=theta, x=[simulate(one) for one in theta])
