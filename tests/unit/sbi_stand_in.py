"""Posteriors with the structure and the attribute names of sbi 0.27, which need not be here."""

from typing import NamedTuple

import torch
from nflows.distributions.normal import StandardNormal
from nflows.flows.base import Flow
from nflows.nn.nets.resnet import ResidualNet
from nflows.transforms import autoregressive, coupling, lu, permutations, standard
from nflows.transforms.base import CompositeTransform
from torch import nn
from torch.distributions import Independent, Uniform

KINDS = ("maf", "maf_rqs", "nsf", "mdn")


class Standardize(nn.Module):
    def __init__(self, mean, std):
        super().__init__()
        self.register_buffer("_mean", mean)
        self.register_buffer("_std", std)

    def forward(self, x):
        return (x - self._mean) / self._std


class NFlowsFlow(nn.Module):
    def __init__(self, net, theta_dim, x_dim):
        super().__init__()
        self.net = net
        self.input_shape, self.condition_shape = torch.Size([theta_dim]), torch.Size([x_dim])

    def log_prob(self, theta, condition):
        rows = condition.expand(*theta.shape[:-1], -1).reshape(-1, condition.shape[-1])
        return self.net.log_prob(theta.reshape(-1, theta.shape[-1]), rows).reshape(theta.shape[:-1])


class Mixture(NamedTuple):
    logits: torch.Tensor
    means: torch.Tensor
    precision_factors: torch.Tensor


class MultivariateGaussianMDN(nn.Module):
    def __init__(self, features, context, hidden, components):
        super().__init__()
        self._features, self._num_components = features, components
        layers = (nn.Linear(context, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self._hidden_net = nn.Sequential(*layers)
        self._logits_layer = nn.Linear(hidden, components)
        self._means_layer = nn.Linear(hidden, components * features)
        self._unconstrained_diagonal_layer = nn.Linear(hidden, components * features)
        upper = features * (features - 1) // 2
        self._upper_layer = nn.Linear(hidden, components * upper) if upper else None

    def forward(self, context):
        hidden, d = self._hidden_net(context), self._features
        shape = (len(context), self._num_components, -1)
        diagonal = nn.functional.softplus(self._unconstrained_diagonal_layer(hidden).view(shape))
        factors = torch.diag_embed(diagonal)
        if self._upper_layer is not None:
            row, column = torch.triu_indices(d, d, 1)
            factors[..., row, column] = self._upper_layer(hidden).view(shape)
        return Mixture(self._logits_layer(hidden), self._means_layer(hidden).view(shape), factors)


class MixtureDensityEstimator(nn.Module):
    _prior_transform_module = None

    def __init__(self, net, embedding_net, theta_dim, x_dim):
        super().__init__()
        self.net, self._embedding_net = net, embedding_net
        self.input_shape, self.condition_shape = torch.Size([theta_dim]), torch.Size([x_dim])
        self.register_buffer("_transform_shift", torch.full((theta_dim,), 0.3))
        self.register_buffer("_transform_scale", torch.linspace(0.5, 1.5, theta_dim))

    def log_prob(self, theta, condition):
        logits, means, factors = self.net(self._embedding_net(condition))
        parts = torch.distributions.MultivariateNormal(
            means, precision_matrix=factors.mT @ factors, validate_args=False
        )
        v = (theta - self._transform_shift) / self._transform_scale
        joint = parts.log_prob(v.unsqueeze(-2)) + logits.log_softmax(-1)
        return joint.logsumexp(-1) - self._transform_scale.log().sum()


class DirectPosterior:
    def __init__(self, prior, posterior_estimator):
        self.prior, self.posterior_estimator = prior, posterior_estimator


class Named:
    """q(theta | x) = N(x_1, 1) for every parameter, known by sample and log_prob alone."""

    theta_dim = 2

    def sample(self, shape, x):
        return x[..., :1] + torch.randn(*shape, self.theta_dim)

    def log_prob(self, theta, x):
        return torch.distributions.Normal(x[..., :1], 1.0).log_prob(theta).sum(-1)


class Opaque(Named):
    """The same without gradients."""

    def log_prob(self, theta, x):
        return super().log_prob(theta, x.detach())


differentiable, opaque = Named(), Opaque()


def posterior_of(kind, theta_dim=2, x_dim=3, hidden=6, half_width=2.0, embedding=None):
    """A posterior with random weights, and a uniform prior on a box."""
    torch.manual_seed(0)
    standardize = Standardize(0.2 * torch.randn(x_dim), 0.5 + torch.rand(x_dim))
    embedding_net = nn.Sequential(standardize, nn.Identity() if embedding is None else embedding)
    bound = torch.full((theta_dim,), half_width)
    prior = Independent(Uniform(-bound, bound, validate_args=False), 1, validate_args=False)
    if kind == "mdn":
        net = MultivariateGaussianMDN(theta_dim, x_dim, hidden, 3)
        estimator = MixtureDensityEstimator(net, embedding_net, theta_dim, x_dim)
    else:
        first = standard.PointwiseAffineTransform(
            0.1 * torch.randn(theta_dim), 0.5 + torch.rand(theta_dim)
        )
        parts = [part for turn in range(2) for part in _block(kind, theta_dim, x_dim, hidden, turn)]
        transform = CompositeTransform([first, CompositeTransform(parts)])
        flow = Flow(transform, StandardNormal((theta_dim,)), embedding_net)
        estimator = NFlowsFlow(flow, theta_dim, x_dim)
    with torch.no_grad():
        for weight in estimator.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return DirectPosterior(prior, estimator.eval())


def _block(kind, d, x_dim, hidden, turn):
    options = {"features": d, "hidden_features": hidden, "context_features": x_dim}
    made = {"num_blocks": 1, "use_residual_blocks": False, "activation": torch.tanh} | options
    splines = {"num_bins": 4, "tails": "linear", "tail_bound": 3.0}
    if kind == "maf":
        first = autoregressive.MaskedAffineAutoregressiveTransform(**made)
        return first, permutations.RandomPermutation(d)
    if kind == "maf_rqs":
        name = "MaskedPiecewiseRationalQuadraticAutoregressiveTransform"
        return getattr(autoregressive, name)(**made, **splines), permutations.RandomPermutation(d)

    def net(inputs, outputs):
        return ResidualNet(inputs, outputs, hidden, x_dim, num_blocks=1)

    mask = [(i + turn) % 2 for i in range(d)]
    first = coupling.PiecewiseRationalQuadraticCouplingTransform(mask, net, **splines)
    return first, lu.LULinear(d)
