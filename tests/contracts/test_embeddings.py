"""Every registered embedding, in front of every estimator: gradients, equal seeds, sound bounds."""

import re
import typing

import pytest
import torch
from estimator_zoo import BOUNDED, POSITIVE, REAL, SPECS, estimator_of
from test_bounds import NORMS, assert_inside, candidates, seeded_ball, seeded_x
from torch import nn

from certibayes import registry
from certibayes.bounds import BallAround, interval_bounds, linear_bounds
from certibayes.bounds.graph import Input
from certibayes.bounds.linear import lower_form
from certibayes.config import embeddings
from certibayes.config.embeddings import CNN1dEmbedding, MLPEmbedding
from certibayes.estimators.bounded_density import standardized_ball
from certibayes.estimators.made import ConditionedAffine
from certibayes.seeding import generator

X_DIM = 12
EMBEDDINGS = {
    "mlp": MLPEmbedding(hidden=(10, 8), features=5),
    "mlp_silu": MLPEmbedding(hidden=(10,), features=5, activation="silu"),
    "mlp_linear": MLPEmbedding(hidden=(), features=5),
    "cnn1d": CNN1dEmbedding(channels=2, filters=(3, 2), kernel=3, pool=2, features=5),
    "cnn1d_shared": CNN1dEmbedding(
        channels=2, filters=(3,), kernel=3, pool=2, share_filters=True, features=5, hidden=(6,)
    ),
    "cnn1d_per_channel": CNN1dEmbedding(
        channels=3,
        filters=(2,),
        kernel=3,
        pool=1,
        channel_features=2,
        features=5,
        activation="gelu",
    ),
    "cnn1d_shared_per_channel": CNN1dEmbedding(
        channels=3,
        filters=(2,),
        kernel=5,
        pool=2,
        channel_features=2,
        features=5,
        share_filters=True,
        activation="tanh",
    ),
}
SIZES = {"maf": {"hidden": 12, "transforms": 2}, "nsf": {"hidden": 12, "transforms": 2}}
SMALL = {"hidden": (12,)}
EACH = pytest.mark.parametrize("name", EMBEDDINGS)
SINGLE = [kind for kind in registry.names("estimator") if kind in SPECS]
GRAPHED = [kind for kind in registry.names("log_density_graph") if kind in SPECS]


def build(name, dtype=torch.float64):
    spec = EMBEDDINGS[name]
    torch.manual_seed(0)
    return registry.load("embedding", spec.kind)(spec, X_DIM).to(dtype)


def embedded_estimator(kind, name, **fields):
    fields = SIZES.get(kind, SMALL) | fields
    return estimator_of(kind, x_dim=X_DIM, embedding=EMBEDDINGS[name], gain=0.5, **fields)


def test_every_registered_embedding_is_tested_and_every_estimator_takes_one():
    members = typing.get_args(typing.get_args(embeddings.AnyEmbedding)[0])
    kinds = {member.model_fields["kind"].default for member in members}
    assert kinds == {spec.kind for spec in EMBEDDINGS.values()} == set(registry.names("embedding"))
    for spec in SPECS.values():
        assert spec().embedding is None
        assert spec.model_validate({"embedding": {"kind": "mlp"}}).embedding == MLPEmbedding()


@EACH
def test_shapes_gradients_and_equal_seeds(name):
    network, x = build(name), torch.randn(30, X_DIM).double().requires_grad_()
    features = network(x)
    assert features.shape == (30, 5)
    features.square().sum().backward()
    for value in (x, *network.parameters()):
        assert value.grad.isfinite().all()
        assert value.grad.abs().sum() > 0
    assert (x.grad.abs().sum(0) > 0).all(), "a feature of x is ignored"
    for one, other in zip(network.parameters(), build(name).parameters(), strict=True):
        assert torch.equal(one, other)
    assert build(name, torch.float32)(x.detach().float()).dtype == torch.float32


@EACH
@NORMS
def test_no_point_escapes_the_bounds_of_an_embedding(name, norm):
    network = build(name).requires_grad_(False)
    x, ball = seeded_x(2, X_DIM, None), seeded_ball(norm, None, X_DIM)
    region = BallAround(x, ball)
    found = [
        interval_bounds(network, region),
        linear_bounds(network, region, tightening=False),
        linear_bounds(network, region),
    ]
    for output in range(2):
        points = candidates(lambda t, i=output: network(t)[:, i], ball, x, 5_000)
        values = network(points.flatten(0, 1)).view(*points.shape[:2], 5)
        for bounds in found:
            assert_inside(bounds, values)
    for bounds in (interval_bounds, linear_bounds):
        exact = bounds(network, BallAround(x, ball.scaled(0.0)))
        torch.testing.assert_close(exact.lower, network(x), atol=1e-12, rtol=0)
        torch.testing.assert_close(exact.upper, network(x), atol=1e-12, rtol=0)


def by_channel(name, x):
    """Return what is computed of every channel by itself, (channels, numbers), of one x."""
    layers, spec = list(build(name)), EMBEDDINGS[name]
    flat = [isinstance(layer, nn.Flatten) for layer in layers].index(True)
    found = nn.Sequential(*layers[:flat])(x)[0]
    return found.transpose(0, 1).flatten(1) if spec.share_filters else found.view(spec.channels, -1)


def test_channels_share_filters_or_have_their_own():
    x = torch.randn(4).double().repeat(3).view(1, X_DIM)
    shared, own = (by_channel(f"cnn1d{name}_per_channel", x) for name in ("_shared", ""))
    torch.testing.assert_close(shared[0], shared[1])
    assert not torch.allclose(own[0], own[1])


@pytest.mark.parametrize("name", [name for name in EMBEDDINGS if name.startswith("cnn1d")])
def test_channels_do_not_mix_before_the_linear_layers(name):
    channels = EMBEDDINGS[name].channels
    x = torch.randn(1, channels, X_DIM // channels).double()
    moved = x.clone()
    moved[:, 0] += 1.0
    changed = by_channel(name, x.flatten(1)) != by_channel(name, moved.flatten(1))
    assert changed.any(1).tolist() == [True] + [False] * (channels - 1)


@pytest.mark.parametrize("kind", SINGLE)
@EACH
def test_estimators_condition_on_the_features(kind, name):
    estimator = embedded_estimator(kind, name)
    assert estimator.features == 5
    x = torch.randn(8, X_DIM).double()
    expected = estimator.embedding((x - estimator.x_location) / estimator.x_scale)
    torch.testing.assert_close(estimator.condition(x), expected)
    theta = estimator(x).draw(2, generator("theta"))
    given = x.clone().requires_grad_()
    log_prob = estimator(given).log_prob(theta)
    gradients = torch.autograd.grad(log_prob.sum(), [given, *estimator.embedding.parameters()])
    for gradient in gradients:
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0
    other = embedded_estimator(kind, name, seed=1)
    other.load_state_dict(estimator.state_dict())
    assert torch.equal(other(x).log_prob(theta), estimator(x).log_prob(theta))


@pytest.mark.parametrize("kind", SINGLE)
def test_without_an_embedding_nothing_is_added(kind):
    estimator = estimator_of(kind, x_dim=X_DIM)
    assert isinstance(estimator.embedding, nn.Identity)
    assert estimator.features == X_DIM
    assert not [name for name in estimator.state_dict() if "embedding" in name]


def test_without_an_embedding_initial_weights_are_those_of_the_flow_alone():
    torch.manual_seed(3)
    made = registry.load("estimator", "maf")(SPECS["maf"](), 3, X_DIM, REAL)
    torch.manual_seed(3)
    alone = nn.ModuleList(ConditionedAffine(3, 50, X_DIM, 2) for _ in range(3))
    for one, other in zip(made.parameters(), alone.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("kind", [kind for kind in BOUNDED if kind in SPECS])
@pytest.mark.parametrize("name", ["mlp", "mlp_silu", "cnn1d", "cnn1d_shared_per_channel"])
@NORMS
@pytest.mark.parametrize("squash", [False, True], ids=["plain", "squash"])
def test_no_point_escapes_the_bounds_of_a_log_density(kind, name, norm, squash):
    estimator = embedded_estimator(kind, name, squash=squash, support=POSITIVE)
    estimator.requires_grad_(False)
    bounded = registry.load("estimator_bounds", kind)
    x, ball = seeded_x(2, X_DIM, None), seeded_ball(norm, None, X_DIM, scale=0.2)
    theta = estimator(x).draw(1, generator("theta"))[0]

    def log_density(t):
        return estimator(t).log_prob(theta.repeat(len(t) // 2, 1))

    points = candidates(log_density, ball, x, 3_000)
    values = log_density(points.flatten(0, 1)).view(-1, 2)
    assert_inside(bounded(estimator, theta, x, ball), values)
    exact = bounded(estimator, theta, x, ball.scaled(0.0))
    for end in (exact.lower, exact.upper):
        torch.testing.assert_close(end, estimator(x).log_prob(theta), atol=1e-11, rtol=1e-11)
    if kind not in GRAPHED:
        return
    graph = registry.load("log_density_graph", kind)
    region = standardized_ball(estimator, x, ball)
    for tightening in (False, True):
        for sign in (1.0, -1.0):
            node = graph(estimator, theta, Input(region, tightening))
            form = lower_form(node, torch.full((2,), sign, dtype=torch.float64))
            line = form.offset + (form.coefficients * estimator.standardize(points)).sum(-1)
            assert (line <= sign * values + 1e-9 * (1 + values.abs())).all()
            node = graph(estimator, theta, Input(region, tightening))
            assert node.interval.contains(values, 1e-9 * (1 + values.abs())).all()


@pytest.mark.parametrize("kind", [kind for kind in BOUNDED if kind in SPECS])
@EACH
def test_bounds_train_the_embedding(kind, name):
    estimator = embedded_estimator(kind, name).float()
    x, ball = torch.randn(4, X_DIM), seeded_ball("linf", None, X_DIM).to(torch.zeros(1))
    theta = estimator(x).draw(1, generator("theta"))[0]
    registry.load("estimator_bounds", kind)(estimator, theta, x, ball).lower.sum().backward()
    for parameter in estimator.embedding.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().max() > 0


@pytest.mark.parametrize("kind", GRAPHED)
def test_many_draws_share_the_bounds_of_the_embedding(kind):
    """Bounds of draws together are those of every draw alone."""
    estimator = embedded_estimator(kind, "mlp").requires_grad_(False)
    x, ball = seeded_x(3, X_DIM, None), seeded_ball("linf", None, X_DIM)
    theta = estimator(x).draw(4, generator("theta"))
    graph, region = registry.load("log_density_graph", kind), standardized_ball(estimator, x, ball)
    together = lower_form(graph(estimator, theta, Input(region, True)), torch.ones(4, 3).double())
    for draw in range(4):
        alone = graph(estimator, theta[draw], Input(region, True))
        form = lower_form(alone, torch.ones(3).double())
        torch.testing.assert_close(together.minimum()[draw], form.minimum())


def test_an_embedding_that_does_not_fit_is_an_error_that_names_the_key():
    cases = (
        (
            {"channels": 5},
            "embedding.channels: got 5; allowed: a divisor of 12, the features of x",
        ),
        (
            {"channels": 2, "pool": 3, "filters": (2, 2)},
            "embedding.pool: got 3 in 2 layers of filters, which leaves nothing of a channel of "
            "length 6; allowed: pool ** layers <= 6",
        ),
    )
    for fields, message in cases:
        with pytest.raises(ValueError, match=re.escape(message)):
            estimator_of("gaussian", x_dim=X_DIM, embedding=CNN1dEmbedding(**fields))
    with pytest.raises(ValueError, match="kernel: got 4; allowed: odd"):
        CNN1dEmbedding(kernel=4)
    assert CNN1dEmbedding(channels=3).pooled_length(2400) == 29


def test_the_sizes_of_the_published_study_fit_three_traces():
    spec = CNN1dEmbedding(channels=3, channel_features=100, hidden=(200, 100), features=100)
    network = registry.load("embedding", "cnn1d")(spec, 2400)
    assert network(torch.randn(2, 2400)).shape == (2, 100)
