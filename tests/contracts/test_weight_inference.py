"""Every way of inferring weights recovers the posterior of conjugate linear regression."""

from __future__ import annotations

import pytest
import torch
from inference_zoo import SPECS, classifier
from torch import Tensor, nn
from torch.distributions import Normal, constraints
from torch.func import functional_call

from certibayes import registry
from certibayes.bnn.base import WeightInference, WeightSamples
from certibayes.bnn.bbb import BBB
from certibayes.bnn.map import MAP
from certibayes.bnn.predictive import Predictive
from certibayes.config.inference import BBBInference, MAPInference
from certibayes.config.models import Gaussian
from certibayes.seeding import generator

NOISE_STD = 0.5
PRIOR_STD = 0.4
EXAMPLES = 40


class LinearRegression(nn.Module):
    """y given x ~ N(x w, NOISE_STD^2) at one weight vector."""

    def __init__(self, network: nn.Module, samples: WeightSamples) -> None:
        super().__init__()
        self.network = network
        self.weights = {name: values[0] for name, values in samples.items()}

    def forward(self, x: Tensor) -> Normal:
        mean = functional_call(self.network, self.weights, (x,)).squeeze(-1)
        return Normal(mean, NOISE_STD)


def regression_data() -> tuple[Tensor, Tensor]:
    g = generator("regression")
    x = torch.randn(EXAMPLES, 3, generator=g, dtype=torch.float64)
    x[:, 1] += 0.7 * x[:, 0]
    w = torch.tensor([0.8, -0.5, 0.3], dtype=torch.float64)
    noise = torch.randn(EXAMPLES, generator=g, dtype=torch.float64)
    return x, x @ w + NOISE_STD * noise


def optimum(inference: WeightInference, x: Tensor, y: Tensor, steps: int) -> None:
    parameters = [p for p in inference.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        loss = inference.loss(lambda m: m(x).log_prob(y), EXAMPLES, generator("step", step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def linear(spec: object, kind: str) -> WeightInference:
    torch.manual_seed(0)
    network = nn.Linear(3, 1, bias=False).double()
    return registry.load("inference", kind)(network, spec, LinearRegression)


@pytest.mark.parametrize("kl_weight", [1.0, 0.25])
def test_bbb_reaches_the_mean_field_optimum(kl_weight: float) -> None:
    x, y = regression_data()
    spec = BBBInference(
        prior_std=PRIOR_STD, prior_fan_in=False, kl_weight=kl_weight, train_samples=6
    )
    inference = linear(spec, "bbb")
    optimum(inference, x, y, 800)
    likelihood = x.T @ x / NOISE_STD**2 / kl_weight
    precision = likelihood + torch.eye(3, dtype=torch.float64) / PRIOR_STD**2
    mean = torch.linalg.solve(precision, x.T @ y / NOISE_STD**2 / kl_weight)
    draws = inference.sample(100_000, generator("draws"))["weight"].squeeze(1)
    std = precision.diagonal() ** -0.5
    assert torch.allclose(draws.mean(0), mean, atol=0.1 * float(std.min()))
    assert torch.allclose(draws.std(0), std, rtol=0.05)


def test_map_reaches_least_squares() -> None:
    x, y = regression_data()
    inference = linear(MAPInference(), "map")
    optimum(inference, x, y, 1500)
    expected = torch.linalg.lstsq(x, y.unsqueeze(1)).solution.squeeze(1)
    assert torch.allclose(inference.sample(1, generator(0))["weight"][0, 0], expected, atol=1e-5)


def test_kl_is_that_of_torch_with_prior_std_scaled_by_fan_in() -> None:
    torch.manual_seed(0)
    inference = BBB(nn.Linear(4, 2), BBBInference(prior_std=0.6, initial_std=0.1))
    expected = torch.zeros(())
    for mean, prior in zip(inference.mean, (0.6 / 2, 0.6), strict=True):
        q = Normal(mean, torch.full_like(mean, 0.1))
        p = Normal(torch.zeros_like(mean), torch.full_like(mean, prior))
        expected = expected + torch.distributions.kl_divergence(q, p).sum()
    assert torch.allclose(inference.kl(), expected, rtol=1e-5)


def test_every_way_of_inferring_weights_is_tested() -> None:
    assert set(SPECS) == set(registry.names("inference"))


@pytest.mark.parametrize("kind", registry.names("inference"))
def test_samples_have_the_parameters_shapes_and_follow_the_generator(kind: str) -> None:
    inference = classifier(kind)
    samples = inference.sample(3, generator("a"))
    again = inference.sample(3, generator("a"))
    assert {name: v.shape for name, v in samples.items()} == {
        "0.weight": (3, 8, 4),
        "0.bias": (3, 8),
        "2.weight": (3, 3, 8),
        "2.bias": (3, 3),
    }
    for name, values in samples.items():
        assert torch.equal(values, again[name])
        assert not values.requires_grad


@pytest.mark.parametrize("kind", registry.names("inference"))
def test_state_dict_is_a_checkpoint(kind: str) -> None:
    inference, other = classifier(kind), classifier(kind)
    with torch.no_grad():
        for parameter in inference.parameters():
            parameter.add_(0.1)
    other.load_state_dict(inference.state_dict())
    for name, values in inference.sample(2, generator("a")).items():
        assert torch.equal(values, other.sample(2, generator("a"))[name])


@pytest.mark.parametrize("kind", registry.names("inference"))
def test_a_trained_model_is_its_lasting_state(kind: str) -> None:
    inference, other = classifier(kind), classifier(kind)
    with torch.no_grad():
        for parameter in inference.parameters():
            parameter.add_(0.1)
    other.load_lasting_state(inference.lasting_state())
    for name, values in other.lasting_state().items():
        assert torch.equal(values, inference.state_dict()[name])
    trained = {name for name, p in inference.named_parameters() if p.requires_grad}
    assert trained <= set(inference.lasting_state())
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_lasting_state({})


def test_chains_last_without_what_r_hat_needs() -> None:
    inference = classifier("hmc")
    weights = sum(p.numel() for p in inference.network.parameters())
    size = sum(values.numel() for values in inference.lasting_state().values())
    assert size == (1 + inference.spec.chains) * weights


@pytest.mark.parametrize("kind", registry.names("inference"))
def test_batch_normalization_keeps_its_statistics_in_training(kind: str) -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    inference = registry.load("inference", kind)(network, SPECS[kind]).train()
    x, y = torch.randn(6, 4, generator=generator("x")), torch.tensor([0, 1, 2, 0, 1, 2])
    inference.loss(lambda m: m(x).log_prob(y), 6, generator("b")).backward()
    assert torch.equal(network[1].running_mean, torch.zeros(8))
    model = inference.model(inference.sample(2, generator("a"))).train()
    assert torch.allclose(model(x).probs[:2], model(x[:2]).probs, atol=1e-6)


def test_batch_normalization_without_statistics_is_named() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False))
    samples = {name: p.detach().unsqueeze(0) for name, p in network.named_parameters()}
    with pytest.raises(ValueError, match=r"network\.1\.track_running_stats: got False"):
        Predictive(network, samples)


@pytest.mark.parametrize("kind", registry.names("inference"))
def test_every_trained_parameter_gets_a_gradient_and_the_model_is_independent(kind: str) -> None:
    inference = classifier(kind)
    x, y = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    model = inference.model(inference.sample(inference.stored_samples, generator("a")))
    before = model(x).probs
    loss = inference.loss(lambda m: m(x).log_prob(y), 6, generator("b"))
    loss.backward()
    trained = [p for p in inference.parameters() if p.requires_grad]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in trained)
    with torch.no_grad():
        for parameter in trained:
            parameter.sub_(0.1)
    assert torch.equal(model(x).probs, before)


@pytest.mark.parametrize("kind", registry.names("inference"))
def test_reset_starts_at_the_current_weights_of_the_module(kind: str) -> None:
    torch.manual_seed(0)
    network = nn.Linear(4, 3)
    spec = SPECS[kind]
    if "initial_std" in type(spec).model_fields:
        spec = spec.model_copy(update={"initial_std": 1e-6})
    if kind == "mc_dropout":
        spec = spec.model_copy(update={"rate": 1e-9, "drop_first": True})
    inference = registry.load("inference", kind)(network, spec)
    with torch.no_grad():
        network.weight.fill_(0.25)
        network.bias.fill_(0.5)
    inference.reset(generator("start"))
    samples = inference.sample(2, generator("a"))
    assert torch.allclose(samples["weight"], torch.tensor(0.25), atol=1e-5)
    assert torch.allclose(samples["bias"], torch.tensor(0.5), atol=1e-5)


def test_predictive_is_the_mean_of_the_samples_probabilities() -> None:
    inference = classifier("bbb")
    samples = inference.sample(4, generator("a"))
    model = inference.model(samples).double()
    x = torch.randn(5, 4, dtype=torch.float64)
    each = []
    for s in range(4):
        hidden = x @ samples["0.weight"][s].double().T + samples["0.bias"][s].double()
        logits = hidden.relu() @ samples["2.weight"][s].double().T + samples["2.bias"][s].double()
        each.append(logits.softmax(-1))
    q = model(x)
    assert torch.allclose(q.probs, torch.stack(each).mean(0), atol=1e-12)
    assert q.probs.dtype == torch.float64


def test_predictive_is_stable_far_from_the_decision_boundary() -> None:
    network = nn.Linear(1, 2, bias=False)
    model = Predictive(network, {"weight": torch.tensor([[[500.0], [-500.0]]])})
    assert torch.allclose(model(torch.ones(1, 1)).log_prob(torch.tensor([1])), torch.tensor(-1e3))


def test_predictive_state_loads_into_an_empty_one() -> None:
    inference = classifier("bbb")
    model = inference.model(inference.sample(4, generator("a")))
    other = Predictive.empty(classifier("map").module, 4)
    other.load_state_dict(model.state_dict())
    x = torch.randn(5, 4)
    assert torch.equal(model(x).logits, other(x).logits)


def test_predictive_names_wrong_weight_samples() -> None:
    network = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="weight_samples: got \\['weight'\\]; allowed: "):
        Predictive(network, {"weight": torch.zeros(1, 2, 2)})
    with pytest.raises(ValueError, match=r"weight_samples: got \[1, 2\] samples"):
        Predictive(network, {"weight": torch.zeros(1, 2, 2), "bias": torch.zeros(2, 2)})


def test_map_of_a_module_that_is_an_estimator_hands_it_over_itself() -> None:
    module = registry.load("estimator", "gaussian")(
        Gaussian(hidden=(8,)), 2, 3, constraints.real_vector
    )
    inference = MAP(module, MAPInference())
    seen: list[nn.Module] = []

    def per_example(model: nn.Module) -> Tensor:
        seen.append(model)
        return model(torch.zeros(4, 3)).log_prob(torch.zeros(4, 2))

    inference.loss(per_example, 4, generator("a")).backward()
    assert seen == [module]
    copy = inference.model(inference.sample(1, generator("a")))
    x, theta = torch.randn(4, 3), torch.randn(4, 2)
    assert torch.equal(copy(x).log_prob(theta), module(x).log_prob(theta))
