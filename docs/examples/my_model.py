"""A thrown ball with drag, seen at eight instants: a simulator that certibayes does not know."""

import numpy as np
import torch
from torch.distributions import Independent, Uniform

prior = Independent(Uniform(torch.tensor([5.0, 0.3]), torch.tensor([15.0, 1.3])), 1)
theta_names = ["speed", "angle"]
observed = [0.93, 1.71, 2.31, 2.79, 3.11, 3.35, 3.42, 3.44]


def simulate(theta):
    """Return eight noisy heights in meters for one speed (m/s) and angle (rad)."""
    speed, angle = theta
    vx, vy, y, heights = speed * np.cos(angle), speed * np.sin(angle), 0.0, []
    for step in range(1, 81):
        drag = 0.02 * np.hypot(vx, vy)
        vx, vy, y = vx - 0.01 * drag * vx, vy - 0.01 * (9.81 + drag * vy), y + 0.01 * vy
        if step % 10 == 0:
            heights.append(y)
    return np.array(heights) + np.random.normal(0, 0.05, 8)
