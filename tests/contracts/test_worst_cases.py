"""Every way of bounding a robust likelihood, for every estimator and for classifiers."""

from copy import deepcopy

import pytest
import torch
from estimator_zoo import KINDS, POSITIVE, REAL, estimator_of

from certibayes import registry
from certibayes.bnn.predictive import Predictive
from certibayes.certificates.posterior_draws import PosteriorDraws
from certibayes.certificates.shared_adversary import shared_bounds
from certibayes.config.certificates import PosteriorShift
from certibayes.config.defenses import RobustLikelihood
from certibayes.config.embeddings import CNN1dEmbedding, MLPEmbedding
from certibayes.config.inference import BBBInference, MAPInference
from certibayes.config.models import MAF, MLP, Training
from certibayes.config.threat import BoundedPerturbationAt
from certibayes.defenses import worst_case_shared_adversary
from certibayes.defenses.mixing import mix
from certibayes.defenses.worst_case_crown_ibp import linear_lower
from certibayes.defenses.worst_case_interval import interval_lower
from certibayes.defenses.worst_case_shared_adversary import forward_kl_of_draws, mean_score
from certibayes.rows import Rows
from certibayes.seeding import generator
from certibayes.threat import Ball, Scale
from certibayes.training_loop import Loop

BATCH, X_DIM, THETA_DIM, CLASSES = 5, 4, 3, 3
BOUNDS = registry.names("worst_case")
ALONE = tuple(name for name in BOUNDS if name != "shared_adversary")
SIZES = {
    "gaussian": {"hidden": (8,)},
    "mixture": {"hidden": (8,), "components": 2},
    "maf": {"transforms": 2, "hidden": 8},
    "nsf": {"transforms": 2, "hidden": 8, "bins": 3},
    "ensemble": {"hidden": (8,)},
}
VARIANTS = {
    "maf squash": {"squash": True},
    "maf mlp": {"embedding": MLPEmbedding(hidden=(6,), features=3, activation="tanh")},
    "gaussian cnn1d": {
        "embedding": CNN1dEmbedding(channels=2, filters=(2,), kernel=3, pool=2, features=3)
    },
}
MODELS = (*KINDS, *VARIANTS)
NORMS = ("l2", "linf")
RADIUS = torch.tensor([1.0, 0.5, 2.0, 0.0], dtype=torch.float64)
SCALE = Scale(torch.tensor([1.0, 0.5, 2.0, 0.0], dtype=torch.float64), 1.0)


def model_of(name, support=POSITIVE):
    kind = name.split()[0]
    fields = SIZES[kind.partition("-")[0]] | VARIANTS.get(name, {})
    return estimator_of(kind, support=support, gain=0.5, **fields)


def pairs_of(model):
    x = model.x_location + torch.randn(BATCH, X_DIM, generator=generator("x")).double()
    return model(x).draw(1, generator("theta"))[0], x


def classifier_of(kind, samples=2):
    torch.manual_seed(0)
    network = registry.load("network", "mlp")(MLP(hidden=(8, 8)), X_DIM, CLASSES)
    spec = {"map": MAPInference(), "bbb": BBBInference(initial_std=0.2, train_samples=2)}[kind]
    return registry.load("inference", kind)(network, spec)


def labelled():
    x = torch.randn(BATCH, X_DIM, generator=generator("x"))
    return torch.randint(CLASSES, (BATCH,), generator=generator("y")), x


def spec_of(bounds, norm="linf", epsilon=0.1, **changes):
    at = BoundedPerturbationAt(norm=norm, unit="feature_std", epsilon=epsilon)
    if bounds == "mixed":
        changes = {"bound_weight": 0.4, "steps": 2} | changes
    fields = {"clean_weight": 0.0, "ramp_fraction": 0.0} | changes
    return RobustLikelihood(perturbation=at, bounds=bounds, **fields)


def objective(spec, model, target, x, progress=1.0, clip=None):
    trained = registry.load("defense", "robust_likelihood")(spec, SCALE, clip)
    return trained.objective(model, target, x, progress, generator("a"))


def visited(model, target, x, ball, steps=40):
    """Random points of the ball and its border, and points of descent of log q(target | x')."""
    source = generator("points")
    attacked = x.clone()
    for _ in range(steps):
        point = ball.sample(x, source)
        yield point
        yield ball.project(x, x + 20 * (point - x))
        attacked = attacked.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(model(attacked).log_prob(target).sum(), attacked)
        attacked = ball.project(x, attacked.detach() - 0.2 * ball.steepest(gradient))
        yield attacked


def test_a_study_can_name_every_way_and_no_other():
    named = RobustLikelihood.model_json_schema()["properties"]["bounds"]["enum"]
    assert set(named) == set(BOUNDS)


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("name", MODELS)
def test_radius_zero_is_the_log_likelihood_in_training_precision(name, bounds):
    model = model_of(name)
    target, x = (t.float() for t in pairs_of(model))
    model = model.float()
    for norm in NORMS:
        for mixing in ("inside", "outside"):
            spec = spec_of(bounds, norm, 0.0, mixing=mixing, clean_weight=0.3)
            found = objective(spec, model, target, x)
            assert found.shape == (BATCH,)
            wanted = model(x).log_prob(target)
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("bounds", ALONE)
@pytest.mark.parametrize("kind", ["map", "bbb"])
def test_radius_zero_is_the_log_likelihood_of_a_classifier(kind, bounds):
    inference = classifier_of(kind)
    model = inference.model(inference.sample(2, generator("weights")))
    y, x = labelled()
    for norm in NORMS:
        found = objective(spec_of(bounds, norm, 0.0), model, y, x)
        torch.testing.assert_close(found, model(x).log_prob(y), rtol=1e-4, atol=1e-5)


def test_linear_bounds_give_way_to_intervals_as_the_radius_grows():
    """Half of the ramp: half of the radius, and the mean of both bounds there."""
    inference = classifier_of("bbb")
    model = inference.model(inference.sample(2, generator("weights")))
    y, x = labelled()
    spec = spec_of("crown_ibp", final_linear_weight=0.0, ramp_fraction=0.5)
    full = Ball("linf", 0.1 * SCALE.feature_std.float())
    half = full.scaled(0.5)
    linear, interval = (f(model, y, x, half) for f in (linear_lower, interval_lower))
    assert (linear > interval + 1e-4).any()
    found = objective(spec, model, y, x, progress=0.25)
    torch.testing.assert_close(found, (linear + interval) / 2, rtol=1e-4, atol=1e-5)
    at_the_end = objective(spec, model, y, x)
    torch.testing.assert_close(at_the_end, interval_lower(model, y, x, full))
    with pytest.raises(ValueError, match=r"final_linear_weight: got 0\.5 with bounds: int"):
        spec_of("interval", final_linear_weight=0.5)


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_finite_and_reach_the_weights(name, bounds):
    model = model_of(name)
    target, x = (t.float() for t in pairs_of(model))
    model = model.float().train()
    for norm in NORMS:
        model.zero_grad()
        (-objective(spec_of(bounds, norm), model, target, x)).mean().backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert all(torch.isfinite(g).all() for g in gradients)
        assert sum(float(g.abs().sum()) for g in gradients) > 0


@pytest.mark.parametrize("bounds", ALONE)
@pytest.mark.parametrize("kind", ["map", "bbb"])
def test_gradients_of_classifiers_are_finite_and_reach_the_weights(kind, bounds):
    inference = classifier_of(kind)
    y, x = labelled()
    for norm in NORMS:
        inference.zero_grad()
        spec = spec_of(bounds, norm)
        inference.loss(lambda m, s=spec: objective(s, m, y, x), BATCH, generator("b")).backward()
        gradients = [p.grad for p in inference.parameters() if p.requires_grad]
        assert all(g is not None and torch.isfinite(g).all() for g in gradients)
        assert sum(float(g.abs().sum()) for g in gradients) > 0


@pytest.mark.parametrize("lower", [interval_lower, linear_lower])
@pytest.mark.parametrize("name", MODELS)
def test_no_point_of_the_ball_is_below_the_worst_case(name, lower):
    model = model_of(name, REAL).eval().requires_grad_(False)
    target, x = pairs_of(model)
    for norm in NORMS:
        ball = Ball(norm, 0.1 * RADIUS)
        worst = lower(model, target, x, ball)
        assert worst.isfinite().all()
        assert (worst < model(x).log_prob(target)).all()
        for point in visited(model, target, x, ball, steps=15):
            assert (model(point).log_prob(target) >= worst - 1e-9).all()


@pytest.mark.parametrize("clip", [None, (-3.0, 3.0)])
@pytest.mark.parametrize("norm", NORMS)
def test_no_point_of_the_ball_is_below_the_worst_case_of_a_classifier(norm, clip):
    inference = classifier_of("bbb")
    model = inference.model(inference.sample(3, generator("weights"))).double()
    y, x = labelled()
    x = x.double().clamp(-2.9, 2.9)
    ball = Ball(norm, 0.3 * RADIUS, clip)
    by_intervals, worst = (f(model, y, x, ball) for f in (interval_lower, linear_lower))
    assert (worst >= by_intervals - 1e-12).all()
    assert (worst > by_intervals + 1e-3).any()
    for point in visited(model, y, x, ball):
        assert (model(point).log_prob(y) >= worst - 1e-9).all()


@pytest.mark.parametrize("name", MODELS)
def test_no_point_of_the_ball_beats_the_shared_bound_on_its_own_draws(name):
    """Both sides lose the mean score times the move: the statement stays a matter of algebra."""
    model = model_of(name, REAL).eval().requires_grad_(False)
    target, x = pairs_of(model)
    theta = model(x).draw(6, generator("draws"))
    log_prob = model(x).log_prob(theta)
    score, center = mean_score(model, theta, x), model.standardize(x)
    for norm in NORMS:
        ball = Ball(norm, 0.1 * RADIUS)
        bound = forward_kl_of_draws(model, theta, log_prob, x, ball)
        for point in visited(model, target, x, ball, steps=15):
            lost = (log_prob - model(point).log_prob(theta)).mean(0)
            move = (score * (model.standardize(point) - center)).sum(-1)
            assert (lost + move <= bound + 1e-9).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["gaussian", "maf", "maf squash", "mixture"])
def test_the_shared_bound_is_the_estimate_of_the_certificate(name, norm):
    model = model_of(name).eval().requires_grad_(False)
    _, x = pairs_of(model)
    theta = model(x).draw(50, generator("draws"))
    log_prob = model(x).log_prob(theta)
    ball = Ball(norm, 0.1 * RADIUS)
    grid = {"norm": norm, "unit": "raw", "epsilons": (0.1,)}
    spec = PosteriorShift(perturbation=grid, bounds="crown_ibp", draws=50, comparison_draws=50)
    certified = shared_bounds(spec, PosteriorDraws(model, x, theta, log_prob), ball)
    found = forward_kl_of_draws(model, theta, log_prob, x, ball)
    torch.testing.assert_close(found, certified.kl_estimate.mean, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["gaussian", "maf"])
def test_gradients_of_the_shared_bound_know_that_draws_follow_the_weights(name, monkeypatch):
    """Finite differences along a direction of all weights, noise and control variate held."""
    model = model_of(name, REAL)
    target, x = pairs_of(model)
    spec = spec_of("shared_adversary", draws=4)
    q = model(x)
    score = mean_score(model, q.transport(q.noise((4,), generator("a"))), x)
    monkeypatch.setattr(worst_case_shared_adversary, "mean_score", lambda *_: score)
    source = generator("direction")
    along = [torch.randn(p.shape, generator=source).double() for p in model.parameters()]

    def moved(step):
        other = deepcopy(model).requires_grad_(False)
        for p, move in zip(other.parameters(), along, strict=True):
            p.add_(step * move)
        return float(objective(spec, other, target, x).sum())

    gradients = torch.autograd.grad(objective(spec, model, target, x).sum(), model.parameters())
    found = sum(float((g * move).sum()) for g, move in zip(gradients, along, strict=True))
    assert found == pytest.approx((moved(1e-6) - moved(-1e-6)) / 2e-6, rel=1e-4)


@pytest.mark.parametrize("name", ["gaussian", "maf", "mixture"])
def test_mixed_lies_between_the_bound_and_the_attack(name):
    model = model_of(name)
    target, x = pairs_of(model)

    def worst(share):
        return objective(spec_of("mixed", bound_weight=share), model, target, x)

    bound, attacked = worst(1.0), worst(0.0)
    interval = objective(spec_of("interval"), model, target, x)
    torch.testing.assert_close(bound, interval)
    assert (bound < attacked).all()
    assert attacked.mean() < model(x).log_prob(target).mean()
    torch.testing.assert_close(worst(0.25), 0.25 * bound + 0.75 * attacked)


def test_beta_weighs_the_divergence_and_mixing_keeps_its_meaning():
    model = model_of("maf")
    target, x = pairs_of(model)
    clean = model(x).log_prob(target)

    def lost(**changes):
        return clean - objective(spec_of("shared_adversary", **changes), model, target, x)

    torch.testing.assert_close(lost(beta=3.0), 3 * lost())
    torch.testing.assert_close(lost(clean_weight=0.75), 0.25 * lost())
    inside = objective(
        spec_of("shared_adversary", clean_weight=0.4, mixing="inside"), model, target, x
    )
    torch.testing.assert_close(inside, mix(clean, clean - lost(), 0.4, "inside"))


@pytest.mark.parametrize("bounds", BOUNDS)
def test_the_weight_of_the_bound_grows_linearly_and_to_its_value(bounds):
    model = model_of("maf")
    target, x = pairs_of(model)
    spec = spec_of(bounds, clean_weight=0.2, weight_ramp_fraction=0.5)
    at = {progress: objective(spec, model, target, x, progress) for progress in (0, 0.25, 0.5, 0.9)}
    torch.testing.assert_close(at[0.25], (at[0] + at[0.5]) / 2)
    torch.testing.assert_close(at[0.5], at[0.9])
    final = objective(spec.model_copy(update={"weight_ramp_fraction": 0.0}), model, target, x)
    torch.testing.assert_close(at[0.9], final)
    clean = model(x).log_prob(target)
    if bounds == "mixed":
        attacked = objective(spec_of("mixed", bound_weight=0.0), model, target, x)
        torch.testing.assert_close(at[0], 0.2 * clean + 0.8 * attacked)
    else:
        torch.testing.assert_close(at[0], clean)


def test_training_waits_for_the_longer_ramp():
    build = registry.load("defense", "robust_likelihood")
    for radius, weight in ((0.3, 0.6), (0.6, 0.3)):
        spec = spec_of("interval", ramp_fraction=radius, weight_ramp_fraction=weight)
        assert build(spec, SCALE, None).ramp_fraction == 0.6


def test_what_has_no_bound_is_refused():
    y, x = labelled()
    inference = classifier_of("map")
    model = inference.model(inference.sample(1, generator("weights")))
    assert isinstance(model, Predictive)
    with pytest.raises(TypeError, match="got Predictive; allowed: Estimator"):
        objective(spec_of("shared_adversary"), model, y, x)

    def plain(x):
        return torch.distributions.Categorical(logits=x[:, :CLASSES])

    for bounds in ("interval", "crown_ibp", "mixed"):  # an attack needs no bound
        with pytest.raises(TypeError, match="got function; allowed: Estimator, Predictive"):
            objective(spec_of(bounds), plain, y, x)


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bounds", [name for name in BOUNDS if name != "attack"])
def test_training_on_a_bound_lowers_the_certified_shift(bounds, norm):
    """A linear Gaussian task: the certificate's bound of KL at least halves."""
    source = generator("task")
    theta = torch.randn(2000, 2, generator=source)
    x = torch.cat((theta, theta), 1) + 0.3 * torch.randn(2000, 4, generator=source)
    pairs, held_out = Rows(theta[200:], x[200:]), Rows(theta[:200], x[:200])
    at = BoundedPerturbationAt(norm=norm, unit="raw", epsilon=0.1)
    weight = {"clean_weight": 0.5} | ({"bound_weight": 0.5} if bounds == "mixed" else {})
    found = []
    for epsilon in (0.0, 0.1):
        torch.manual_seed(0)
        model = registry.load("estimator", "maf")(MAF(transforms=1, hidden=24), 2, 4, REAL)
        model.fit_standardization(pairs)
        inference = registry.load("inference", "map")(model, MAPInference())
        spec = RobustLikelihood(
            perturbation=at.model_copy(update={"epsilon": epsilon}), bounds=bounds, **weight
        )
        trained = registry.load("defense", "robust_likelihood")(spec, Scale.of(x), None)
        training = Training(epochs=12, batch_size=100, learning_rate=5e-3)
        loop = Loop(inference, trained, pairs, held_out, training, seed=1)
        for _ in loop.steps():
            pass
        fit = loop.finish()
        certified = model.double().eval().requires_grad_(False)
        given = x[:100].double()
        draws = certified(given).draw(200, generator("report"))
        log_prob = certified(given).log_prob(draws)
        ball = Ball(norm, torch.full((4,), 0.1, dtype=torch.float64))
        bound = forward_kl_of_draws(certified, draws, log_prob, given, ball)
        found.append((float(bound.median()), fit.validation_nll))
    (plain, plain_nll), (robust, robust_nll) = found
    assert robust < 0.5 * plain
    assert robust_nll < plain_nll + 0.5
