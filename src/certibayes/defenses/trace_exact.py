"""tr I(x) in closed form: J^T F J with the family's Fisher information F."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Categorical, MultivariateNormal

from certibayes.attacks.closed_form import as_gaussian
from certibayes.config.defenses import EXACT_INFORMATION, Fisher
from certibayes.defenses.information import Place
from certibayes.defenses.trace_score import score_trace


def exact_trace(place: Place, spec: Fisher, generator: torch.Generator) -> Tensor:
    """Return the trace of the information about x / std, shape (batch,).

    Categorical: sum over k of p_k ||std * d log p_k / dx||^2. Gaussian up to a bijection of theta,
    mean m and factor L of the covariance L L^T, with the derivatives m_i, L_i to feature i:
    sum over i of std_i^2 (||L^-1 m_i||^2 + ||A_i + A_i^T||_F^2 / 2), A_i = L^-1 L_i.

    Args:
        place: where.
        spec: not used by a closed form.
        generator: not used: nothing is drawn.

    Raises:
        TypeError: if q is neither Categorical nor Gaussian.
    """
    if isinstance(place.q, Categorical):
        return score_trace(place, spec, generator)
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        x = place.x.detach().requires_grad_()
        gaussian = as_gaussian(place.model(x))
        if gaussian is None:
            raise TypeError(
                f"model: got {type(place.q).__name__} with trace: exact; allowed: Categorical, "
                f"Gaussian (estimators: {', '.join(EXACT_INFORMATION)})"
            )
        mean, factor = _derivatives(gaussian, x, differentiable)
    std = place.std.unsqueeze(-1)
    inverse = gaussian.scale_tril.unsqueeze(1)
    shift = torch.linalg.solve_triangular(inverse, mean.unsqueeze(-1), upper=False).squeeze(-1)
    stretch = torch.linalg.solve_triangular(inverse, factor, upper=False)
    of_mean = (std * shift).square().sum((-2, -1))
    of_factor = (std.unsqueeze(-1) * (stretch + stretch.mT)).square().sum((-3, -2, -1))
    trace = of_mean + 0.5 * of_factor
    return trace if differentiable else trace.detach()


def _derivatives(
    gaussian: MultivariateNormal, x: Tensor, differentiable: bool
) -> tuple[Tensor, Tensor]:
    """Return d mean / dx, shape (batch, x_dim, d), and d L / dx, (batch, x_dim, d, d)."""
    d = gaussian.loc.shape[-1]
    rows, columns = torch.tril_indices(d, d, device=x.device)
    outputs = torch.cat((gaussian.loc, gaussian.scale_tril[:, rows, columns]), -1)
    one_each = torch.eye(outputs.shape[-1]).to(outputs).unsqueeze(1).expand(-1, len(x), -1)
    (jacobian,) = torch.autograd.grad(
        outputs, x, one_each, is_grads_batched=True, create_graph=differentiable, retain_graph=True
    )
    jacobian = jacobian.permute(1, 2, 0)
    factor = jacobian.new_zeros(*jacobian.shape[:2], d, d)
    batch = torch.arange(len(x), device=x.device)[:, None, None]
    features = torch.arange(x.shape[-1], device=x.device)[:, None]
    factor = factor.index_put((batch, features, rows, columns), jacobian[..., d:])
    return jacobian[..., :d], factor
