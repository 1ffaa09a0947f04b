"""Every task that solves a differential equation against scipy, on draws from its prior.

Tasks with a model of their own are held against scipy beside their other oracles: the neurons in
test_hodgkin_huxley.py, the network of neurons, which is stochastic, in test_pyloric.py.
"""

import numpy as np
import pytest
import torch
from ode_references import CASES, make, reference

DRAWS = 200


@pytest.mark.parametrize("name", CASES)
def test_solver_agrees_with_scipy_on_prior_draws(name: str, record_property) -> None:
    """Within 1e-4 of the trajectory's range, per component, on 99 % of the draws."""
    task, case = make(name), CASES[name]
    theta = task.sample_prior(DRAWS, torch.Generator().manual_seed(0))
    solved = case.solved(task, theta).numpy()
    references = [reference(case.problem(row)) for row in theta.numpy()]
    usable = [i for i, found in enumerate(references) if found is not None]
    record_property("draws on which scipy failed", DRAWS - len(usable))
    assert len(usable) >= 0.98 * DRAWS, f"scipy failed on {DRAWS - len(usable)} of {DRAWS} draws"

    expected = np.stack([references[i][case.observed] for i in usable])
    error = np.abs(solved[usable] - expected).max(2) / np.ptp(expected, axis=2)
    record_property("largest error in units of the range", float(error.max()))
    assert (error.max(1) < 1e-4).mean() >= 0.99
    assert np.median(error) < 1e-6


def test_lynx_hare_solver_agrees_with_scipy_in_the_deepest_troughs() -> None:
    """On the 20 of 5,000 prior draws in which a population falls the deepest."""
    task, case = make("lynx_hare"), CASES["lynx_hare"]
    theta = task.sample_prior(5_000, torch.Generator().manual_seed(1))
    solved = case.solved(task, theta)
    deepest = solved.flatten(1).amin(1).argsort()[:20]
    expected = np.stack([reference(case.problem(row)) for row in theta[deepest].numpy()])
    assert expected.min((1, 2)).max() < -40
    error = np.abs(solved[deepest].numpy() - expected).max((1, 2))
    assert (error < 1e-3).all()
