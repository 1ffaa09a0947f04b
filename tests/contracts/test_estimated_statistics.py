"""Batch normalization inside every way of inferring weights: where its statistics come from."""

import copy
import math
from itertools import pairwise

import pytest
import torch
from inference_zoo import SPECS
from pydantic import ValidationError
from test_weight_inference_training import After
from torch import nn

from certibayes import registry
from certibayes.bnn.estimated_statistics import estimate_statistics, estimated
from certibayes.checkpoint import Checkpoint
from certibayes.config.defenses import RobustLikelihood
from certibayes.config.inference import EnsembleInference, MAPInference, SWAGInference
from certibayes.config.models import Model, Training
from certibayes.config.networks import CNN, Convolution
from certibayes.config.threat import BoundedPerturbationAt
from certibayes.defenses.worst_case_crown_ibp import linear_lower
from certibayes.defenses.worst_case_interval import interval_lower
from certibayes.process import Interrupted
from certibayes.rows import Rows
from certibayes.seeding import generator
from certibayes.threat import Ball, Scale
from certibayes.training import fit

NETWORK = CNN(layers=(Convolution(filters=3, padding=1),), hidden=(6,), batch_norm=True)
DEEP = CNN(layers=NETWORK.layers * 2, hidden=(6, 5), batch_norm=True)
X_DIM, CLASSES = 16, 3
KINDS = registry.names("inference")
SCALE = Scale(torch.ones(X_DIM), 1.0)
ROBUST = RobustLikelihood(
    perturbation=BoundedPerturbationAt(norm="linf", unit="raw", epsilon=0.05),
    initialization="interval",
)


def inference_of(kind, network=NETWORK, spec=None):
    torch.manual_seed(0)
    built = registry.load("network", "cnn")(network, X_DIM, CLASSES)
    return registry.load("inference", kind)(built, spec or SPECS[kind])


def normalizations(inference):
    kinds = nn.BatchNorm1d | nn.BatchNorm2d
    return [module for module in inference.modules() if isinstance(module, kinds)]


def statistics(inference):
    return torch.cat(
        [b.detach().clone() for m in normalizations(inference) for b in m.buffers() if b.dim() > 0]
    )


def pairs(n, name):
    x = torch.rand(n, X_DIM, generator=generator(name))
    return Rows((x[:, 0] > x[:, 1]).long() + (x[:, 2] > 0.8).long(), x)


def train(inference, checkpoint, stop=math.inf, epochs=4, seen=None):
    fit(
        inference,
        registry.load("defense", "robust_likelihood")(ROBUST, SCALE, (0.0, 1.0)),
        pairs(70, "training"),
        pairs(30, "validation"),
        Training(epochs=epochs, batch_size=16, learning_rate=0.02, checkpoint_seconds=1e6),
        seed=7,
        checkpoint=checkpoint,
        interruption=After(stop),
        report=lambda step, metrics: seen is None or seen.append(statistics(inference)),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_what_leaves_a_normalization_has_mean_0_and_variance_1(kind):
    """Over all examples and draws together, layer behind layer."""
    inference = inference_of(kind, DEEP)
    x = 3 * torch.randn(240, X_DIM, generator=generator("x")) + 1
    assert not estimated(inference)
    estimate_statistics(inference, x, generator("draws"))
    assert estimated(inference)
    draws = min(inference.stored_samples, 8)
    drawn = inference.model(inference.sample(draws, generator("draws")))
    seen = {}
    for number, module in enumerate(normalizations(drawn)):
        module.register_forward_hook(
            lambda m, _, out, at=number: seen.setdefault(at, []).append(_standard(m, out))
        )
    for sample, rows in enumerate(x.chunk(draws)):
        torch.func.functional_call(drawn.network, drawn.weights(sample), (rows,))
    for outputs in seen.values():
        rows = torch.cat([t.transpose(0, 1).flatten(1) for t in outputs], 1)
        varies = rows.var(1) > 0.5
        assert varies.any()
        torch.testing.assert_close(rows.mean(1), torch.zeros(len(rows)), atol=1e-3, rtol=0)
        assert ((rows.var(1, correction=0) - 1).abs()[varies] < 1e-2).all()


def _standard(module, output):
    """Undo scale and shift, which are weights and differ from draw to draw."""
    shape = (-1, *(1,) * (output.dim() - 2))
    return (output - module.bias.view(shape)) / module.weight.view(shape)


@pytest.mark.parametrize("kind", KINDS)
def test_statistics_settle_in_the_first_half_of_training(kind, tmp_path):
    inference, seen = inference_of(kind), []
    initial = statistics(inference)
    train(inference, Checkpoint(tmp_path / "state"), seen=seen)
    assert not torch.equal(seen[0], initial)
    moves = [not torch.equal(one, other) for one, other in pairwise(seen)]
    assert moves == [kind != "hmc", False, False]
    assert all(estimated(part) for part in (inference, copy.deepcopy(inference)))


@pytest.mark.parametrize("stop", [4, 6])
@pytest.mark.parametrize("kind", ["map", "bbb"])
def test_a_resumed_training_has_the_same_statistics(kind, stop, tmp_path):
    whole, resumed = inference_of(kind), inference_of(kind)
    train(whole, Checkpoint(tmp_path / "whole"))
    with pytest.raises(Interrupted):
        train(resumed, Checkpoint(tmp_path / "parts"), stop)
    again = inference_of(kind)
    train(again, Checkpoint(tmp_path / "parts"))
    for name, values in whole.state_dict().items():
        assert torch.equal(values, again.state_dict()[name]), name


def test_a_warm_start_begins_with_the_statistics_of_its_base(tmp_path):
    base, warm, seen = inference_of("map"), inference_of("map"), []
    train(base, Checkpoint(tmp_path / "base"))
    warm.load_lasting_state(base.lasting_state())
    train(warm, Checkpoint(tmp_path / "warm"), epochs=1, seen=seen)
    assert torch.equal(seen[0], statistics(base))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_bounds_hold_for_the_trained_predictive(kind, tmp_path):
    inference = inference_of(kind)
    train(inference, Checkpoint(tmp_path / "state"), epochs=2 if kind != "hmc" else 4)
    model = inference.model(inference.sample(2, generator("stored"))).double().eval()
    y, x = pairs(6, "test").target, pairs(6, "test").x.double()
    ball = Ball("linf", torch.full((X_DIM,), 0.05, dtype=torch.float64), (0.0, 1.0))
    by_intervals, worst = (f(model, y, x, ball) for f in (interval_lower, linear_lower))
    assert (worst >= by_intervals - 1e-9).all()
    point = x
    for number in range(30):
        point = (ball.sample(x, generator("p", number)) if number % 3 == 0 else point).detach()
        point = point.requires_grad_()
        found = model(point).log_prob(y)
        assert (found >= worst - 1e-9).all()
        (gradient,) = torch.autograd.grad(found.sum(), point)
        point = ball.project(x, point - 0.5 * ball.steepest(gradient))


def test_what_cannot_share_statistics_is_refused():
    with pytest.raises(
        ValidationError, match=r"members: got 2 with network\.batch_norm; allowed: 1"
    ):
        Model(network=NETWORK, members=2)
    with pytest.raises(ValidationError, match=r"inference\.start: got 0\.4 with network"):
        Model(network=NETWORK, inference=SWAGInference(start=0.4))
    Model(network=NETWORK, inference=EnsembleInference(stored_samples=2))
    Model(network=NETWORK.model_copy(update={"batch_norm": False}), members=2)


def test_a_normalization_inside_another_layer_is_named():
    inner = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    for network, message in (
        (nn.Sequential(inner, nn.Linear(3, 2)), r"network\.0: got Sequential around a batch norm"),
        (nn.ModuleList([inner]), "network: got none in a MAP; allowed: a Sequential"),
    ):
        inference = registry.load("inference", "map")(network, MAPInference())
        with pytest.raises(TypeError, match=message):
            estimate_statistics(inference, torch.rand(5, 4), generator("a"))
