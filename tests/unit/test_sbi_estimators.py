"""Estimators around networks of the sbi toolbox: density, draws, bounds, and what prevents them."""

import pytest
import torch
from nflows.transforms.made import MADE
from sbi_stand_in import KINDS, posterior_of
from torch import nn

from certibayes.audit.boundable import module_named
from certibayes.audit.recognition import subject_of
from certibayes.certificates.log_density_bounds import lower_log_density, upper_log_density
from certibayes.threat import Ball

each = pytest.mark.parametrize("kind", KINDS)


def observations(n=2):
    return torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def drawn(kind, n=20, **options):
    posterior, x = posterior_of(kind, **options), observations()
    subject = subject_of(posterior, x)
    theta = subject.model(x).draw(n, torch.Generator().manual_seed(2))
    return posterior, subject, x, theta


@each
def test_the_density_is_that_of_the_network(kind):
    posterior, subject, x, theta = drawn(kind)
    assert subject.kind == kind
    own = posterior.posterior_estimator.double().log_prob(theta, x)
    torch.testing.assert_close(subject.model(x).log_prob(theta), own)


@each
def test_draws_follow_the_density(kind):
    """E_q[r / q] = 1 for any density r that q covers: here the box of the draws, cut."""
    _, subject, x, theta = drawn(kind, n=4000)
    log_q = subject.model(x[:1]).log_prob(theta[:, :1])[:, 0]
    low, high = theta[:, 0].quantile(0.2, 0), theta[:, 0].quantile(0.8, 0)
    inside = ((theta[:, 0] > low) & (theta[:, 0] < high)).all(-1)
    weights = torch.where(inside, (-log_q).exp(), 0.0) / (high - low).prod()
    error = weights.std() / len(weights) ** 0.5
    assert abs(float(weights.mean()) - 1) < 5 * float(error) + 0.02


BOUNDED = [
    ("maf", 3),
    ("mdn", 3),
    ("mdn", 1),
    pytest.param("maf_rqs", 3, marks=pytest.mark.slow),
    pytest.param("nsf", 3, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("kind", "theta_dim"), BOUNDED)
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_bounds_enclose_and_are_exact_at_radius_zero(kind, theta_dim, norm):
    _, subject, x, theta = drawn(kind, n=6, theta_dim=theta_dim)
    model = subject.model
    log_prob = model(x).log_prob(theta)
    for method in ("interval", "crown_ibp", "crown"):
        point = Ball(norm, torch.zeros(3, dtype=torch.float64))
        for bound in (lower_log_density, upper_log_density):
            torch.testing.assert_close(bound(method, model, theta, x, point), log_prob)
        ball = Ball(norm, torch.full((3,), 0.2, dtype=torch.float64))
        low = lower_log_density(method, model, theta, x, ball)
        high = upper_log_density(method, model, theta, x, ball)
        assert bool((low <= high).all() and low.isfinite().all())
        source = torch.Generator().manual_seed(3)
        for _ in range(10):
            moved = model(ball.project(x, x + torch.randn(x.shape, generator=source))).log_prob(
                theta
            )
            assert bool(((low <= moved + 1e-9) & (moved <= high + 1e-9)).all())


def test_linear_bounds_are_tighter_where_intervals_are_wide():
    _, subject, x, theta = drawn("nsf")
    ball = Ball("linf", torch.full((3,), 0.05, dtype=torch.float64))
    gaps = [
        (subject.model(x).log_prob(theta) - lower_log_density(name, subject.model, theta, x, ball))
        for name in ("interval", "crown")
    ]
    assert float(gaps[1].mean()) < 0.3 * float(gaps[0].mean())


class Odd(nn.Module):
    def forward(self, x):
        return x.sin()


class LoudMADE(MADE):
    def forward(self, inputs, context=None):
        return 2 * super().forward(inputs, context)


def test_a_module_without_bound_is_named_and_the_density_stays():
    _, subject, _, _ = drawn("maf", embedding=Odd())
    assert subject.estimator is None
    assert module_named(subject.uncertified) == "Odd"
    assert subject.gradients


def test_a_module_that_is_not_what_its_type_says_is_noticed():
    posterior = posterior_of("maf")
    flow = posterior.posterior_estimator.net
    flow._transform._transforms[1]._transforms[0].autoregressive_net.__class__ = LoudMADE
    subject = subject_of(posterior, observations())
    assert "something else than its type says" in subject.uncertified


def test_batch_normalization_is_named():
    posterior = posterior_of("nsf")
    transform = posterior.posterior_estimator.net._transform._transforms[1]._transforms[0]
    transform.transform_net.blocks[0].use_batch_norm = True
    transform.transform_net.blocks[0].batch_norm_layers = nn.ModuleList(
        nn.BatchNorm1d(6) for _ in range(2)
    )
    assert (
        module_named(
            subject_of(
                posterior.__class__(posterior.prior, posterior.posterior_estimator.eval()),
                observations(),
            ).uncertified
        )
        == "BatchNorm1d"
    )
