"""Whether a user's file gives the same prior and the same x whenever it is loaded."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.distributions import Distribution

from certibayes.config.errors import ConfigError
from certibayes.tasks.own_calls import Simulate
from certibayes.tasks.own_detection import NOT_REPRODUCIBLE
from certibayes.tasks.own_module import Blame, importable, loaded_anew, said
from certibayes.tasks.own_prior import as_prior
from certibayes.tasks.own_random import seeded
from certibayes.tasks.own_trial import Trial, same

log = logging.getLogger(__name__)
Draw = Callable[[int, int], Tensor]
DRAWS = 3
TRIES = 5
"""Thetas to compare x for: a simulator may raise at some theta."""
PRIOR_NOT_REPRODUCIBLE = (
    "prior: sample gave two different draws for the same seed, so that no shard could be made "
    "again; allowed: randomness from the global generators of random, numpy.random or torch (not "
    "default_rng() without a seed, nor the clock)"
)


def require_same_draws(one: Draw, other: Draw) -> None:
    """Refuse a prior that draws from a source which no seed reaches.

    Args:
        one: returns n thetas, shape (n, theta_dim), for n and a seed.
        other: does so again, with the same prior or with that of a second load.

    Raises:
        ConfigError: if the draws for one seed differ.
    """
    if not torch.equal(one(DRAWS, 0), other(DRAWS, 0)):
        raise ConfigError(PRIOR_NOT_REPRODUCIBLE)


def require_same_when_loaded_anew(
    simulate: Simulate, draw: Draw, limit: float | None, path: Path
) -> None:
    """Refuse a file that draws numbers which no seed reaches while it is loaded.

    A file that cannot be loaded twice in one process is not compared, which the log says.

    Args:
        simulate: the user's function with the way to call it.
        draw: returns n thetas of the prior, shape (n, theta_dim), for n and a seed.
        limit: seconds that one call may take, or None.
        path: the user's file.

    Raises:
        ConfigError: if prior or x differ when the file is loaded a second time.
    """
    with ExitStack() as stack:
        try:
            module = stack.enter_context(loaded_anew(path))
        except ConfigError as error:
            log.warning("not compared with a second load, which gave: %s", error)
            return
        with Blame(path, "prior"):
            require_same_draws(draw, partial(_draws, as_prior(module.prior), path.parent))
        with importable(path.parent):
            again = replace(simulate, function=module.simulate)
            if not _same_x(simulate, again, draw, limit):
                raise ConfigError(f"{path}: {NOT_REPRODUCIBLE}")


def _draws(prior: Distribution, folder: Path, n: int, seed: int) -> Tensor:
    with seeded(seed), importable(folder):
        theta: Tensor = prior.sample(torch.Size((n,)))
    return theta


def _same_x(one: Simulate, other: Simulate, draw: Draw, limit: float | None) -> bool:
    for number in range(TRIES):
        trial = Trial(one, partial(_of_seed, draw, number), limit, number)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if not same(trial.x_of_one(), replace(trial, simulate=other).x_of_one()):
                    return False
        except TimeoutError:
            return True
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- a user's code may raise anything
            log.info("no x to compare: %s", said(error))
    return True


def _of_seed(draw: Draw, seed: int, n: int) -> Tensor:
    return draw(n, seed)
