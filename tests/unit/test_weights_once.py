"""Weights that are masked and ordered once for several passes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from certibayes import registry
from certibayes.config.models import MAF
from certibayes.estimators.flow import FlowEstimator, weights_once
from certibayes.seeding import generator


def flow() -> FlowEstimator:
    torch.manual_seed(0)
    build = registry.load("estimator", "maf")
    return build(MAF(transforms=2, hidden=8), 2, 3, constraints.real_vector).double()


def pair() -> tuple[Tensor, Tensor]:
    g = generator("pair")
    return torch.randn(5, 2, generator=g).double(), torch.randn(5, 3, generator=g).double()


def gradients(model: FlowEstimator) -> list[Tensor]:
    theta, x = pair()
    value = model(x).log_prob(theta).sum() + model(x + 1).log_prob(theta).square().sum()
    return list(torch.autograd.grad(value, list(model.parameters())))


def test_passes_and_gradients_are_those_of_weights_prepared_anew() -> None:
    model = flow()
    wanted = gradients(model)
    with weights_once(model):
        assert model.made_weights() is model.made_weights()
        found = gradients(model)
    torch.testing.assert_close(found, wanted)


def test_weights_prepared_without_gradients_have_none_and_the_outer_ones_come_back() -> None:
    model = flow()
    theta, x = pair()
    x.requires_grad_()
    with weights_once(model):
        outer = model.made_weights()
        with torch.no_grad(), weights_once(model), torch.enable_grad():
            assert not model.made_weights()[0].context[0].requires_grad
            (slope,) = torch.autograd.grad(model(x).log_prob(theta).sum(), x)
        assert model.made_weights() is outer
    (wanted,) = torch.autograd.grad(model(x).log_prob(theta).sum(), x)
    torch.testing.assert_close(slope, wanted)


def interrupted(model: FlowEstimator) -> None:
    with weights_once(nn.ModuleList([model])):
        assert model.made_weights() is model.made_weights()
        raise InterruptedError


def test_changed_weights_count_again_afterwards_even_after_an_error() -> None:
    model = flow()
    theta, x = pair()
    before = model(x).log_prob(theta)
    with pytest.raises(InterruptedError):
        interrupted(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    assert not torch.allclose(before, model(x).log_prob(theta))
