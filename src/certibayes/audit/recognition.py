"""From a posterior of any make to what the audit computes with."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from certibayes.audit.black_box import BlackBox
from certibayes.audit.boundable import reason_against
from certibayes.audit.errors import AuditError
from certibayes.audit.subject import Subject
from certibayes.audit.support import inside_support
from certibayes.estimators.foreign import ForeignEstimator, ForeignNetworkError
from certibayes.estimators.sbi_flow import SbiFlow, is_flow
from certibayes.estimators.sbi_mixture import SbiMixture, is_mixture, require_no_prior_transform
from certibayes.seeding import generator

UNNORMALIZED = ("ImportanceSamplingPosterior", "MCMCPosterior", "RejectionPosterior")
KINDS = {
    "MaskedAffineAutoregressiveTransform": "maf",
    "MaskedPiecewiseRationalQuadraticAutoregressiveTransform": "maf_rqs",
    "PiecewiseRationalQuadraticCouplingTransform": "nsf",
}
PROBES = 2


def subject_of(posterior: Any, x: Tensor) -> Subject:
    """Recognize a posterior by its attributes.

    Args:
        posterior: of the sbi toolbox, or any object with `sample((n,), x=x)` and
            `log_prob(theta, x=x)`.
        x: observations, shape (batch, x_dim), float64.

    Raises:
        AuditError: if it cannot be audited.
    """
    name = type(posterior).__name__
    if name in UNNORMALIZED:
        raise AuditError(
            f"posterior: got {name}, whose log_prob lacks a factor that depends on x; allowed: "
            "posteriors with a normalized log_prob, e.g. the DirectPosterior of NPE"
        )
    if hasattr(posterior, "posterior_estimator") and hasattr(posterior, "prior"):
        return _of_sbi(posterior, x)
    if not (hasattr(posterior, "sample") and hasattr(posterior, "log_prob")):
        raise AuditError(f"posterior: got {name}; allowed: an object with sample and log_prob")
    box = _object(posterior, x)
    why = f"{name}: an object that is known by sample and log_prob alone; its network is not seen"
    return Subject("object", (name,), box, None, box.theta_dim, x.shape[1], _graded(box, x), why)


def _of_sbi(posterior: Any, x: Tensor) -> Subject:
    estimator = posterior.posterior_estimator
    theta_dim, x_dim = _dimensions(estimator)
    if x.shape[1] != x_dim:
        raise AuditError(
            f"observations: got {x.shape[1]} features; allowed: {x_dim}, as the posterior has"
        )
    net = estimator.net
    names = tuple(type(one).__name__ for one in (posterior, estimator, net))
    model: ForeignEstimator | BlackBox
    try:
        bounded = _bounded(estimator, theta_dim, x_dim)
        model, why = bounded, reason_against(bounded, x)
    except ForeignNetworkError as error:
        model, why = _density_estimator(estimator, theta_dim), str(error)
    inside = inside_support(posterior.prior)
    return Subject(_kind(model), names, model, inside, theta_dim, x_dim, _graded(model, x), why)


def _bounded(estimator: Any, theta_dim: int, x_dim: int) -> ForeignEstimator:
    """Return the estimator around the network.

    Raises:
        ForeignNetworkError: if the network is none of those that are known.
    """
    if is_flow(estimator.net):
        return SbiFlow(estimator.net, theta_dim, x_dim)
    if is_mixture(estimator.net):
        require_no_prior_transform(estimator)
        moments = (getattr(estimator, f"_transform_{name}", None) for name in ("shift", "scale"))
        return SbiMixture(estimator.net, estimator._embedding_net, theta_dim, x_dim, *moments)
    raise ForeignNetworkError(
        f"module: got {type(estimator.net).__name__}, no graph of its log density; allowed: flows "
        "of nflows, mixture density networks"
    )


def _kind(model: ForeignEstimator | BlackBox) -> str:
    if isinstance(model, BlackBox):
        return "density_estimator"
    if isinstance(model, SbiFlow):
        parts = (KINDS.get(type(one).__name__) for one in model.transforms)
        return next((one for one in parts if one is not None), "flow")
    return "mdn"


def _dimensions(estimator: Any) -> tuple[int, int]:
    shapes = {"theta": estimator.input_shape, "x": estimator.condition_shape}
    for name, shape in shapes.items():
        if len(shape) != 1:
            raise AuditError(f"{name}: got shape {tuple(shape)}; allowed: vectors")
    return int(shapes["theta"][0]), int(shapes["x"][0])


def _density_estimator(estimator: Any, theta_dim: int) -> BlackBox:
    """Return a conditional density estimator of sbi by its own draws and log density."""
    estimator.eval()

    def sample(n: int, x: Tensor) -> Tensor:
        return torch.as_tensor(estimator.sample(torch.Size((n,)), condition=x))[:, 0]

    def log_density(theta: Tensor, x: Tensor) -> Tensor:
        return torch.as_tensor(estimator.log_prob(theta.unsqueeze(1), condition=x))[:, 0]

    return BlackBox(sample, log_density, theta_dim)


def _object(posterior: Any, x: Tensor) -> BlackBox:
    """Return an object by its `sample` and `log_prob`, with gradients where it can track them."""
    options = _options(posterior.log_prob)

    def sample(n: int, x: Tensor) -> Tensor:
        return torch.as_tensor(posterior.sample((n,), x=x))

    def log_density(theta: Tensor, x: Tensor) -> Tensor:
        return torch.as_tensor(posterior.log_prob(theta, x=x, **options))

    drawn = sample(PROBES, x[:1].to(torch.get_default_dtype()))
    if drawn.ndim not in (2, 3) or len(drawn) != PROBES:
        raise AuditError(
            f"posterior.sample(({PROBES},), x=x): got shape {tuple(drawn.shape)}; allowed: "
            f"({PROBES}, theta_dim)"
        )
    return BlackBox(sample, log_density, drawn.shape[-1])


def _options(log_prob: Callable[..., Any]) -> dict[str, bool]:
    try:
        tracks = "track_gradients" in signature(log_prob).parameters
    except ValueError:
        return {}
    return {"track_gradients": True} if tracks else {}


def _graded(model: ForeignEstimator | BlackBox, x: Tensor) -> bool:
    """Tell whether log q(theta | x) has finite gradients to x."""
    drawn = model(x[:1]).draw(PROBES, generator("audit", "gradient probe"))
    given = x[:1].clone().requires_grad_()
    try:
        with torch.enable_grad():
            value = model(given).log_prob(drawn).sum()
            (gradient,) = torch.autograd.grad(value, given, allow_unused=True)
    except (NotImplementedError, RuntimeError, TypeError):
        return False
    return gradient is not None and bool(gradient.isfinite().all() and (gradient != 0).any())
