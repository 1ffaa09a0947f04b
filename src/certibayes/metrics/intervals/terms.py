"""What every confidence bound demands of its terms."""

from __future__ import annotations

import torch
from torch import Tensor


def require_terms(terms: Tensor, alpha: float) -> None:
    """Check terms, shape (n, batch), and the probability of error alpha.

    Raises:
        ValueError: if terms are not float64, not of shape (n >= 2, batch), leave [0, 1] or hold
            NaN, or if alpha is not in (0, 1).
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha: got {alpha}; allowed: a number in (0, 1)")
    if terms.dtype != torch.float64:
        raise ValueError(f"terms: got {terms.dtype}; allowed: torch.float64")
    if terms.ndim != 2 or len(terms) < 2:
        raise ValueError(f"terms: got shape {tuple(terms.shape)}; allowed: (n >= 2, batch)")
    if not bool(((terms >= 0) & (terms <= 1)).all()):
        raise ValueError(
            f"terms: got values from {float(terms.min())} to {float(terms.max())}; allowed: [0, 1]"
        )
