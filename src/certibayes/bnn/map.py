"""Point estimate of the weights."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from certibayes.bnn.base import ModelBuilder, PerExample, WeightInference, WeightSamples
from certibayes.bnn.predictive import Predictive
from certibayes.bnn.prior import GaussianPrior
from certibayes.config.inference import MAPInference
from certibayes.estimators.base import Estimator


class MAP(WeightInference):
    """One weight vector, maximum a posteriori.

    loss = -mean objective - log p(w) / (likelihood_power * N); the prior p is flat by default.
    """

    def __init__(
        self, module: nn.Module, spec: MAPInference, as_model: ModelBuilder = Predictive
    ) -> None:
        """Train `module` in place.

        Args:
            module: an estimator, which is a conditional model itself, or a network over labels.
            spec: hyper-parameters.
            as_model: makes the conditional model of a network.
        """
        super().__init__()
        self.module = module
        self.spec = spec
        self.prior = GaussianPrior.of(spec)
        self._as_model = as_model

    def loss(self, per_example: PerExample, examples: int, generator: torch.Generator) -> Tensor:
        """Return minus the mean objective, plus the prior's share where it is not flat."""
        return self._of_likelihood(per_example) + self._of_prior() / examples

    def _of_likelihood(self, per_example: PerExample) -> Tensor:
        if isinstance(self.module, Estimator):
            return -per_example(self.module).mean()
        weights = {name: p.unsqueeze(0) for name, p in self.module.named_parameters()}
        return -per_example(self._as_model(self.module, weights)).mean()

    def _of_prior(self) -> Tensor | float:
        if self.prior is None:
            return 0.0
        return self.prior.energy(list(self.module.parameters())) / self.spec.likelihood_power

    def sample(self, n: int, generator: torch.Generator) -> WeightSamples:
        """Return n copies of the one weight vector."""
        return {
            name: p.detach().expand(n, *p.shape).clone()
            for name, p in self.module.named_parameters()
        }

    def model(self, samples: WeightSamples) -> nn.Module:
        """Return the estimator at the first sample, or the predictive of all samples."""
        module = deepcopy(self.module)
        if not isinstance(module, Estimator):
            return self._as_model(module, samples)
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                parameter.copy_(samples[name][0])
        return module

    @property
    def stored_samples(self) -> int:
        """One: there is a single weight vector."""
        return 1

    def reset(self, generator: torch.Generator) -> None:
        """Do nothing: the module's weights are the trained ones."""
