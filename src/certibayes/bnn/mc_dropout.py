"""Dropout as a distribution over weights (Gal and Ghahramani, 2016)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from certibayes.bnn.base import ModelBuilder, PerExample, WeightSamples
from certibayes.bnn.network_inference import NetworkInference, assign
from certibayes.bnn.predictive import Predictive
from certibayes.bnn.prior import GaussianPrior, median_of
from certibayes.config.inference import MCDropoutInference

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)


class MCDropout(NetworkInference):
    """w = mean * z / (1 - rate), z ~ Bernoulli(1 - rate) per input of a layer.

    An input is a channel where the layer is a convolution; z is the same for all outputs; biases
    are not dropped. A mask is shared by the examples of a batch: a drawn weight vector is one
    network, which can be bounded.

    loss = -E_q[mean objective at w] + kl_weight * E_q[-log p(w)] / N, the second expectation in
    closed form: sum of mean^2 / (2 prior_std^2), over 1 - rate where inputs drop out. KL(q || p)
    of a discrete q is infinite; the rest of that of a narrow Gaussian mixture is constant.
    """

    def __init__(
        self, network: nn.Module, spec: MCDropoutInference, as_model: ModelBuilder = Predictive
    ) -> None:
        """Start at the network's weights; the network is then frozen.

        Args:
            network: maps x to logits (or to what `as_model` needs).
            spec: hyper-parameters.
            as_model: makes the conditional model from the network and weight samples.

        Raises:
            ValueError: if no input of the network drops out.
        """
        super().__init__(network, as_model)
        self.spec = spec
        self.prior = GaussianPrior(spec.prior_std, spec.prior_fan_in)
        self._drops = dict(zip(self._names, _drops(network, spec.drop_first), strict=True))
        if not any(self._drops.values()):
            raise ValueError(
                f"inference.drop_first: got {spec.drop_first} for a network in which nothing else "
                "drops out; allowed: true"
            )
        self.mean = nn.ParameterList(self._like_network())
        self.reset(torch.Generator())

    def reset(self, generator: torch.Generator) -> None:
        """Set the means to the network's weights."""
        assign(self.mean, self._initial)

    def loss(self, per_example: PerExample, examples: int, generator: torch.Generator) -> Tensor:
        """Return minus the mean objective, estimated, plus the prior's share."""
        objectives = [
            per_example(self._at(self._draw(generator))).mean()
            for _ in range(self.spec.train_samples)
        ]
        return self._energy() * self.spec.kl_weight / examples - torch.stack(objectives).mean()

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> WeightSamples:
        """Draw n weight vectors, without gradient."""
        drawn = [self._draw(generator) for _ in range(n)]
        return self._named(torch.stack(w) for w in zip(*drawn, strict=True))

    @property
    def stored_samples(self) -> int:
        """Size of the ensemble, from the specification."""
        return self.spec.stored_samples

    @torch.no_grad()
    def diagnostics(self) -> dict[str, float]:
        """Return the median std of the weights whose inputs drop out; the others have none."""
        share = (self.spec.rate / (1 - self.spec.rate)) ** 0.5
        state = zip(self.mean, self._drops.values(), strict=True)
        return {"posterior_std": median_of([share * mean.abs() for mean, drops in state if drops])}

    def _energy(self) -> Tensor:
        kept = 1 - self.spec.rate
        terms = [
            self.prior.energy([mean]) / (kept if drops else 1.0)
            for mean, drops in zip(self.mean, self._drops.values(), strict=True)
        ]
        return torch.stack(terms).sum()

    def _draw(self, generator: torch.Generator) -> list[Tensor]:
        drawn = []
        for mean, drops in zip(self.mean, self._drops.values(), strict=True):
            if drops:
                inputs = (1, mean.shape[1], *(1 for _ in mean.shape[2:]))
                kept = torch.rand(inputs, generator=generator) >= self.spec.rate
                drawn.append(mean * (kept.to(mean) / (1 - self.spec.rate)))
            else:
                drawn.append(mean.clone())
        return drawn


def _drops(network: nn.Module, first: bool) -> Iterator[bool]:
    """Yield for every parameter whether its inputs drop out: weights of layers but the first."""
    weights = [layer.weight for layer in network.modules() if isinstance(layer, LAYERS)]
    chosen = {id(weight) for weight in (weights if first else weights[1:])}
    for parameter in network.parameters():
        yield id(parameter) in chosen
