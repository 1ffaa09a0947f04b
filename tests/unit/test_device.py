"""Where networks compute, and that a GPU finds what the CPU finds."""

import pytest
import torch
from pretended_device import DEVICE, MixedDevicesError, PretendedDevice
from torch.distributions import constraints

from certibayes import registry
from certibayes.bnn.map import MAP
from certibayes.config import attacks as attack_specs
from certibayes.config.defenses import Fisher, NoDefense, RobustLikelihood
from certibayes.config.errors import ConfigError
from certibayes.config.models import MAF, NSF, Gaussian, MAPInference, Mixture, Training
from certibayes.config.study import Study
from certibayes.device import chosen_device
from certibayes.rows import Rows
from certibayes.seeding import generator
from certibayes.threat import Ball, Scale
from certibayes.training import fit

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
X_DIM, THETA_DIM = 4, 2
BOUNDED = constraints.independent(
    constraints.interval(torch.full((THETA_DIM,), -9.0), torch.full((THETA_DIM,), 9.0)), 1
)
ESTIMATORS = {
    "gaussian": Gaussian(hidden=(16,)),
    "mixture": Mixture(hidden=(16,), components=2),
    "maf": MAF(hidden=16, transforms=2),
    "nsf": NSF(hidden=16, transforms=2, bins=4),
}
BALL = {"norm": "linf", "unit": "feature_std", "epsilons": [0.3]}
ATTACKS = {
    "noise": attack_specs.Noise,
    "pgd": attack_specs.PGD,
    "pgd_adam": attack_specs.PGDAdam,
    "random_search": attack_specs.RandomSearch,
    "spectral": attack_specs.Spectral,
}
FEW = {"pgd": {"steps": 3, "restarts": 1}, "random_search": {"steps": 3}}
DEFENSES = {
    "none": NoDefense(),
    "fisher": Fisher(beta=0.01),
    "robust_likelihood": RobustLikelihood(
        perturbation={"norm": "l2", "unit": "feature_std", "epsilon": 0.05}
    ),
}


@pytest.mark.parametrize(
    ("named", "available", "expected"),
    [
        (None, False, "cpu"),
        ("", False, "cpu"),
        ("auto", False, "cpu"),
        ("cpu", False, "cpu"),
        (None, True, "cuda"),
        ("auto", True, "cuda"),
        ("cuda", True, "cuda"),
        ("cpu", True, "cpu"),
    ],
)
def test_auto_is_cuda_where_there_is_one(monkeypatch, named, available, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.delenv("CERTIBAYES_DEVICE", raising=False)
    if named is not None:
        monkeypatch.setenv("CERTIBAYES_DEVICE", named)
    assert chosen_device().type == expected


@pytest.mark.parametrize(("named", "message"), [("cuda", "finds no such"), ("tpu", "auto, cpu")])
def test_a_device_that_is_not_there_is_an_error(monkeypatch, named, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CERTIBAYES_DEVICE", named)
    with pytest.raises(ConfigError, match=f"CERTIBAYES_DEVICE: got '{named}'.*{message}"):
        chosen_device()


def test_the_device_is_a_key_of_the_study_and_of_no_job():
    assert Study.model_fields["device"].default == "auto"


class Forgetful:
    """Keeps no state and is never interrupted."""

    requested = False

    def save(self, state):
        pass

    def load(self):
        return None


def pairs():
    source = generator("pairs")
    theta = torch.randn(128, THETA_DIM, generator=source)
    x = torch.cat((theta, theta.square()), 1) + 0.3 * torch.randn(128, X_DIM, generator=source)
    return Rows(theta, x)


def trained(kind, device, defense="none"):
    torch.manual_seed(0)
    estimator = registry.load("estimator", kind)(ESTIMATORS[kind], THETA_DIM, X_DIM, BOUNDED)
    rows = pairs()
    estimator.fit_standardization(rows)
    inference = MAP(estimator, MAPInference()).to(device)
    rule = registry.load("defense", defense)(DEFENSES[defense], Scale(torch.ones(X_DIM), 1.0), None)
    result = fit(
        inference,
        rule,
        rows,
        rows,
        Training(epochs=2, batch_size=64),
        seed=3,
        checkpoint=Forgetful(),
        interruption=Forgetful(),
        report=lambda step, metrics: None,
    )
    return inference.module.eval().requires_grad_(False), result


def attacked(model, x, attack, fields=None):
    spec = ATTACKS[attack](objective="forward_kl", perturbation=BALL, **(fields or {}))
    rule = registry.load("attack", attack)(spec)
    objective = registry.load("objective", "forward_kl")()
    ball = Ball("linf", torch.full((X_DIM,), 0.3))
    return rule.attack(model, x, None, objective, ball, seed=5)


@pytest.mark.parametrize(
    ("kind", "defense"), [("gaussian", "robust_likelihood"), ("maf", "fisher")]
)
def test_training_never_mixes_devices(kind, defense):
    with PretendedDevice():
        model, result = trained(kind, DEVICE, defense)
        assert {p.device for p in model.parameters()} == {DEVICE}
        with pytest.raises(MixedDevicesError):
            model(pairs().x[:3])
    _, expected = trained(kind, "cpu", defense)
    assert (result.validation, result.steps) == (expected.validation, expected.steps)


@pytest.mark.parametrize("attack", ["pgd", "random_search", "spectral"])
def test_attacks_never_mix_devices(attack):
    found = []
    for device in ("cpu", DEVICE):
        torch.manual_seed(0)
        spec = ESTIMATORS["maf"]
        model = registry.load("estimator", "maf")(spec, THETA_DIM, X_DIM, BOUNDED)
        model = model.eval().requires_grad_(False)
        with PretendedDevice():
            x = pairs().x[:4].to(device)
            result = attacked(model.to(device), x, attack, FEW.get(attack, {}))
            found.append(result.objective.to("cpu"))
    torch.testing.assert_close(*found)


@CUDA
@pytest.mark.parametrize("defense", DEFENSES)
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_training_on_a_gpu_reaches_what_it_reaches_on_the_cpu(kind, defense):
    if defense == "robust_likelihood" and kind not in registry.names("estimator_bounds"):
        pytest.skip("no bounds")
    on_cpu, expected = trained(kind, "cpu", defense)
    on_gpu, result = trained(kind, "cuda", defense)
    assert {p.device.type for p in on_gpu.parameters()} == {"cuda"}
    assert result.validation_nll == pytest.approx(expected.validation_nll, abs=1e-3)
    assert result.validation == pytest.approx(expected.validation, abs=1e-2)
    for name, value in on_cpu.state_dict().items():
        torch.testing.assert_close(on_gpu.state_dict()[name].cpu(), value, atol=2e-3, rtol=2e-3)


@CUDA
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_attacks_on_a_gpu_find_what_they_find_on_the_cpu(kind, attack):
    model, _ = trained(kind, "cpu")
    x = pairs().x[:16]
    ball = Ball("linf", torch.full((X_DIM,), 0.3))
    found = {}
    for device in ("cpu", "cuda"):
        moved = x.to(device)
        result = attacked(model.to(device), moved, attack)
        assert result.x.device.type == result.objective.device.type == device
        assert ball.contains(moved, result.x, 1e-5).all()
        found[device] = result.objective.cpu()
    torch.testing.assert_close(found["cuda"].median(), found["cpu"].median(), rtol=0.02, atol=1e-3)
    torch.testing.assert_close(found["cuda"], found["cpu"], rtol=0.2, atol=2e-2)


@CUDA
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_draws_and_densities_on_a_gpu_are_those_of_the_cpu(kind):
    model, _ = trained(kind, "cpu")
    x = pairs().x[:8]
    theta = model(x).draw(20, generator("draws"))
    log_prob = model(x).log_prob(theta)
    model.to("cuda")
    moved = model(x.cuda())
    torch.testing.assert_close(
        moved.draw(20, generator("draws")).cpu(), theta, atol=1e-3, rtol=1e-3
    )
    torch.testing.assert_close(moved.log_prob(theta.cuda()).cpu(), log_prob, atol=1e-3, rtol=1e-3)
