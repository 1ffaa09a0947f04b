"""Every registered task keeps the contract of `tasks.base`."""

import math

import pytest
import torch
from simulator_weights import restore
from torch.distributions import biject_to

from certibayes import registry
from certibayes.config.tasks import BUILT_IN, OWN
from certibayes.tasks.base import ClassificationTask, PosteriorTask, Restorable, Task
from certibayes.threat import Scale, ThreatModel

NAMES = tuple(BUILT_IN)
PAIRS, FEW = 200, 6
FEWER_PAIRS = {"pyloric_traces": 30, "pyloric_summary": 10}
ROWS = slice(0, 2_000)
DOWNLOADED = {
    **{"mnist": "data_root", "fashion_mnist": "data_root"},
    **{"cifar10": "cifar10_root", "svhn": "svhn_root"},
}


@pytest.fixture(autouse=True)
def downloaded(request, monkeypatch) -> None:
    """Let a task of a downloaded data set find it, CIFAR-10 in its first batches alone."""
    parameters = getattr(request.node, "callspec", None)
    name = parameters.params.get("name") if parameters else None
    if name in DOWNLOADED:
        root = request.getfixturevalue(DOWNLOADED[name])
        monkeypatch.setenv("CERTIBAYES_DATA", str(root))


def make(name: str) -> Task:
    task = registry.load("task", name)(BUILT_IN[name]())
    if isinstance(task, Restorable):
        restore(task)
    return task


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


POSTERIOR = [name for name in NAMES if BUILT_IN[name].form == "posterior"]
INDEPENDENT_NOISE = (
    *("gaussian_linear", "gaussian_linear_sbibm"),
    *("lynx_hare", "lotka_volterra", "sir"),
)
CLASSIFICATION = [name for name in NAMES if BUILT_IN[name].form == "classification"]
LIKELIHOOD = [name for name in POSTERIOR if hasattr(registry.load("task", name), "log_likelihood")]
LOG_NORMAL = {"sir"}
INFORMATIVE = {"hodgkin_huxley"}


def reference_x(task: Task) -> torch.Tensor:
    if isinstance(task, ClassificationTask):
        return task.training_set(ROWS)[1]
    assert isinstance(task, PosteriorTask)
    pairs = FEWER_PAIRS.get(task.spec.kind, PAIRS)
    return task.simulate(task.sample_prior(pairs, generator(0)), generator(1))


def test_every_registered_task_has_a_specification() -> None:
    assert set(registry.names("task")) == {*BUILT_IN, *OWN}


@pytest.mark.parametrize("name", NAMES)
def test_form_matches_the_class(name: str) -> None:
    kinds = {"posterior": PosteriorTask, "classification": ClassificationTask}
    assert isinstance(make(name), kinds[BUILT_IN[name].form])


@pytest.mark.parametrize("name", NAMES)
def test_x_is_finite_float64_inside_the_clip_range(name: str) -> None:
    task = make(name)
    x = reference_x(task)
    assert x.dtype == torch.float64
    assert x.shape[1] == task.x_dim
    assert x.isfinite().all()
    if task.clip is not None:
        ball = ThreatModel("linf", 0.1, "raw", task.clip).ball(Scale.of(x))
        ball.require_inside_clip(x)


@pytest.mark.parametrize("name", NAMES)
def test_scale_gives_a_usable_ball(name: str) -> None:
    x = reference_x(make(name))
    scale = Scale.of(x)
    assert scale.within_std > 0
    for unit in ("raw", "feature_std", "within_std"):
        ball = ThreatModel("linf", 0.1, unit).ball(scale)
        assert ball.radius.isfinite().all()
        assert torch.equal(ball.radius > 0, scale.active)
        assert scale.active.double().mean() > 0.5


@pytest.mark.parametrize("name", POSTERIOR)
def test_shapes_and_dtypes(name: str) -> None:
    task = make(name)
    theta = task.sample_prior(FEW, generator(0))
    assert theta.shape == (FEW, task.theta_dim)
    assert theta.dtype == torch.float64
    assert task.simulate(theta, generator(1)).shape == (FEW, task.x_dim)
    assert len(set(task.theta_names)) == task.theta_dim
    assert task.prior.event_shape == (task.theta_dim,)


@pytest.mark.parametrize("name", POSTERIOR)
def test_randomness_comes_from_the_generator_alone(name: str) -> None:
    task = make(name)
    state = torch.get_rng_state()
    theta = task.sample_prior(FEW, generator(3))
    x = task.simulate(theta, generator(4))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    again = task.sample_prior(FEW, generator(3))
    torch.testing.assert_close(again, theta, rtol=0, atol=0)
    torch.testing.assert_close(task.simulate(again, generator(4)), x, rtol=0, atol=0)
    assert not torch.equal(task.sample_prior(FEW, generator(6)), theta)
    assert not torch.equal(task.simulate(theta, generator(7)), x)


@pytest.mark.parametrize("name", POSTERIOR)
def test_noise_is_drawn_afresh_for_every_row(name: str) -> None:
    task = make(name)
    theta = task.sample_prior(1, generator(0)).expand(8, -1)
    x = task.simulate(theta, generator(1))
    assert len(x.unique(dim=0)) == 8


@pytest.mark.parametrize("name", POSTERIOR)
def test_prior_draws_lie_in_the_support_and_match_its_moments(name: str) -> None:
    task = make(name)
    n = 40_000
    theta = task.sample_prior(n, generator(0))
    assert task.prior.support.check(theta).all()
    assert task.prior.log_prob(theta).isfinite().all()
    error = (task.prior.variance / n).sqrt()
    assert ((theta.mean(0) - task.prior.mean).abs() < 5 * error).all()


@pytest.mark.parametrize("name", POSTERIOR)
def test_support_has_a_bijection_from_the_reals(name: str) -> None:
    task = make(name)
    bijection = biject_to(task.prior.support)
    theta = task.sample_prior(50, generator(0))
    v = bijection.inv(theta)
    assert v.isfinite().all()
    assert bijection.log_abs_det_jacobian(v, theta).shape == (50,)
    torch.testing.assert_close(bijection(v), theta)
    assert bijection.inv(theta.float()).dtype == torch.float32
    assert bijection(v.float()).dtype == torch.float32


@pytest.mark.parametrize("name", POSTERIOR)
def test_a_failed_simulation_is_a_row_of_nan_and_spares_the_others(name: str) -> None:
    task = make(name)
    theta = task.sample_prior(6, generator(0))
    x = task.simulate(theta, generator(1))
    broken = theta.clone()
    broken[2] = torch.nan
    failed = task.simulate(broken, generator(1))
    assert failed[2].isnan().all()
    others = [0, 1, 3, 4, 5]
    torch.testing.assert_close(failed[others], x[others])


@pytest.mark.parametrize("name", LIKELIHOOD)
def test_log_likelihood_gives_calibrated_odds_among_thetas(name: str) -> None:
    """One of five thetas simulates x: its probability given x is right on average.

    With p_k = p(x | theta_k) / sum_j p(x | theta_j) and true index J, E[p_J] = E[sum_k p_k^2] and
    E[log p_J] = E[sum_k p_k log p_k]. The thetas lie close together or far apart.
    """
    task = make(name)
    n, k, decades = (400, 5, 5) if name in INFORMATIVE else (2_000, 5, 3)
    base = task.sample_prior(n, generator(2))[:, None]
    others = task.sample_prior(n * k, generator(3)).view(n, k, -1)
    reach = 10 ** (-decades * torch.rand(n, 1, 1, generator=generator(4), dtype=torch.float64))
    theta = base + reach * (others - base)
    x = task.simulate(theta[:, 0].clone(), generator(5))
    values = task.log_likelihood(theta.flatten(0, 1), x.repeat_interleave(k, 0))
    odds = values.view(n, k).softmax(1)
    gap = odds[:, 0] - odds.square().sum(1)
    log_gap = odds[:, 0].log() - torch.xlogy(odds, odds).sum(1)
    assert 0.25 < float(odds[:, 0].mean()) < 0.9
    for values in (gap, log_gap):
        assert abs(float(values.mean())) < 5 * float(values.std()) / math.sqrt(n)


@pytest.mark.parametrize("name", INDEPENDENT_NOISE)
def test_log_likelihood_is_the_density_of_the_simulator(name: str) -> None:
    """E[-log p(x | theta)] at fixed theta is the entropy of normal noise, on x or on log x."""
    task = make(name)
    n = 20_000
    one = task.sample_prior(1, generator(2))
    theta = one.expand(n, -1).clone()
    x = task.simulate(theta, generator(3))
    noisy = x.log() if name in LOG_NORMAL else x
    jacobian = float(noisy.mean(0).sum()) if name in LOG_NORMAL else 0.0
    entropy = float((0.5 * math.log(2 * math.pi * math.e) + noisy.std(0).log()).sum()) + jacobian
    values = -task.log_likelihood(theta, x)
    assert values.shape == (n,)
    tolerance = 5 * float(values.std()) / math.sqrt(n)
    assert abs(float(values.mean()) - entropy) < tolerance


@pytest.mark.parametrize("name", POSTERIOR)
def test_real_observations_have_the_shape_of_x(name: str) -> None:
    task = make(name)
    observed = task.observed()
    if observed is not None:
        assert observed.shape[1] == task.x_dim
        assert observed.dtype == torch.float64
        assert observed.isfinite().all()


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_data_set_is_fixed_and_split_without_overlap(name: str) -> None:
    task = make(name)
    rows = BUILT_IN[name]().rows
    y, x = task.training_set(ROWS)
    test_y, test_x = task.test_set(ROWS)
    assert len(y) == len(x) == min(ROWS.stop, rows)
    assert len(test_y) == len(test_x) == min(ROWS.stop, BUILT_IN[name]().test_pairs)
    for labels in (y, test_y):
        assert labels.dtype == torch.int64
        assert set(labels.tolist()) == set(range(task.classes))
    for part, first in ((task.training_set, (y, x)), (task.test_set, (test_y, test_x))):
        again_y, again_x = part(slice(100, 300))
        assert torch.equal(again_x, first[1][100:300])
        assert torch.equal(again_y, first[0][100:300])
    seen = {tuple(row.tolist()) for row in x}
    assert not any(tuple(row.tolist()) in seen for row in test_x)


def test_digits_has_the_stated_sizes() -> None:
    task = make("digits")
    y, x = task.training_set()
    test_y, test_x = task.test_set()
    assert (len(y), len(test_y), task.classes) == (1_297, 500, 10)
    assert test_x.shape == (500, 64)
    assert (float(x.min()), float(x.max())) == (0.0, 1.0)
