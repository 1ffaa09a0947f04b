"""KL(q(. | x) || q(. | x')): expectation under the clean posterior."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from certibayes.attacks.base import Objective, PreparedObjective, Target
from certibayes.attacks.closed_form import as_gaussian, before_bijection, gaussian_kl
from certibayes.attacks.kl_terms import kl_terms


class ForwardKL(Objective):
    """KL(q(. | x) || q(. | x')) = E[log q(theta | x) - log q(theta | x')], theta ~ q(. | x); nats.

    In closed form if both are Gaussian; otherwise the mean of `kl_terms` over draws from the clean
    posterior, taken once, and the gradient flows through log q(theta | x') alone. theta is
    unconstrained (`unconstrained`): KL does not depend on the bijection.

    Caution when comparing with Gloeckler et al. (2023): the axis labels of their figures are
    swapped with respect to what was computed. Their "forward" attack computes this quantity,
    though its axis reads D_KL(attacked || clean); their main figures show `reverse_kl`.
    """

    def prepare(
        self,
        clean: Distribution,
        target: Target,
        draws: int,
        generator: torch.Generator,
    ) -> PreparedObjective:
        """Draw theta from the clean posterior; see `Objective.prepare`.

        Raises:
            TypeError: if `clean` is neither a Posterior nor Gaussian.
        """
        if as_gaussian(clean) is not None:
            return lambda attacked: gaussian_kl(clean, attacked)
        posterior = before_bijection(clean)
        u = posterior.draw(draws, generator)
        with torch.no_grad():
            log_clean = posterior.log_prob(u)
        return lambda attacked: kl_terms(log_clean - before_bijection(attacked).log_prob(u)).mean(0)

    def prepare_gradient(
        self,
        clean: Distribution,
        target: Target,
        draws: int,
        generator: torch.Generator,
    ) -> PreparedObjective:
        """Leave log q(theta | x) out; see `Objective.prepare_gradient`.

        Raises:
            TypeError: if `clean` is neither a Posterior nor Gaussian.
        """
        if as_gaussian(clean) is not None:
            return lambda attacked: gaussian_kl(clean, attacked)
        u = before_bijection(clean).draw(draws, generator)
        return lambda attacked: -before_bijection(attacked).log_prob(u).mean(0)


def forward_kl(
    clean: Distribution, attacked: Distribution, draws: int, generator: torch.Generator
) -> Tensor:
    """Return KL(clean || attacked), shape (batch,), nats; see `ForwardKL`.

    Args:
        clean: q(. | x), batch shape (batch,).
        attacked: q(. | x'), batch shape (batch,).
        draws: draws from the clean posterior; unused in closed form.
        generator: source of those draws.

    Raises:
        TypeError: if `clean` is neither a Posterior nor Gaussian.
    """
    return ForwardKL().prepare(clean, None, draws, generator)(attacked)
