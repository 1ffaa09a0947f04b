"""Every way of inferring weights against what it should give on Bayesian linear regression."""

from __future__ import annotations

import pytest
import torch
from conjugate import (
    DELTA,
    EXAMPLES,
    FEATURES,
    PRIOR,
    PRIOR_STD,
    TYPE,
    batch,
    cosine,
    data,
    data_of_unit_residuals,
    linear,
    posterior_mean,
    precision,
    step,
)
from torch import Tensor

from certibayes.bnn.base import WeightInference
from certibayes.config.inference import (
    BBBInference,
    EnsembleInference,
    HMCInference,
    MAPInference,
    MCDropoutInference,
    NoisyAdamInference,
    SWAGInference,
    VOGNInference,
)
from certibayes.seeding import generator

ALL = torch.arange(EXAMPLES)


def gradient_at(inference: WeightInference, weights: list[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Return N times the gradient of the loss at given values of what is trained, stacked."""
    trained = [p for p in inference.parameters() if p.requires_grad]
    with torch.no_grad():
        for parameter, value in zip(trained, weights, strict=True):
            parameter.copy_(value.view_as(parameter))
    loss = inference.loss(batch(x, y, ALL), EXAMPLES, generator("loss"))
    gradients = torch.autograd.grad(loss, trained)
    return EXAMPLES * torch.stack([g.flatten() for g in gradients])


@pytest.mark.parametrize("power", [1.0, 4.0])
def test_map_is_the_posterior_mean(power: float) -> None:
    """The loss is convex: its maximum a posteriori is where the gradient is zero."""
    x, y = data()
    tempered = power * x.T @ x + DELTA * torch.eye(FEATURES, dtype=TYPE)
    mean = torch.linalg.solve(tempered, power * x.T @ y)
    spec = MAPInference(likelihood_power=power, **PRIOR)
    assert gradient_at(linear(spec, mean), [mean], x, y).abs().max() < 1e-10


def test_members_of_an_ensemble_end_at_the_posterior_mean_of_their_own_data() -> None:
    x, y = data()
    spec = EnsembleInference(perturbation="targets", stored_samples=4, **PRIOR)
    inference = linear(spec, torch.zeros(FEATURES, dtype=TYPE))
    optima = members_of(inference, x, y)
    gradient = gradient_at(inference, list(optima), x, y)
    assert gradient.shape == (4, FEATURES)
    assert gradient.abs().max() < 1e-10


def members_of(inference: WeightInference, x: Tensor, y: Tensor) -> Tensor:
    """Return where the members end by their own anchors and noise, shape (members, FEATURES)."""
    noise = torch.stack(inference.perturbation(y, EXAMPLES, seed=3))
    anchors = torch.stack([anchor[0].flatten() for anchor in inference.anchors])
    return torch.linalg.solve(precision(x), x.T @ (y + noise).T + DELTA * anchors.T).T


def test_an_anchored_ensemble_with_perturbed_targets_is_a_sample_of_the_posterior() -> None:
    """Members are exactly normal: mean within 4 standard errors, covariance within 12 %."""
    x, y = data()
    spec = EnsembleInference(perturbation="targets", stored_samples=2000, **PRIOR)
    members = members_of(linear(spec, torch.zeros(FEATURES, dtype=TYPE)), x, y)
    assert_moments(members, posterior_mean(x, y), precision(x).inverse(), 4 / 2000**0.5, 0.12)


def assert_moments(
    draws: Tensor, mean: Tensor, covariance: Tensor, shift: float, share: float
) -> None:
    """Compare moments in units of the standard deviations, draws of shape (n, FEATURES)."""
    std = covariance.diagonal().sqrt()
    assert ((draws.mean(0) - mean).abs() / std).max() < shift
    assert ((draws.T.cov() - covariance).abs() / std / std.unsqueeze(1)).max() < share


def test_dropout_is_ridge_regression_with_a_penalty_that_depends_on_the_data() -> None:
    """The mean gradient over 1,500 masks is zero at the closed form, within 0.15 posterior std.

    E_z |y - X (z / (1 - p) * m)|^2 = |y - X m|^2 + p / (1 - p) sum_j m_j^2 |X_j|^2, and the prior's
    share is delta |m|^2 / (1 - p).
    """
    x, y = data()
    rate = 0.3
    spec = MCDropoutInference(rate=rate, drop_first=True, train_samples=1500, **PRIOR)
    curvature = x.T @ x + rate / (1 - rate) * torch.diag((x**2).sum(0))
    curvature = curvature + DELTA / (1 - rate) * torch.eye(FEATURES, dtype=TYPE)
    mean = torch.linalg.solve(curvature, x.T @ y)
    inference = linear(spec, mean)
    offset = torch.linalg.solve(curvature, gradient_at(inference, [mean], x, y)[0])
    std = curvature.inverse().diagonal().sqrt()
    assert (offset.abs() / std).max() < 0.15
    plain = torch.linalg.solve(curvature, gradient_at(inference, [posterior_mean(x, y)], x, y)[0])
    assert (plain.abs() / std).max() > 0.3
    draws = inference.sample(4000, generator("draws"))["weight"]
    assert abs(float((draws == 0).double().mean()) - rate) < 0.03


def descend(inference: WeightInference, x: Tensor, y: Tensor, steps: int) -> None:
    trained = [p for p in inference.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=0.03)
    for number in range(steps):
        optimizer.param_groups[0]["lr"] = cosine(number, steps, 0.03)
        loss = inference.loss(batch(x, y, ALL), EXAMPLES, generator("step", number))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.slow
def test_bbb_has_the_posterior_mean_and_the_diagonal_of_its_precision() -> None:
    """Mean within 0.15 std, std within 8 %."""
    x, y = data()
    mean, std = posterior_mean(x, y), precision(x).diagonal() ** -0.5
    inference = linear(BBBInference(initial_std=0.1, train_samples=4, **PRIOR), mean + std)
    descend(inference, x, y, 800)
    draws = inference.sample(50_000, generator("draws"))["weight"].squeeze(1)
    assert ((draws.mean(0) - mean).abs() / std).max() < 0.15
    assert (draws.std(0) / std - 1).abs().max() < 0.08


def averaged(
    inference: WeightInference, x: Tensor, y: Tensor, size: int, steps: int
) -> tuple[Tensor, Tensor]:
    """Return the last mean, and the precision averaged over the second half of the steps."""
    total, epoch = torch.zeros(FEATURES, dtype=TYPE), torch.empty(0, dtype=torch.int64)
    for number in range(steps):
        if len(epoch) < size:
            epoch = torch.randperm(EXAMPLES, generator=generator("order", number))
        numbers, epoch = epoch[:size], epoch[size:]
        inference.update([batch(x, y, numbers)], step(number, steps, 1.0, cosine(number, steps)))
        if number >= steps // 2:
            total += inference.precision[0].detach().flatten()
    return inference.mean[0].detach().flatten(), total / (steps - steps // 2)


@pytest.mark.slow
@pytest.mark.parametrize("size", [EXAMPLES, 4])
@pytest.mark.parametrize("curvature", ["sampled", "signs", "per_example", "reparametrized"])
def test_vogn_has_the_posterior_mean_and_the_diagonal_of_its_precision(
    curvature: str, size: int
) -> None:
    """Mean within 0.25 std, precision within 20 %, at any batch size.

    Squared gradients at the data's targets stand in for the Gauss-Newton matrix where residuals
    have unit variance: the data are such. At drawn targets they do on any data, and the
    reparametrized curvature is exact.
    """
    ordinary = curvature in ("sampled", "reparametrized")
    x, y = data() if ordinary else data_of_unit_residuals()
    mean, std = posterior_mean(x, y), precision(x).diagonal() ** -0.5
    spec = VOGNInference(
        curvature=curvature, initial_std=0.3, mean_rate=0.05, precision_rate=5e-3, **PRIOR
    )
    found, at = averaged(linear(spec, mean + std), x, y, size, 1500)
    assert ((found - mean).abs() / std).max() < 0.25
    assert (at * std**2 - 1).abs().max() < 0.2


@pytest.mark.slow
def test_a_short_training_by_vogn_as_it_comes_forgets_where_its_precision_started() -> None:
    """15 epochs of 19 steps from 100 times the precision: within 50 %, mean within std / 2.

    Minibatches of 5 of 20 examples, ordinary data, every setting but the prior left at its default.
    """
    x, y = data()
    mean, std = posterior_mean(x, y), precision(x).diagonal() ** -0.5
    inference = linear(VOGNInference(**PRIOR), mean + std)
    assert (inference.precision[0].flatten() > 50 * std**-2).all()
    found, at = averaged(inference, x, y, 5, 285)
    assert (at * std**2 - 1).abs().max() < 0.5
    assert ((found - mean).abs() / std).max() < 0.5
    assert inference.diagnostics()["precision_memory"] < 1e-6


def noisy_adam_precision(x: Tensor, y: Tensor) -> Tensor:
    """Return the fixed point of batch size 1: delta + sum_i x_i^2 (r_i^2 + x_i^2 . sigma^2)."""
    residuals = (y - x @ posterior_mean(x, y)) ** 2
    found = precision(x).diagonal()
    for _ in range(200):
        found = DELTA + (x**2).T @ (residuals + (x**2) @ (1 / found))
    return found


@pytest.mark.slow
def test_noisy_adam_at_batch_size_one_has_the_posterior_mean_and_its_own_variances() -> None:
    """Mean within 0.3 std, precision within 15 % of its fixed point, not of the exact one."""
    x, y = data()
    mean, expected = posterior_mean(x, y), noisy_adam_precision(x, y)
    spec = NoisyAdamInference(initial_std=0.3, mean_rate=0.008, precision_rate=5e-3, **PRIOR)
    found, at = averaged(linear(spec, mean + expected**-0.5), x, y, 1, 3000)
    assert ((found - mean).abs() * expected.sqrt()).max() < 0.3
    assert (at / expected - 1).abs().max() < 0.15
    assert (expected / precision(x).diagonal() - 1).abs().max() > 0.2


def stationary(x: Tensor, y: Tensor, rate: float, size: int) -> Tensor:
    """Return the covariance of SGD's iterates at a constant rate, batches drawn with replacement.

    S = S - rate (H S + S H) + rate^2 (E[A S A] + C): H is the loss's Hessian, A a batch's, C the
    covariance of a batch's gradient at the optimum.
    """
    eye = torch.eye(FEATURES, dtype=TYPE)
    hessians = x.unsqueeze(2) * x.unsqueeze(1) + DELTA / EXAMPLES * eye
    mean = hessians.mean(0)
    optimum = posterior_mean(x, y)
    gradients = (x @ optimum - y).unsqueeze(1) * x + DELTA / EXAMPLES * optimum
    noise = gradients.T @ gradients / EXAMPLES / size
    square = torch.stack([torch.kron(h, h) for h in hessians]).mean(0)
    both = torch.kron(mean, mean)
    quadratic = both + (square - both) / size
    linear_part = torch.kron(mean, eye) + torch.kron(eye, mean)
    solved = torch.linalg.solve(rate * linear_part - rate**2 * quadratic, rate**2 * noise.flatten())
    return solved.view(FEATURES, FEATURES)


@pytest.mark.slow
def test_swag_has_the_stationary_covariance_of_sgd() -> None:
    """Mean within 0.2 std of the iterates, low-rank covariance within 25 %."""
    x, y = data()
    rate, size, steps = 0.4, 4, 6000
    expected = stationary(x, y, rate, size)
    spec = SWAGInference(
        start=1 / steps, collection_rate=rate, iterates=1500, rank=1500, stored_samples=32, **PRIOR
    )
    inference = linear(spec, posterior_mean(x, y))
    for number in range(steps):
        numbers = torch.randint(EXAMPLES, (size,), generator=generator("batch", number))
        inference.update([batch(x, y, numbers)], step(number, steps, 1.0))
        inference.after_step(step(number, steps, 1.0))
    draws = inference.sample(4000, generator("draws"))["weight"].squeeze(1)
    diagonal = torch.diag(expected.diagonal())
    assert inference.diagnostics()["iterates"] == 1500
    assert_moments(draws, posterior_mean(x, y), (diagonal + expected) / 2, 0.2, 0.25)


@pytest.mark.slow
def test_hmc_has_the_mean_and_the_covariance_of_the_posterior() -> None:
    """600 draws: mean within 0.2 std, covariance within 25 %, R-hat below 1.05."""
    x, y = data()
    spec = HMCInference(
        chains=2, leapfrog_steps=8, warmup=0.25, stored_samples=600, initial_std=1.0, **PRIOR
    )
    inference = linear(spec, torch.zeros(FEATURES, dtype=TYPE))
    blocks = [batch(x, y, numbers) for numbers in ALL.split(8)]
    total = 400
    for number in range(total):
        inference.update(blocks, step(number, total, 1.0))
    found = inference.diagnostics()
    assert 0.6 < found["acceptance"] < 0.95
    assert found["divergences"] == 0
    assert found["r_hat_max"] < 1.05
    draws = inference.sample(600, generator("draws"))["weight"].squeeze(1)
    assert_moments(draws, posterior_mean(x, y), precision(x).inverse(), 0.2, 0.25)
    assert float(draws.std(0).max()) < PRIOR_STD
