"""Simulators that fail in every way; importable in a worker process."""

import os
import random
import subprocess
import time
from pathlib import Path

import numpy as np
import torch
from torch.distributions import Independent, Uniform

from certibayes.config.simulators.sbibm import TwoMoons
from certibayes.config.task_spec import Failures
from certibayes.tasks.base import PosteriorTask

BAD = 7
SECOND_BAD = 13


def spec(**failures):
    return TwoMoons(failures=Failures(**failures))


class Sound(PosteriorTask):
    """theta = row index, x = (theta, uniform draw); parameters a and b."""

    rows_per_call = 10
    theta_dim = 2
    x_dim = 3
    theta_names = ("a", "b")

    def __init__(self, spec):
        super().__init__(spec)
        self.prior = Independent(Uniform(torch.zeros(2), torch.ones(2)), 1)

    def sample_prior(self, n, generator):
        row = torch.arange(n, dtype=torch.float64)
        return torch.stack((row, 0.5 * row), 1)

    def simulate(self, theta, generator):
        x = torch.rand(len(theta), 3, generator=generator, dtype=torch.float64)
        x[:, 0] = theta[:, 0]
        return self.spoil(theta, x)

    def spoil(self, theta, x):
        return x

    def bad(self, theta):
        return (theta[:, 0] == BAD) | (theta[:, 0] == SECOND_BAD)


class Broken(Sound):
    """NaN in one value of the bad rows."""

    def spoil(self, theta, x):
        x[self.bad(theta), 1] = torch.nan
        return x


class Overflowing(Sound):
    """One bad row is infinite, the other overflows float32."""

    def spoil(self, theta, x):
        x[theta[:, 0] == BAD, 1] = torch.inf
        x[theta[:, 0] == SECOND_BAD, 2] = -1e39
        return x


class Raising(Sound):
    def spoil(self, theta, x):
        if self.bad(theta).any():
            raise ValueError("negative\nrate")
        return x


class RaisingAtRandom(Sound):
    """Raises for a random event, of probability 1.5 % per row, anywhere in the batch."""

    rows_per_call = 1_000

    def simulate(self, theta, generator):
        if (torch.rand(len(theta), generator=generator) < 0.015).any():
            raise RuntimeError("solver failed")
        return super().simulate(theta, generator)


class Exiting(Sound):
    """Ends the interpreter as a script would."""

    def spoil(self, theta, x):
        if self.bad(theta).any():
            raise SystemExit(3)
        return x


class Misshapen(Sound):
    def spoil(self, theta, x):
        return x[:, :2] if self.bad(theta).any() else x


class Whole(Sound):
    """Whole numbers instead of real ones."""

    def spoil(self, theta, x):
        return x.long() if self.bad(theta).any() else x


class Listed(Sound):
    def spoil(self, theta, x):
        return x.tolist() if self.bad(theta).any() else x


class Hanging(Sound):
    def spoil(self, theta, x):
        if self.bad(theta).any():
            time.sleep(600)
        return x


class Dying(Sound):
    def spoil(self, theta, x):
        if self.bad(theta).any():
            os._exit(9)
        return x


class HangingBelow(Sound):
    """Hangs in a program that it starts; its pid is in the file `CERTIBAYES_TEST_PIDS`."""

    def spoil(self, theta, x):
        with subprocess.Popen(["sleep", "600"]) as child:
            with Path(os.environ["CERTIBAYES_TEST_PIDS"]).open("a") as file:
                file.write(f"{os.getpid()} {child.pid}\n")
            child.wait()
        return x


class Global(Sound):
    """Draws from global random states, and changes theta in place."""

    def spoil(self, theta, x):
        x[:, 0] = torch.rand(len(x))
        x[:, 1] = torch.from_numpy(np.random.random(len(x)))
        x[:, 2] = torch.tensor([random.random() for _ in x])
        theta.zero_()
        return x


class Unstartable(Sound):
    """Cannot be built in a worker."""

    def __reduce__(self):
        return Path.read_text, (Path("no such file"),)


class AlwaysRaising(Sound):
    """Counts its calls in this process."""

    rows_per_call = 10_000
    calls = 0

    def simulate(self, theta, generator):
        type(self).calls += 1
        raise RuntimeError(f"{len(theta)} rows")
