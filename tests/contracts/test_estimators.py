"""The contract of estimators, over the registry."""

import pytest
import torch
from estimator_zoo import KINDS, POSITIVE, REAL, estimator_of

from certibayes.estimators.posterior import DRAW_ROWS
from certibayes.rows import Rows
from certibayes.seeding import generator

SUPPORTS = pytest.mark.parametrize("support", [REAL, POSITIVE], ids=["real", "positive"])
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


@EVERY_KIND
def test_class_names_its_registered_kind(kind):
    assert estimator_of(kind).kind == kind.partition("-")[0]


@EVERY_KIND
@SUPPORTS
@pytest.mark.parametrize("squash", [False, True])
def test_gradients_are_finite_and_not_zero(kind, support, squash):
    estimator = estimator_of(kind, support=support, squash=squash)
    x = torch.randn(16, 4).double().requires_grad_()
    theta = estimator(x).draw(5, generator("theta")).requires_grad_()
    estimator(x).log_prob(theta).sum().backward()
    parameters = [p.grad for p in estimator.parameters()]
    for gradient in (theta.grad, x.grad, *parameters):
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0


@EVERY_KIND
@pytest.mark.parametrize("fields", [{}, {"transforms": 1}, {"transforms": 2}], ids=str)
@pytest.mark.parametrize("theta_dim", [1, 4])
def test_every_theta_is_conditioned_on_every_x(kind, fields, theta_dim):
    if kind.startswith(("gaussian", "mixture")) and fields:
        pytest.skip("only flows have transforms")
    estimator = estimator_of(kind, theta_dim=theta_dim, gain=0.1, **fields)
    x = torch.randn(64, 4).double().requires_grad_()
    noise = estimator(x).noise((), generator("noise"))
    for i in range(theta_dim):
        (gradient,) = torch.autograd.grad(estimator(x).transport(noise)[:, i].sum(), x)
        assert (gradient.abs().sum(0) > 1e-6).all(), f"theta_{i} ignores a feature of x"


@EVERY_KIND
@SUPPORTS
def test_one_dimensional_density_integrates_to_one_and_matches_draws(kind, support):
    estimator = estimator_of(kind, theta_dim=1, support=support, gain=0.5)
    posterior = estimator(torch.randn(3, 4).double())
    v = torch.linspace(-60, 60, 100_001).double()
    grid = v.exp() if support is POSITIVE else v
    inside = (grid > 0) & grid.isfinite() if support is POSITIVE else torch.ones_like(v).bool()
    grid = grid[inside]
    density = posterior.log_prob(grid[:, None, None].expand(-1, 3, 1)).exp()
    cumulative = torch.cumulative_trapezoid(density, grid, dim=0)
    torch.testing.assert_close(cumulative[-1], torch.ones(3).double(), atol=1e-5, rtol=0)
    draws = posterior.draw(20_000, generator("draws")).squeeze(-1).sort(0).values
    position = torch.searchsorted(grid, draws.T.contiguous()).clamp(max=len(cumulative) - 1)
    at_draws = cumulative.T.gather(1, position)
    distance = (at_draws - torch.linspace(0, 1, 20_000).double()).abs().amax(1)
    assert (distance < 1.95 / 20_000**0.5).all(), "Kolmogorov-Smirnov, level 0.001"


@EVERY_KIND
@SUPPORTS
def test_transport_and_density_are_inverse(kind, support):
    if kind == "ensemble":
        pytest.skip("which member a theta comes from cannot be told from it")
    posterior = estimator_of(kind, support=support, gain=0.5)(torch.randn(6, 4).double())
    noise = posterior.noise((7,), generator("noise"))
    theta = posterior.transport(noise)
    assert posterior.support.check(theta).all()
    torch.testing.assert_close(posterior.noise_of(theta), noise, atol=1e-9, rtol=1e-9)
    one = theta[0, 0]
    jacobian = torch.autograd.functional.jacobian(
        lambda t: posterior.noise_of(t.expand(6, 3))[0], one
    )
    expected = -0.5 * (noise[0, 0] ** 2).sum() - 1.5 * torch.tensor(2 * torch.pi).double().log()
    expected = expected + torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(posterior.log_prob(theta)[0, 0], expected)


@EVERY_KIND
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapes_and_dtypes(kind, dtype):
    estimator = estimator_of(kind).to(dtype)
    posterior = estimator(torch.randn(5, 4, dtype=dtype))
    assert posterior.batch_shape == (5,)
    assert posterior.event_shape == (3,)
    theta = posterior.draw(6, generator("t"))
    assert theta.shape == (6, 5, 3)
    assert posterior.sample((2, 3)).shape == (2, 3, 5, 3)
    assert posterior.rsample().shape == (5, 3)
    log_prob = posterior.log_prob(theta)
    assert log_prob.shape == (6, 5)
    assert log_prob.dtype == theta.dtype == dtype
    torch.testing.assert_close(posterior.log_prob(theta[2]), log_prob[2])
    nested = theta.reshape(2, 3, 5, 3)
    torch.testing.assert_close(posterior.log_prob(nested).reshape(6, 5), log_prob)


@EVERY_KIND
def test_draws_depend_on_the_generator_alone_and_not_on_chunks(kind):
    posterior = estimator_of(kind)(torch.randn(3, 4).double())
    n = DRAW_ROWS // 2
    draws = posterior.draw(n, generator("draws", 1))
    torch.manual_seed(99)
    assert torch.equal(draws, posterior.draw(n, generator("draws", 1)))
    if not kind.startswith("mixture"):
        noise = posterior.noise((n,), generator("draws", 1))
        torch.testing.assert_close(draws, posterior.transport(noise), atol=1e-12, rtol=1e-12)
    assert not torch.equal(draws, posterior.draw(n, generator("draws", 2)))


@EVERY_KIND
def test_density_is_zero_off_the_support_and_gradients_stay_finite(kind):
    estimator = estimator_of(kind, support=POSITIVE)
    theta = torch.tensor([[-1.0, 1, 1], [1, 0, 1], [1, 1, torch.nan], [1, 1, 1]]).double()
    theta.requires_grad_()
    log_prob = estimator(torch.zeros(4, 4).double()).log_prob(theta)
    assert log_prob.isneginf().tolist() == [True, True, True, False]
    gradients = torch.autograd.grad(log_prob[3], [theta, *estimator.parameters()])
    assert all(gradient.isfinite().all() for gradient in gradients)


@EVERY_KIND
def test_standardization_absorbs_shift_and_scale_of_x(kind):
    x, theta = torch.randn(101, 4).double(), torch.randn(101, 3).double()
    estimator = estimator_of(kind)
    estimator.fit_standardization(Rows(theta, x))
    log_prob = estimator(x).log_prob(theta)
    estimator.fit_standardization(Rows(theta, 100 * x + 7))
    torch.testing.assert_close(estimator(100 * x + 7).log_prob(theta), log_prob)


@EVERY_KIND
def test_sbi_surface(kind):
    estimator = estimator_of(kind)
    x = torch.randn(5, 4).double()
    draws = estimator.sample((10,), x=x[0], generator=generator("a"))
    assert draws.shape == (10, 3)
    assert torch.equal(draws, estimator.sample((10,), x=x[:1], generator=generator("a")))
    batched = estimator.sample_batched((10,), x=x)
    assert batched.shape == (10, 5, 3)
    log_prob = estimator.log_prob_batched(batched, x=x)
    torch.testing.assert_close(estimator.log_prob(batched[:, 2], x=x[2]), log_prob[:, 2])
    with pytest.raises(ValueError, match="got 5 observations"):
        estimator.sample((1,), x=x)


@EVERY_KIND
def test_state_dict_carries_everything(kind):
    source, target = estimator_of(kind, seed=0), estimator_of(kind, seed=1)
    target.load_state_dict(source.state_dict())
    x, theta = torch.randn(5, 4).double(), torch.randn(5, 3).double()
    assert torch.equal(source(x).log_prob(theta), target(x).log_prob(theta))
