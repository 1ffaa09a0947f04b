"""KL(q(. | x') || q(. | x)): expectation under the attacked posterior."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution

from certibayes.attacks.base import Objective, PreparedObjective, Target
from certibayes.attacks.closed_form import as_gaussian, before_bijection, gaussian_kl
from certibayes.attacks.kl_terms import kl_terms


class ReverseKL(Objective):
    """KL(q(. | x') || q(. | x)) = E[log q(theta | x') - log q(theta | x)], theta ~ q(. | x'); nats.

    In closed form if both are Gaussian; otherwise reparametrized: one set of standard normal noise
    is transported to theta by the posterior at every x' (common random numbers), and the gradient
    flows through theta and log q(theta | x'). theta is unconstrained (`unconstrained`): KL does
    not depend on the bijection. Terms are those of `kl_terms`.

    Caution when comparing with Gloeckler et al. (2023): the axis labels of their figures are
    swapped with respect to what was computed. The main figures read D_KL(clean || attacked) but
    show this quantity.
    """

    def prepare(
        self,
        clean: Distribution,
        target: Target,
        draws: int,
        generator: torch.Generator,
    ) -> PreparedObjective:
        """Draw the noise that every attacked posterior transports; see `Objective.prepare`.

        Raises:
            TypeError: if `clean` is neither a Posterior nor Gaussian.
        """
        if as_gaussian(clean) is not None:
            return lambda attacked: gaussian_kl(attacked, clean)
        log_ratio = _log_ratio(clean, draws, generator)
        return lambda attacked: kl_terms(log_ratio(attacked)).mean(0)

    def prepare_gradient(
        self,
        clean: Distribution,
        target: Target,
        draws: int,
        generator: torch.Generator,
    ) -> PreparedObjective:
        """Average the log ratio itself, as published; see `Objective.prepare_gradient`.

        Raises:
            TypeError: if `clean` is neither a Posterior nor Gaussian.
        """
        if as_gaussian(clean) is not None:
            return lambda attacked: gaussian_kl(attacked, clean)
        log_ratio = _log_ratio(clean, draws, generator)
        return lambda attacked: log_ratio(attacked).mean(0)


def _log_ratio(
    clean: Distribution, draws: int, generator: torch.Generator
) -> Callable[[Distribution], Tensor]:
    reference = before_bijection(clean)
    noise = reference.noise((draws,), generator)

    def value(attacked: Distribution) -> Tensor:
        posterior = before_bijection(attacked)
        u = posterior.transport(noise)
        return posterior.log_prob(u) - reference.log_prob(u)

    return value


def reverse_kl(
    clean: Distribution, attacked: Distribution, draws: int, generator: torch.Generator
) -> Tensor:
    """Return KL(attacked || clean), shape (batch,), nats; see `ReverseKL`.

    Args:
        clean: q(. | x), batch shape (batch,).
        attacked: q(. | x'), batch shape (batch,).
        draws: draws from the attacked posterior; unused in closed form.
        generator: source of the noise behind those draws.

    Raises:
        TypeError: if one of them is neither a Posterior nor Gaussian.
    """
    return ReverseKL().prepare(clean, None, draws, generator)(attacked)
