"""Maximum mean discrepancy between draws of the clean and of the attacked posterior."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from certibayes.attacks.base import Objective, PreparedObjective, Target
from certibayes.attacks.closed_form import require_posterior


class MMD(Objective):
    """MMD^2 of q(. | x) and q(. | x') with an RBF kernel, unbiased quadratic estimate.

    Mean over i != j of k(a_i, a_j) + k(b_i, b_j) - k(a_i, b_j) - k(b_i, a_j) (Gretton et al., 2012,
    lemma 6), a_i clean and b_i attacked draws. Both are transported from the same noise, and the
    gradient flows through b: pairs (a_i, b_i) are independent of one another, so the estimate stays
    unbiased, and it is zero at x' = x. Small negative values are possible.

    k(a, b) = exp(-||a - b||^2 / (2 h^2)), every parameter in units of its standard deviation over
    the item's clean draws, h the median distance between those draws.
    """

    def prepare(
        self,
        clean: Distribution,
        target: Target,
        draws: int,
        generator: torch.Generator,
    ) -> PreparedObjective:
        """Draw from the clean posterior, keep the noise; see `Objective.prepare`.

        Raises:
            TypeError: if `clean` is no Posterior.
            ValueError: if there are fewer than two draws.
        """
        if draws < 2:
            raise ValueError(f"draws: got {draws}; allowed for mmd: at least 2")
        posterior = require_posterior(clean)
        noise = posterior.noise((draws,), generator)
        with torch.no_grad():
            theta = posterior.transport(noise)
            location, scale = theta.mean(0), theta.std(0)
            scale = torch.where(scale > 0, scale, 1.0)
            own = _items(theta, location, scale)
            squares = _squares(own, own)
            apart = ~torch.eye(draws, dtype=torch.bool, device=theta.device)
            width = squares[:, apart].median(-1).values[:, None, None]
            width = torch.where(width > 0, width, 1.0)
            within = _kernel(squares, width)

        def value(attacked: Distribution) -> Tensor:
            moved = _items(require_posterior(attacked).transport(noise), location, scale)
            between = _kernel(_squares(own, moved), width)
            total = within + _kernel(_squares(moved, moved), width) - between - between.mT
            return total[:, apart].mean(-1)

        return value


def _items(theta: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    """Return draws in units of the clean ones, items first: (batch, draws, theta_dim)."""
    return ((theta - location) / scale).transpose(0, 1)


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """Return squared distances, (batch, draws, draws), of draws (batch, draws, theta_dim)."""
    cross = a.square().sum(-1)[:, :, None] + b.square().sum(-1)[:, None, :] - 2 * a @ b.mT
    return cross.clamp(min=0)


def _kernel(squares: Tensor, width: Tensor) -> Tensor:
    """Return exp(-squares / (2 width)), `width` the squared bandwidth, (batch, 1, 1)."""
    return torch.exp(-0.5 * squares / width)
