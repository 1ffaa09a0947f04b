"""What a certificate of the shift leaves open: its bound beside the strongest attack found."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.certificates.posterior_shift import PosteriorShiftResult
from certibayes.stages.findings import Value, quantiles


def gaps(result: PosteriorShiftResult, reached_kl: Tensor | None) -> dict[str, Tensor]:
    """Return what attacks reach on the certificate's own draws, and the gaps to the bounds.

    Empty without an attack in the ball. Both divergences are those from x to x'. The gap of the
    total variation is that of the certified bound, `upper`, so that it holds the width of the
    confidence as well. The gap of the KL is that of the row's own bound: of a closed form, the
    certified divergence (the error of the draws may make it slightly negative); of the others, the
    bound on the very draws of the attack, and never negative.

    Args:
        result: confronted with all attacks.
        reached_kl: largest mean log ratio of an attack on the comparison draws, shape (n,).
    """
    if reached_kl is None:
        return {}
    bound = result.comparison_kl
    if result.deterministic and result.kl_bound is not None:
        bound = result.kl_bound
    return {
        "reached_total_variation": result.lower,
        "gap_total_variation": result.upper - result.lower,
        "reached_forward_kl": reached_kl,
        "gap_forward_kl": _difference(bound, reached_kl),
    }


def gap_columns(found: dict[str, Tensor], tests: slice) -> dict[str, Value]:
    """Return medians and quantiles over the test observations of what `gaps` found."""
    columns: dict[str, Value] = {}
    for name, values in found.items():
        columns |= quantiles(name, values[tests])
    return columns


def _difference(bound: Tensor, reached: Tensor) -> Tensor:
    """Return bound - reached, infinite where the bound is."""
    return torch.where(bound.isinf(), torch.inf, bound - reached)
