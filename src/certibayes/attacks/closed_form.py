"""KL divergence in closed form where both distributions are Gaussian."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from certibayes.estimators.posterior import Posterior
from certibayes.estimators.unconstrained import unconstrained


@runtime_checkable
class GaussianUpToBijection(Protocol):
    """A posterior that is Gaussian in coordinates shared by all x."""

    @property
    def latent(self) -> MultivariateNormal:
        """The Gaussian in those coordinates, batch shape (batch,)."""
        ...


def as_gaussian(q: Distribution) -> MultivariateNormal | None:
    """Return q as a Gaussian with batch shape (batch,), or None if it is none.

    A posterior that is Gaussian up to one bijection of theta, shared by all x, counts by its
    `latent`: KL does not depend on the bijection.
    """
    if isinstance(q, GaussianUpToBijection):
        return q.latent
    if isinstance(q, MultivariateNormal):
        return q
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        mean, std = q.base_dist.loc, q.base_dist.scale
        return MultivariateNormal(mean, scale_tril=std.diag_embed(), validate_args=False)
    return None


def gaussian_kl(p: Distribution, q: Distribution) -> Tensor:
    """Return KL(p || q) in nats, shape (batch,), in closed form.

    Raises:
        TypeError: if one of them is not Gaussian.
    """
    first, second = as_gaussian(p), as_gaussian(q)
    if first is None or second is None:
        raise TypeError(
            f"got {type(p).__name__} and {type(q).__name__}; allowed: two Gaussian distributions"
        )
    return kl_divergence(first, second)


def require_posterior(q: Distribution) -> Posterior:
    """Return q if draws can be taken from it with a generator.

    Raises:
        TypeError: if q is not a Posterior.
    """
    if not isinstance(q, Posterior):
        raise TypeError(f"got {type(q).__name__}; allowed: a Posterior or a Gaussian distribution")
    return q


def before_bijection(q: Distribution) -> Posterior:
    """Return q on unconstrained coordinates, where divergences are taken; see `unconstrained`.

    Raises:
        TypeError: if q is not a Posterior.
    """
    return unconstrained(require_posterior(q))
