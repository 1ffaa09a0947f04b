"""Mixtures of Gaussians: density, quantiles, gradients through draws, bounds of averages."""

from itertools import product

import pytest
import torch
from torch.distributions import (
    Categorical,
    MixtureSameFamily,
    MultivariateNormal,
    constraints,
)

from certibayes.bounds import Interval
from certibayes.config.models import Mixture
from certibayes.estimators.mixture import MixtureEstimator
from certibayes.estimators.mixture_bounds import largest_average
from certibayes.estimators.mixture_posterior import MixturePosterior, log_sum_exp
from certibayes.estimators.mixture_quantile import mixture_quantile, normal_score
from certibayes.estimators.theta_map import ThetaMap
from certibayes.seeding import generator

REAL = constraints.independent(constraints.real, 1)


@pytest.fixture(params=["diagonal", "full"])
def posterior(request):
    torch.manual_seed(2)
    spec = Mixture(hidden=(16,), components=4, covariance=request.param)
    estimator = MixtureEstimator(spec, 2, 3, REAL).double()
    for parameter in estimator.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return estimator(torch.randn(3, 3).double())


def test_density_is_that_of_torch(posterior):
    latents = [component.latent for component in posterior.components]
    location = torch.stack([latent.loc for latent in latents], 1)
    factor = torch.stack([latent.scale_tril for latent in latents], 1)
    expected = MixtureSameFamily(
        Categorical(logits=posterior.log_weights),
        MultivariateNormal(location, scale_tril=factor, validate_args=False),
        validate_args=False,
    )
    theta = 3 * torch.randn(50, 3, 2).double()
    torch.testing.assert_close(posterior.log_prob(theta), expected.log_prob(theta))


def test_float32_density_is_finite_far_from_every_component(posterior):
    far = torch.full((3, 2), 1e4)
    parts = (posterior.precision_factor, posterior.offset, posterior.log_weights)
    whole = posterior.theta_map
    theta_map = ThetaMap(whole.support, whole.location.float(), whole.scale.float())
    single = type(posterior)(theta_map, *(part.float() for part in parts))
    assert single.log_prob(far).isfinite().all()


def test_draws_by_component_and_by_transport_have_one_law(posterior):
    n = 20_000
    chosen = posterior.draw(n, generator("draws"))
    moved = posterior.transport(posterior.noise((n,), generator("noise"))).detach()
    for one, other in ((chosen[..., 0], moved[..., 0]), (chosen.sum(-1), moved.sum(-1))):
        levels = torch.cat((one, other)).sort(0).values[:: n // 50].T.contiguous()
        shares = [
            torch.searchsorted(values.T.contiguous().sort(-1).values, levels) / n
            for values in (one, other)
        ]
        assert (shares[0] - shares[1]).abs().max() < 1.95 * (2 / n) ** 0.5


def test_quantiles_invert_the_distribution_function_in_both_tails():
    torch.manual_seed(0)
    target = torch.linspace(-12, 12, 201).double()
    log_weights = torch.randn(201, 3).double().log_softmax(-1)
    slope, shift = 0.1 + 3 * torch.rand(201, 3).double(), 4 * torch.randn(201, 3).double()
    v = mixture_quantile(target, log_weights, slope, shift)
    back = normal_score(slope * v.unsqueeze(-1) + shift, log_weights)
    torch.testing.assert_close(back, target, rtol=0, atol=1e-9)


def test_gradients_of_quantiles_are_those_of_finite_differences():
    torch.manual_seed(1)
    inputs = [torch.randn(6), torch.randn(6, 3), torch.rand(6, 3) + 0.3, torch.randn(6, 3)]
    inputs = [part.double().requires_grad_() for part in inputs]
    assert torch.autograd.gradcheck(
        lambda target, logits, *rest: mixture_quantile(target, logits.log_softmax(-1), *rest),
        inputs,
    )


def test_gradient_through_draws_is_that_of_their_mean(posterior):
    """E[theta^2] of the first parameter, whose gradient by the logits has a closed form."""
    logits = posterior.log_weights.detach().requires_grad_()
    parts = (posterior.precision_factor.detach(), posterior.offset.detach())
    moving = type(posterior)(posterior.theta_map, *parts, logits.log_softmax(-1))
    theta = moving.transport(moving.noise((40_000,), generator("gradient")))
    (found,) = torch.autograd.grad(theta[..., 0].square().mean(0).sum(), logits)
    latents = [component.latent for component in moving.components]
    second = torch.stack([q.loc[:, 0] ** 2 + q.variance[:, 0] for q in latents], -1)
    exact = (logits.softmax(-1) * second).sum()
    (expected,) = torch.autograd.grad(exact, logits)
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_largest_average_is_attained_at_a_corner(sign):
    torch.manual_seed(3)
    center, radius = torch.randn(20, 4).double(), torch.rand(20, 4).double()
    values = 3 * torch.randn(5, 20, 4).double()
    bound = largest_average(Interval.around(center, radius), values, sign)
    corners = torch.tensor(list(product((-1.0, 1.0), repeat=4))).double()
    logits = center + radius * corners[:, None, None]
    reached = sign * (logits.log_softmax(-1) + values).logsumexp(-1)
    torch.testing.assert_close(bound, reached.amax(0))


def test_mixtures_of_posteriors_weigh_and_draw_their_components(posterior):
    weights = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).double()
    mixture = MixturePosterior(posterior.components, weights.log())
    theta = torch.randn(7, 3, 2).double()
    parts = torch.stack([component.log_prob(theta).exp() for component in posterior.components])
    expected = torch.einsum("k,knb->nb", weights[0], parts)
    torch.testing.assert_close(mixture.log_prob(theta).exp(), expected)
    chosen = mixture.choose(torch.randn(40_000, 3, generator=generator("choice")).double())
    share = torch.stack([(chosen == k).double().mean(0) for k in range(4)], -1)
    assert (share - weights).abs().max() < 0.01
    assert mixture.has_rsample
    with pytest.raises(ValueError, match="log_weights: got 3 columns"):
        MixturePosterior(posterior.components, weights[:, :3].log())


def test_draws_whose_choice_depends_on_x_are_not_reparametrized(posterior):
    mixture = MixturePosterior(posterior.components, posterior.log_weights)
    assert posterior.has_rsample
    assert not mixture.has_rsample
    assert mixture.sample((2,)).shape == (2, 3, 2)
    with pytest.raises(NotImplementedError, match="no reparametrized draws"):
        mixture.rsample()


def test_log_sum_exp_of_nothing_has_no_gradient():
    values = torch.tensor([[-torch.inf, -torch.inf], [-torch.inf, 2.0]], requires_grad=True)
    total = log_sum_exp(values)
    assert total.tolist() == [-torch.inf, 2.0]
    (gradient,) = torch.autograd.grad(total[1], values)
    assert gradient.isfinite().all()
