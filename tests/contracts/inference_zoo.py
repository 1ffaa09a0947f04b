"""Small settings of every registered way of inferring weights."""

from __future__ import annotations

import torch
from torch import nn

from certibayes import registry
from certibayes.bnn.base import WeightInference
from certibayes.config.base import Spec
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

SPECS: dict[str, Spec] = {
    "map": MAPInference(prior_std=2.0),
    "bbb": BBBInference(initial_std=0.3, stored_samples=5, train_samples=2),
    "vogn": VOGNInference(initial_std=0.3, stored_samples=5),
    "noisy_adam": NoisyAdamInference(initial_std=0.3, stored_samples=5),
    "swag": SWAGInference(start=0.5, iterates=6, rank=3, stored_samples=5),
    "hmc": HMCInference(chains=2, stored_samples=4, warmup=0.4, leapfrog_steps=3),
    "ensemble": EnsembleInference(stored_samples=3),
    "mc_dropout": MCDropoutInference(rate=0.3, stored_samples=5),
}
VARIANTS: dict[str, Spec] = {
    "vogn signs": VOGNInference(curvature="signs", stored_samples=5),
    "vogn per_example": VOGNInference(curvature="per_example", stored_samples=5),
    "vogn reparametrized": VOGNInference(curvature="reparametrized", stored_samples=5),
    "swag diagonal": SWAGInference(covariance="diagonal", iterates=6, rank=2, stored_samples=5),
    "ensemble weights": EnsembleInference(stored_samples=3, perturbation="weights"),
}


def classifier(form: str) -> WeightInference:
    """Return a method around a small network of 4 features and 3 classes."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    return registry.load("inference", form.split()[0])(network, (SPECS | VARIANTS)[form])
