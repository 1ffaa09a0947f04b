import pytest
import torch
from own_files import make
from torch import nn
from torch.distributions import (
    Dirichlet,
    Distribution,
    Exponential,
    Gamma,
    Independent,
    LogNormal,
    MultivariateNormal,
    Normal,
    Poisson,
    Uniform,
    biject_to,
)

from certibayes.config.errors import ConfigError
from certibayes.config.models import Gaussian
from certibayes.estimators.build import build_estimator
from certibayes.tasks.own_prior import as_prior


class BoxUniform(Independent):
    """As in sbi: a Uniform over a box."""

    def __init__(self, low, high, reinterpreted_batch_ndims=1):
        super().__init__(Uniform(low, high, validate_args=False), reinterpreted_batch_ndims)


class Box:
    """Not a distribution: bounds alone."""

    low, high = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 3.0])


LOW, HIGH = torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 0.1])
PRIORS = {
    "independent": (Independent(Uniform(LOW, HIGH), 1), 2),
    "box of sbi": (BoxUniform(LOW, HIGH), 2),
    "box in double": (BoxUniform(LOW.double(), HIGH.double()), 2),
    "bounds": (Box(), 2),
    "batch": (Uniform(LOW, HIGH), 2),
    "scalar": (Normal(0.0, 1.0), 1),
    "normal": (MultivariateNormal(torch.zeros(3), torch.eye(3)), 3),
    "positive": (Independent(LogNormal(torch.zeros(2), torch.ones(2)), 1), 2),
    "list": ([Uniform(0.0, 1.0), Normal(torch.zeros(1), torch.ones(1)), Exponential(2.0)], 3),
    "list of vectors": ([BoxUniform(LOW, HIGH), MultivariateNormal(LOW, torch.eye(2))], 4),
    "list as in sbi": ((Gamma(torch.ones(1), torch.ones(1)), BoxUniform(LOW[:1], HIGH[:1])), 2),
}


@pytest.mark.parametrize("name", PRIORS)
def test_priors_of_many_kinds_become_one_distribution(name):
    given, dim = PRIORS[name]
    prior = as_prior(given)
    assert (tuple(prior.batch_shape), tuple(prior.event_shape)) == ((), (dim,))
    theta = prior.sample((2_000,))
    assert theta.shape == (2_000, dim)
    assert prior.log_prob(theta).isfinite().all()
    for values in (theta.double(), theta.float()):
        bijection = biject_to(prior.support)
        v = bijection.inv(values)
        assert v.isfinite().all()
        assert bijection.log_abs_det_jacobian(v, values).shape == (2_000,)
        assert prior.support.check(values.double()).shape == (2_000,)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", PRIORS)
def test_the_type_of_theta_rules_in_an_estimator(name, dtype):
    prior = as_prior(PRIORS[name][0])

    class Task:
        theta_dim, support = prior.event_shape[0], prior.support

    estimator: nn.Module = build_estimator(Gaussian(hidden=[4]), Task(), 3).to(dtype)
    theta = prior.sample((500,)).to(dtype)
    q = estimator(torch.randn(500, 3, dtype=dtype))
    assert q.log_prob(theta).dtype == dtype
    assert q.log_prob(theta).isfinite().all()
    draws = q.draw(50, torch.Generator().manual_seed(0))
    assert draws.dtype == dtype
    assert q.log_prob(draws).isfinite().all()


def test_theta_that_rounding_lifts_over_the_bound_is_inside():
    high = torch.tensor([0.1, 0.7], dtype=torch.float64)
    assert (high.float().double() > high).any()
    prior = as_prior(Uniform(torch.zeros(2, dtype=torch.float64), high))

    class Task:
        theta_dim, support = 2, prior.support

    estimator = build_estimator(Gaussian(hidden=[]), Task(), 1)
    assert estimator(torch.zeros(1, 1)).log_prob(high.float()[None]).isfinite().all()


class Unbounded(Distribution):
    """Says nothing about its support."""

    def __init__(self):
        super().__init__(event_shape=torch.Size((2,)), validate_args=False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "int"),
        ([], "an empty list"),
        (Normal(torch.zeros(2, 2), torch.ones(2, 2)), r"batch shape \(2, 2\)"),
        (MultivariateNormal(torch.zeros(1, 2), torch.eye(2)), r"batch shape \(1,\)"),
        (Dirichlet(torch.ones(3)), "as many dimensions as theta"),
        ([Dirichlet(torch.ones(3)), Normal(0.0, 1.0)], "bounds per entry"),
        (Poisson(torch.ones(2)), "biject_to"),
        (Unbounded(), "biject_to"),
    ],
)
def test_priors_of_no_use_are_refused(given, message):
    with pytest.raises(ConfigError, match=f"prior: got .*{message}"):
        as_prior(given)


def test_draws_of_a_user_prior_have_its_moments_whatever_the_type(tmp_path):
    prior = "import torch\nfrom torch.distributions import *\n\
prior = [Uniform(0.0, 2.0), Normal(torch.zeros(1), torch.ones(1))]\n"
    task = make(tmp_path, "def simulate(theta):\n    return theta\n", prior)
    theta = task.sample_prior(40_000, torch.Generator().manual_seed(0))
    assert theta.dtype == torch.float64
    error = torch.tensor([2 / 12**0.5, 1.0]) / 200
    assert ((theta.mean(0) - torch.tensor([1.0, 0.0])).abs() < 5 * error).all()


PRIORS_OF_NO_SEED = {
    "sampled": """
class Own(Normal):
    def sample(self, shape=()):
        return torch.as_tensor(np.random.default_rng().normal(size=(*shape, 2)))
prior = Own(torch.zeros(2), torch.ones(2))
""",
    "loaded": "prior = Normal(torch.zeros(2), float(np.random.default_rng().uniform(1, 2)))\n",
}


@pytest.mark.parametrize("when", PRIORS_OF_NO_SEED)
def test_a_prior_that_no_seed_reaches_is_refused(tmp_path, when):
    prior = "import numpy as np, torch\nfrom torch.distributions import *\n"
    with pytest.raises(ConfigError, match="prior: sample gave two different draws"):
        make(
            tmp_path, "def simulate(theta):\n    return theta\n", prior + PRIORS_OF_NO_SEED[when]
        ).prepare()
