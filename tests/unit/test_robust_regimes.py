"""Training regimes of classifiers: densities of the radius, attacks, ramps, warm-up, presets."""

import math

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from scipy.integrate import simpson
from torch import nn

from certibayes import registry
from certibayes.bnn.predictive import Predictive
from certibayes.bounds import BallAround, interval_bounds
from certibayes.config.defenses import AnyDefense, RobustLikelihood
from certibayes.config.inference import BBBInference, MAPInference
from certibayes.config.networks import CNN, MLP, AnyNetwork, Convolution, Pool
from certibayes.config.threat import BoundedPerturbationAt
from certibayes.defenses.epsilon_density import radii
from certibayes.defenses.warmup import warmup_penalty
from certibayes.defenses.worst_case import ramp
from certibayes.defenses.worst_case_interval import interval_lower
from certibayes.seeding import generator
from certibayes.threat import Ball, Scale

X_DIM, CLASSES, EPSILON = 16, 3, 0.08
SPREAD = ("exponential", "rayleigh")
NETWORKS = {
    "mlp": MLP(hidden=(12,)),
    "cnn": CNN(layers=(Convolution(filters=3, padding=1), Pool(pool=2)), hidden=(6,)),
}


def model_of(kind="mlp", samples=1):
    torch.manual_seed(0)
    network = registry.load("network", kind)(NETWORKS[kind], X_DIM, CLASSES).double()
    spec = MAPInference() if samples == 1 else BBBInference(initial_std=0.1)
    inference = registry.load("inference", spec.kind)(network, spec)
    drawn = inference.sample(samples, generator("weights"))
    return inference.model({name: values.double() for name, values in drawn.items()})


def labelled(n=4):
    x = torch.rand(n, X_DIM, generator=generator("x"), dtype=torch.float64)
    return torch.arange(n) % CLASSES, x


def spec_of(**changes):
    at = BoundedPerturbationAt(norm="linf", unit="raw", epsilon=EPSILON)
    return RobustLikelihood(perturbation=at, **({"ramp_fraction": 0.0} | changes))


def objective(model, progress=1.0, **changes):
    scale = Scale(torch.ones(X_DIM, dtype=torch.float64), 1.0)
    defense = registry.load("defense", "robust_likelihood")(spec_of(**changes), scale, (0.0, 1.0))
    return defense.objective(model, *labelled(), progress, generator("draws"))


def ball_of(epsilon=EPSILON):
    return Ball("linf", torch.full((X_DIM,), epsilon, dtype=torch.float64), (0.0, 1.0))


def by_quadrature(model, density):
    """Integrate exp(W) and W, the worst case at radius r epsilon, over r by Simpson's rule."""
    y, x = labelled()
    r = np.linspace(0.0, 12.0 if density == "exponential" else 5.0, 61)
    worst = np.stack([interval_lower(model, y, x, ball_of(EPSILON * s)).numpy() for s in r])
    weight = (np.exp(-r) if density == "exponential" else r * np.exp(-(r**2) / 2))[:, None]
    return tuple(
        torch.from_numpy(simpson(weight * values, x=r, axis=0)) for values in (np.exp(worst), worst)
    )


@torch.no_grad()
@pytest.mark.parametrize("density", SPREAD)
def test_densities_equal_quadrature_inside_and_outside_the_log(density):
    model = model_of()
    y, x = labelled()
    clean = model(x).log_prob(y)
    probability, log = by_quadrature(model, density)
    wanted = {
        "inside": (0.25 * clean.exp() + 0.75 * probability).log(),
        "outside": 0.25 * clean + 0.75 * log,
    }
    settings = {"epsilon_density": density, "epsilon_draws": 80, "clean_weight": 0.25}
    for mixing, expected in wanted.items():
        found = objective(model, mixing=mixing, **settings)
        torch.testing.assert_close(found, expected, atol=5e-3, rtol=0)
    assert ((wanted["inside"] - clean).abs() > 1e-2).all()


def test_two_atoms_are_a_sum_of_two_terms():
    model = model_of()
    y, x = labelled()
    clean, worst = model(x).log_prob(y), interval_lower(model, y, x, ball_of())
    found = objective(model, clean_weight=0.25, mixing="inside")
    torch.testing.assert_close(found, (0.25 * clean.exp() + 0.75 * worst.exp()).log())
    found = objective(model, clean_weight=0.25, mixing="outside")
    torch.testing.assert_close(found, 0.25 * clean + 0.75 * worst)


@pytest.mark.parametrize(
    ("density", "mean", "square", "halved"),
    [
        ("exponential", 1.0, 2.0, 0.5),
        ("rayleigh", math.sqrt(math.pi / 2), 2.0, 0.34432045758120156),
    ],
)
@pytest.mark.parametrize("draws", [1, 2, 5])
def test_averages_over_few_radii_are_unbiased(density, mean, square, halved, draws):
    """E r, E r^2 and E exp(-r), the last of Rayleigh's 1 - sqrt(pi e / 2) erfc(1 / sqrt(2))."""
    source = generator("radii")
    drawn = torch.tensor([radii(density, draws, source) for _ in range(4000)])
    for values, expected in ((drawn, mean), (drawn**2, square), ((-drawn).exp(), halved)):
        of_steps = values.mean(1)
        error = float(of_steps.std()) / math.sqrt(len(of_steps))
        assert abs(float(of_steps.mean()) - expected) < 4.5 * error
    if draws == 5:
        independent = float(drawn.std()) / math.sqrt(draws)
        assert float(drawn.mean(1).std()) < 0.8 * independent


@pytest.mark.parametrize(
    ("density", "median"), [("exponential", math.log(2)), ("rayleigh", math.sqrt(2 * math.log(2)))]
)
def test_without_a_generator_radii_are_medians_of_strata(density, median):
    assert radii(density, 1, None) == pytest.approx([median])
    four = radii(density, 4, None)
    assert four == radii(density, 4, None) == sorted(four)


@torch.no_grad()
@pytest.mark.parametrize("density", SPREAD)
def test_full_strength_is_one_objective_whatever_the_generator(density):
    """`hmc`, block by block, needs the same density in all of its steps."""
    y, x = labelled()
    scale = Scale(torch.ones(X_DIM, dtype=torch.float64), 1.0)
    defense = registry.load("defense", "robust_likelihood")(
        spec_of(epsilon_density=density), scale, (0.0, 1.0)
    )
    model = model_of()
    first, second = (defense.objective(model, y, x, 1.0, generator(name)) for name in "ab")
    assert torch.equal(first, second)
    earlier = [defense.objective(model, y, x, 0.9, generator(name)) for name in "ab"]
    assert not torch.equal(*earlier)


def test_two_atoms_draw_nothing():
    source = generator("a")
    before = source.get_state()
    assert radii("two_atom", 2, source) == [1.0]
    assert torch.equal(source.get_state(), before)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("kind", NETWORKS)
def test_bounds_lie_below_the_attack(kind, samples):
    """Interval <= CROWN-IBP <= any attack: upper bounds and a lower bound of the same loss."""
    model = model_of(kind, samples)
    only = {"clean_weight": 0.0}
    interval, linear = (objective(model, bounds=b, **only) for b in ("interval", "crown_ibp"))
    assert (linear >= interval - 1e-12).all()
    for steps in (1, 10):
        attacked = objective(model, bounds="attack", steps=steps, step_size=0.5, **only)
        assert (attacked >= linear - 1e-12).all()
    y, x = labelled()
    assert float(attacked.mean()) < float(model(x).log_prob(y).mean())


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_last_layer_is_folded_into_the_margins(kind):
    """Never looser, and tighter somewhere, than the softmax of the worst-case logits of 2021."""
    model = model_of(kind)
    y, x = labelled()
    folded = interval_lower(model, y, x, ball_of())
    network = model.network.double()
    network.load_state_dict(model.weights(0))
    logits = interval_bounds(network, BallAround(x, ball_of()))
    own = torch.nn.functional.one_hot(y, CLASSES).bool()
    unfolded = torch.where(own, logits.lower, logits.upper).log_softmax(-1)[own]
    assert (folded >= unfolded - 1e-12).all()
    assert (folded > unfolded + 1e-4).any()


def test_the_radius_stays_0_until_its_ramp_starts():
    shares = [ramp(progress, 0.6, 0.2) for progress in (0.0, 0.2, 0.3, 0.6, 1.0)]
    assert shares == pytest.approx([0.0, 0.0, 0.25, 1.0, 1.0])
    assert (ramp(0.0, 0.0), ramp(0.1, 0.4)) == (1.0, 0.25)
    model = model_of()
    y, x = labelled()
    settings = {"ramp_start": 0.2, "ramp_fraction": 0.6, "clean_weight": 0.0}
    early = objective(model, 0.1, **settings)
    assert torch.equal(early, model(x).log_prob(y))
    torch.testing.assert_close(
        objective(model, 0.3, **settings), interval_lower(model, y, x, ball_of(0.25 * EPSILON))
    )


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (-4.0, 0.5),  # radii 0.4: (0.5 - 0.1 / 0.4) / 0.5; everything balanced
        (-1.0, 0.2 + 0.5),  # mean radius 0.25; on 4, off 1; spread 2.5^2 on both sides
    ],
)
def test_the_warm_up_penalty_by_hand(second, expected):
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)).double()
    weights = {name: torch.zeros(1, *p.shape).double() for name, p in network.named_parameters()}
    weights["0.weight"] = torch.diag(torch.tensor([4.0, second])).double().unsqueeze(0)
    x = torch.ones(1, 2, dtype=torch.float64)
    ball = Ball("linf", torch.full((2,), 0.1, dtype=torch.float64))
    found = warmup_penalty(Predictive(network, weights), x, ball)
    torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float64))


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_warm_up_fades_while_the_radius_grows(kind):
    model = model_of(kind)
    x = labelled()[1]
    settings = {"ramp_fraction": 0.5}
    for progress, share in ((0.1, 0.2), (0.4, 0.8)):
        plain = objective(model, progress, **settings)
        found = objective(model, progress, warmup_weight=0.5, **settings)
        penalty = warmup_penalty(model, x, ball_of(share * EPSILON))
        assert ((penalty >= 0) & (penalty <= 3)).all()
        torch.testing.assert_close(found, plain - 0.5 * (1 - share) * penalty)
    for progress in (0.0, 0.5, 1.0):
        plain = objective(model, progress, **settings)
        assert torch.equal(objective(model, progress, warmup_weight=0.5, **settings), plain)


def test_the_warm_up_has_gradients_and_lowers_the_penalty():
    torch.manual_seed(0)
    network = registry.load("network", "cnn")(NETWORKS["cnn"], X_DIM, CLASSES).double()
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(3)
    x = labelled()[1]
    found = []
    for _ in range(15):
        weights = {name: p.unsqueeze(0) for name, p in network.named_parameters()}
        penalty = warmup_penalty(Predictive(network, weights), x, ball_of()).mean()
        found.append(float(penalty.detach()))
        gradients = torch.autograd.grad(penalty, list(network.parameters()), allow_unused=True)
        with torch.no_grad():
            for p, gradient in zip(network.parameters(), gradients, strict=True):
                if gradient is not None:
                    assert gradient.isfinite().all()
                    p.sub_(0.05 * gradient)
    assert min(found) < found[0] - 1e-3


def test_the_warm_up_of_another_model_is_refused():
    def plain(x):
        return torch.distributions.Categorical(logits=x[:, :CLASSES])

    with pytest.raises(TypeError, match="got function; allowed with warmup_weight: Predictive"):
        warmup_penalty(plain, labelled()[1], ball_of())


def test_interval_initialization_reaches_convolutions():
    torch.manual_seed(0)
    spec = CNN(layers=(Convolution(filters=64, kernel=4),), hidden=(8,), batch_norm=True)
    network = registry.load("network", "cnn")(spec, 100, CLASSES)
    scale = Scale(torch.ones(100), 1.0)
    defense = registry.load("defense", "robust_likelihood")(
        spec_of(initialization="interval"), scale, None
    )
    defense.initialize(network, generator("weights"))
    assert float(network[1].weight.detach().std()) == pytest.approx(
        math.sqrt(2 * math.pi) / 16, rel=0.1
    )
    assert float(network[1].bias.detach().abs().max()) == 0.0


def test_published_regimes_by_name():
    read = TypeAdapter(AnyDefense).validate_python
    given = {"kind": "robust_likelihood", "perturbation": {"epsilon": 0.11}}
    spec = read(given | {"preset": "wicker2021"})
    ball = spec.perturbation
    assert (ball.norm, ball.unit, ball.epsilon) == ("linf", "raw", 0.11)
    assert (spec.bounds, spec.clean_weight, spec.mixing) == ("interval", 0.25, "inside")
    assert (spec.ramp_fraction, spec.epsilon_density) == (1.0, "two_atom")
    spec = read(given | {"preset": "wicker2021_pgd"})
    assert (spec.bounds, spec.steps, spec.step_size) == ("attack", 5, 0.2)
    for density in SPREAD:
        spec = read(given | {"preset": f"wicker2021_{density}"})
        assert (spec.epsilon_density, spec.epsilon_draws, spec.clean_weight) == (density, 2, 0.0)


@pytest.mark.parametrize(
    ("preset", "changes", "x_dim", "weights"),
    [
        ("wicker2021_mlp", {}, 784, 784 * 512 + 512 + 512 * 10 + 10),
        ("mlp_512x3", {}, 784, 784 * 512 + 512 + 2 * (512**2 + 512) + 5130),
        ("wicker2021_small", {}, 3072, 784 + 8224 + 540_900 + 1010),
        ("wicker2021_medium", {}, 3072, 631_338),
        ("gowal2018_small", {}, 784, 329_606),
        ("gowal2018_small", {"channels": 3}, 3072, None),
        ("wicker2021_large", {}, 3072, None),
    ],
)
def test_published_networks_by_name(preset, changes, x_dim, weights):
    kind = "mlp" if "mlp" in preset else "cnn"
    values = {"kind": kind, "preset": preset, **changes}
    spec = TypeAdapter(AnyNetwork).validate_python(values)
    network = registry.load("network", kind)(spec, x_dim, 10)
    assert network(torch.rand(1, x_dim)).shape == (1, 10)
    if weights is not None:
        assert sum(p.numel() for p in network.parameters()) == weights


def test_seven_layers_with_normalization():
    spec = TypeAdapter(AnyNetwork).validate_python({"kind": "cnn", "preset": "cnn7"})
    assert spec.sides(784) == (28, 28, 28, 14, 14, 14)
    assert [layer.filters for layer in spec.layers] == [64, 64, 128, 128, 128]
    assert spec.batch_norm


def test_images_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"network\.channels: got 1 with 3072 features of x"):
        CNN().sides(3072)
    layers = (Convolution(filters=2, kernel=3), Pool(pool=3))
    with pytest.raises(ValueError, match=r"network\.layers\.1: got {'pool': 3.*leaves nothing of"):
        CNN(layers=layers).sides(16)
