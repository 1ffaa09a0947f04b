"""What the ways of inferring weights are made of."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Normal

from certibayes.bnn.base import Batch, Step
from certibayes.bnn.chain_record import ChainRecord
from certibayes.bnn.drawn_labels import drawn_labels
from certibayes.bnn.dual_averaging import DualAveraging
from certibayes.bnn.ensemble import Ensemble
from certibayes.bnn.mc_dropout import MCDropout
from certibayes.bnn.potential import Potential
from certibayes.bnn.prior import GaussianPrior
from certibayes.bnn.split_r_hat import LARGEST, SplitRHat
from certibayes.bnn.squared_gradients import from_every_example, from_random_signs
from certibayes.bnn.swag import SWAG
from certibayes.bnn.trajectory import Move, trajectory
from certibayes.bnn.vogn import VOGN
from certibayes.config.inference import (
    EnsembleInference,
    HMCInference,
    MCDropoutInference,
    SWAGInference,
    VOGNInference,
)
from certibayes.config.models import Model, Training
from certibayes.seeding import generator


def objective_of(weight: Tensor) -> Tensor:
    x = torch.randn(5, 3, generator=generator("x"), dtype=torch.float64)
    return (x @ weight).sin()


def test_squared_gradients_are_those_of_every_example() -> None:
    weight = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64, requires_grad=True)
    objective = objective_of(weight)
    each = [torch.autograd.grad(one, weight, retain_graph=True)[0] for one in objective]
    expected = torch.stack(each).square().mean(0)
    (found,) = from_every_example(objective, [weight])
    assert torch.allclose(found, expected)


def test_random_signs_are_unbiased() -> None:
    """Mean of 400 estimates, within 4 standard errors."""
    weight = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64, requires_grad=True)
    objective = objective_of(weight)
    (expected,) = from_every_example(objective, [weight])
    source = generator("signs")
    found = torch.stack([from_random_signs(objective, [weight], source)[0] for _ in range(400)])
    error = found.std(0) / 20
    assert ((found.mean(0) - expected).abs() < 4 * error).all()


def test_the_step_size_meets_the_target() -> None:
    state = torch.zeros(4, dtype=torch.float64)
    adapted = DualAveraging(state, initial=0.01, target=0.8)
    adapted.start()
    for _ in range(500):
        adapted.observe(math.exp(-adapted.exploring))
    assert math.exp(-adapted.adapted) == pytest.approx(0.8, abs=0.02)


def test_split_r_hat_is_that_of_the_stored_draws() -> None:
    draws = torch.randn(40, 3, 2, generator=generator("draws"), dtype=torch.float64)
    draws[:, 1] += 1.0
    mean, squares = torch.zeros(2, 3, 2).double(), torch.zeros(2, 3, 2).double()
    moments = SplitRHat(mean, squares)
    for number, values in enumerate(draws):
        moments.add(number // 20, number % 20, values)
    halves = draws.unflatten(0, (2, 20)).transpose(0, 1).flatten(1, 2)
    within, between = halves.var(0).mean(0), halves.mean(0).var(0)
    expected = ((19 / 20 * within + between) / within).sqrt()
    assert torch.allclose(moments.value(20), expected)
    assert (expected > 1.1).all()


@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_chains_that_never_move_have_the_largest_r_hat(apart: float) -> None:
    record = ChainRecord([torch.zeros(2)], chains=2, kept=4)
    moves = [Move([torch.full((2,), c * apart)], 0.5, 0.0, diverged=True) for c in range(2)]
    for number in range(8):
        record.count(moves, afresh=False)
        record.keep(moves, number, 8)
    found = record.diagnostics()
    assert found["acceptance"] == 0.0
    assert found["r_hat_max"] == found["r_hat_median"] == found["r_hat_potential"] == LARGEST


def gaussian_potential() -> Potential:
    return Potential(lambda weights: weights[0], GaussianPrior(0.5, False), [lambda w: -(w**2)], 2)


def test_the_potential_sums_all_examples_and_the_prior() -> None:
    weight = torch.tensor([0.5, -1.0])
    energy, (gradient,) = gaussian_potential()([weight])
    assert energy == pytest.approx(2 * 1.25 + 1.25 / (2 * 0.25))
    assert torch.allclose(gradient, 4 * weight + weight / 0.25)


def test_the_potential_of_many_weights_is_that_of_float64() -> None:
    weight = torch.randn(50_000, generator=generator("many"))
    none = Potential(lambda w: w[0], GaussianPrior(0.5, False), [lambda w: 0 * w], 1)
    energy, (gradient,) = none([weight])
    assert energy == pytest.approx(2 * float((weight.double() ** 2).sum()), rel=1e-12)
    assert gradient.dtype == torch.float32


class Scripted:
    """A potential without gradient whose values are given, in the order of the calls."""

    prior = GaussianPrior(1.0, False)

    def __init__(self, *energies: float) -> None:
        self.left = list(energies)

    def __call__(self, weights: list[Tensor]) -> tuple[float, list[Tensor]]:
        return self.left.pop(0), [torch.zeros_like(weights[0])]


def test_a_trajectory_diverges_in_both_directions_or_in_none() -> None:
    """Forwards the energy never rises by 1,000 above its start, backwards it does."""
    weight, energies = torch.zeros(2), (0.0, 600.0, -600.0)
    there = trajectory(Scripted(*energies), [weight], 0.1, 2, generator("a"))
    back = trajectory(Scripted(*reversed(energies)), [weight], 0.1, 2, generator("a"))
    assert there.diverged
    assert back.diverged
    assert not trajectory(Scripted(0.0, 600.0, 1.0), [weight], 0.1, 2, generator("a")).diverged


def test_errors_of_a_trajectory_shrink_with_the_square_of_the_step() -> None:
    weight = torch.tensor([0.5, -1.0], dtype=torch.float64)
    losses = []
    for steps in (4, 8, 16):
        move = trajectory(gaussian_potential(), [weight], 1.0 / steps, steps, generator("a"))
        losses.append(1 - move.acceptance)
    assert all(0 < b < 0.4 * a for a, b in pairwise(losses)) or losses[0] == 0.0
    wild = trajectory(gaussian_potential(), [weight], 50.0, 20, generator("a"))
    assert wild.diverged
    assert torch.equal(wild.weights[0], weight)


def test_swag_is_the_gaussian_of_its_iterates() -> None:
    """4,000 draws: mean within 0.1 std, covariance within 0.1 of the product of stds."""
    iterates = torch.randn(6, 2, 3, generator=generator("iterates"))
    for covariance in ("diagonal", "low_rank"):
        spec = SWAGInference(covariance=covariance, rank=6, iterates=6, start=1e-6)
        inference = SWAG(nn.Linear(3, 2, bias=False), spec)
        running = []
        for number, weight in enumerate(iterates):
            with torch.no_grad():
                inference.weights[0].copy_(weight)
            inference.after_step(Step(number, 6, 1, 1.0, 1.0, 1.0, generator("a")))
            running.append((weight - iterates[: number + 1].mean(0)).flatten())
        draws = inference.sample(4000, generator("b"))["weight"].flatten(1)
        variances = iterates.var(0).flatten()
        columns = torch.stack(running)
        expected = torch.diag(variances)
        if covariance == "low_rank":
            expected = (expected + columns.T @ columns / 5) / 2
        std = variances.sqrt()
        assert ((draws.mean(0) - iterates.mean(0).flatten()).abs() / std).max() < 0.1
        assert ((draws.T.cov() - expected).abs() / std / std.unsqueeze(1)).max() < 0.1


def test_dropout_leaves_the_first_layer_and_biases_alone() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Conv2d(4, 3, 2))
    samples = MCDropout(network, MCDropoutInference(rate=0.5)).sample(50, generator("a"))
    second = samples["2.weight"]
    dropped = (second == 0).flatten(3).all(-1)
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert 0.3 < dropped.float().mean() < 0.7
    assert torch.equal(samples["0.weight"][0], network[0].weight)
    assert torch.equal(samples["2.bias"][7], network[2].bias)


def test_dropout_that_drops_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"inference\.drop_first: got False.*allowed: true"):
        MCDropout(nn.Linear(4, 3), MCDropoutInference())


def test_one_iterate_is_no_gaussian() -> None:
    inference = SWAG(nn.Linear(3, 2), SWAGInference(start=0.75))
    with pytest.raises(ValueError, match=r"got 4 steps altogether, 1 behind.*at least 2"):
        inference.update([], Step(0, 4, 1, 1.0, 1.0, 1.0, generator("a")))


def test_precision_forgets_by_the_number_of_steps_unless_told() -> None:
    for steps in (100, 285, 100_000):
        assert (1 - VOGNInference().precision_rate_of(steps)) ** steps < 1e-4
    assert VOGNInference(precision_rate=0.2).precision_rate_of(10**6) == 0.2


def test_drawn_labels_follow_the_predictive() -> None:
    """2,000 draws, within 4 standard errors of 0.8."""
    probabilities = torch.tensor([0.2, 0.8, 0.0]).expand(2000, 3)
    drawn = drawn_labels(Categorical(probs=probabilities), generator("labels"))
    assert drawn.shape == (2000,)
    assert abs(float(drawn.double().mean()) - 0.8) < 4 * (0.16 / 2000) ** 0.5
    with pytest.raises(TypeError, match="predictive: got Normal"):
        drawn_labels(Normal(0.0, 1.0), generator("labels"))
    bad = Categorical(logits=torch.tensor([[0.0, torch.nan]]), validate_args=False)
    with pytest.raises(FloatingPointError, match="probabilities of drawn labels: got nan"):
        drawn_labels(bad, generator("labels"))


@pytest.mark.parametrize("curvature", ["sampled", "signs", "reparametrized"])
def test_a_loss_that_is_not_finite_is_named_before_labels_are_drawn(curvature) -> None:
    inference = VOGN(nn.Linear(2, 3), VOGNInference(curvature=curvature))
    batch = Batch(
        objective=lambda model, _: model(torch.full((4, 2), torch.nan)).logits.sum(-1),
        target=torch.zeros(4, dtype=torch.int64),
        numbers=torch.arange(4),
        seed=0,
        draw=lambda model, source: pytest.fail("labels were drawn"),
    )
    step = Step(3, 10, 4, 0.1, 1.0, 5.0, generator("step"))
    with pytest.raises(FloatingPointError, match="train/loss: got nan at step 3 of 10"):
        inference.update([batch], step)


def test_members_of_an_ensemble_start_apart_at_the_same_numbers() -> None:
    network = nn.Linear(20, 3)
    samples = Ensemble(network, EnsembleInference(stored_samples=3)).sample(3, generator("a"))
    weight = samples["weight"].flatten(1)
    assert torch.equal(samples["weight"][0], network.weight)
    assert not torch.equal(weight[1], weight[2])
    assert torch.equal(weight.sort(1).values[1], weight.sort(1).values[0])


def test_noise_on_labels_is_an_error_and_needs_to_know_the_examples() -> None:
    inference = Ensemble(nn.Linear(2, 2), EnsembleInference(perturbation="targets"))
    with pytest.raises(TypeError, match="per_example: got function; allowed: Batch"):
        inference.loss(lambda m: torch.zeros(2), 2, generator("a"))


NETWORK = {"network": {"kind": "mlp"}}
REFUSED = [
    ({"kind": "swag"}, {"patience": 3}, "training.patience: got 3.*'swag': null"),
    ({"kind": "hmc"}, {"epochs": 8}, "training.epochs: got 8, which leaves 4.*chains = 8"),
    ({"kind": "hmc", "stored_samples": 33}, {}, "stored_samples: got 33.*multiples of chains = 4"),
    ({"kind": "swag", "iterates": 5}, {}, "rank: got 20; allowed: at most iterates = 5"),
    ({"kind": "ensemble", "perturbation": "targets"}, {}, "got 'targets'.*none, weights"),
]


@pytest.mark.parametrize(("inference", "training", "message"), REFUSED)
def test_settings_that_do_not_fit_are_refused(inference, training, message) -> None:
    with pytest.raises(ValueError, match=message):
        Model.model_validate({**NETWORK, "inference": inference, "training": training})


def test_dropout_without_hidden_layers_is_refused_in_a_study() -> None:
    model = {"network": {"kind": "mlp", "hidden": []}, "inference": {"kind": "mc_dropout"}}
    with pytest.raises(ValueError, match=r"inference.drop_first: got False; .*hidden \[\]: true"):
        Model.model_validate(model)
    model["inference"]["drop_first"] = True
    assert Model.model_validate(model).form == "classification"


def test_chains_need_room_for_their_draws() -> None:
    assert HMCInference(warmup=0.5).warmup_of(Training(epochs=9).epochs) == 4
