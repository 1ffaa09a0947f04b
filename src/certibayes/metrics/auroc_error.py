"""Standard error of an area under the ROC curve."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata
from torch import Tensor


def auroc_standard_error(inside: Tensor, outside: Tensor) -> float:
    """Return the standard error of `auroc` over both samples (DeLong et al., 1988).

    sqrt(var(V) / n + var(W) / m): V_i is the share of foreign scores above inside score i, W_j the
    share of inside scores below foreign score j, ties counted half. 0 where the scores separate.

    Args:
        inside: scores of inputs like those of the training, shape (n,), n >= 2.
        outside: scores of foreign inputs, shape (m,), m >= 2.

    Raises:
        ValueError: if one of them has fewer than two scores.
    """
    n, m = len(inside), len(outside)
    if min(n, m) < 2:
        raise ValueError(f"got {n} and {m} scores; allowed: at least 2 each")
    own, foreign = inside.double().cpu().numpy(), outside.double().cpu().numpy()
    ranks = rankdata(np.concatenate([own, foreign]))
    above = 1 - (ranks[:n] - rankdata(own)) / m
    below = (ranks[n:] - rankdata(foreign)) / n
    return float(np.sqrt(above.var(ddof=1) / n + below.var(ddof=1) / m))
