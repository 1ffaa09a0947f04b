"""Every bound refuses an x outside the clip range; the border belongs to it in any precision."""

import pytest
import torch
from estimator_zoo import REAL, estimator_of, trained_here

from certibayes import registry
from certibayes.bounds import (
    BallAround,
    interval_bounds,
    interval_bounds_of_samples,
    last_layer_folded,
    linear_bounds,
)
from certibayes.certificates.log_density_bounds import lower_log_density, upper_log_density
from certibayes.config.models import MLP
from certibayes.defenses.worst_case_crown_ibp import linear_lower
from certibayes.defenses.worst_case_interval import interval_lower
from certibayes.estimators.bounded_density import standardized_ball
from certibayes.outside_clip import OutsideClipError
from certibayes.seeding import generator
from certibayes.threat import Ball

X_DIM, BATCH = 4, 3
NORMS = pytest.mark.parametrize("norm", ["l2", "linf"])
SIZES = {"maf": {"transforms": 1, "hidden": 8}, "nsf": {"transforms": 1, "hidden": 8, "bins": 4}}


def ball_of(norm, clip=(-1.0, 1.0), dtype=torch.float64):
    return Ball(norm, torch.full((X_DIM,), 0.1, dtype=dtype), clip)


def outside():
    x = torch.zeros(BATCH, X_DIM, dtype=torch.float64)
    x[1, 2] = 2.0
    return x


def network():
    return registry.load("network", "mlp")(MLP(hidden=(5,)), X_DIM, 2).double()


def folded(region):
    return last_layer_folded(network(), torch.eye(2, dtype=torch.float64), region)


def of_samples(region):
    module = network()
    samples = {name: value.detach().unsqueeze(0) for name, value in module.named_parameters()}
    return interval_bounds_of_samples(module, samples, region)


MODULE_BOUNDS = {
    "interval": lambda region: interval_bounds(network(), region),
    "crown": lambda region: linear_bounds(network(), region),
    "crown_ibp": lambda region: linear_bounds(network(), region, tightening=False),
    "folded": folded,
    "samples": of_samples,
}


def refused():
    return pytest.raises(OutsideClipError, match=r"1 of 3 observations .* row 1; allowed")


@NORMS
@pytest.mark.parametrize("name", MODULE_BOUNDS)
def test_bounds_of_modules_refuse_it(name, norm):
    with refused():
        MODULE_BOUNDS[name](BallAround(outside(), ball_of(norm)))
    wide = MODULE_BOUNDS[name](BallAround(outside(), ball_of(norm, (-1.0, 2.0))))
    assert (wide.width > 0).all()


@NORMS
def test_images_are_judged_by_all_their_features(norm):
    with refused():
        BallAround(outside().view(BATCH, 2, 2), ball_of(norm)).region()


@NORMS
@pytest.mark.parametrize("kind", trained_here("estimator_bounds"))
def test_bounds_of_estimators_refuse_it(kind, norm):
    model, x, ball = estimator_of(kind, **SIZES.get(kind, {})), outside(), ball_of(norm)
    theta = model(x).draw(2, generator("theta"))
    calls = [
        lambda: standardized_ball(model, x, ball),
        lambda: registry.load("estimator_bounds", kind)(model, theta, x, ball),
        lambda: interval_lower(model, theta[0], x, ball),
        lambda: linear_lower(model, theta[0], x, ball),
        *(
            lambda f=f, method=method: f(method, model, theta[0], x, ball)
            for f in (lower_log_density, upper_log_density)
            for method in ("interval", "crown_ibp")
        ),
        *(
            lambda rules=rules: registry.load(rules, kind)(model, x, ball)
            for rules in ("forward_kl_bounds", "head_shift_bounds")
            if kind in registry.names(rules)
        ),
    ]
    for call in calls:
        with refused():
            call()


@NORMS
@pytest.mark.parametrize("lower", [interval_lower, linear_lower])
@pytest.mark.parametrize("kind", ["gaussian", "maf"])
def test_training_goes_on_at_the_border_in_float32(kind, lower, norm):
    """0.1 grows by rounding to float32, beyond the end as float64 knows it; it is still inside."""
    assert torch.tensor(0.1).double() > 0.1
    clip = (-0.1, 0.1)
    model = estimator_of(kind, support=REAL, **SIZES.get(kind, {})).float()
    x = torch.tensor([0.1, -0.1]).repeat(BATCH, X_DIM // 2)
    theta = model(x).draw(1, generator("theta"))[0]
    loss = -lower(model, theta, x, ball_of(norm, clip, torch.float32)).mean()
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    low, high = ball_of(norm, clip, torch.float32).box(x)
    assert ((high - low) > 0).all(), "no ball of the border is a point"
    with pytest.raises(OutsideClipError):
        lower(model, theta, torch.nextafter(x, 2 * x), ball_of(norm, clip, torch.float32))
