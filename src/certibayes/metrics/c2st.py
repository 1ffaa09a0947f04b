"""Classifier two-sample test (Lopez-Paz and Oquab, 2017)."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier
from torch import Tensor

FOLDS = 5
HIDDEN_PER_DIMENSION = 10
MAX_EPOCHS = 10_000
PATIENCE = 10
SEED_LIMIT = 2**32


def c2st(a: Tensor, b: Tensor, seed: int, early_stopping: bool = True) -> float:
    """Return the held-out accuracy of a classifier that tells draws a from draws b.

    0.5 = indistinguishable, 1 = separated. The convention of sbibm (Lueckmann et al., 2021): an MLP
    with two hidden layers of 10 * dim ReLU units, 5 folds, both sets standardized by mean and std
    of a. With `early_stopping` the classifier stops when its accuracy on a tenth of the training
    part has not risen for 10 epochs: a fraction of the cost, and no overfitting, so that in many
    dimensions it sees more. Without, it stops when the training loss has not fallen by 1e-4 for 10
    epochs, as in sbibm: only such numbers compare with published ones.

    Args:
        a: reference draws, shape (n, dim).
        b: draws that are compared with them, shape (n, dim).
        seed: fixes folds, initial weights and batches.
        early_stopping: False = the protocol of sbibm.

    Returns:
        Mean accuracy over the folds.

    Raises:
        ValueError: if the shapes differ (the balanced accuracy 0.5 would be lost), a value is not
            finite, or there are fewer than 50 draws of each.
    """
    if a.shape != b.shape or a.dim() != 2 or len(a) < 50:
        raise ValueError(
            f"a, b: got shapes {tuple(a.shape)} and {tuple(b.shape)}; "
            "allowed: two equal shapes (n, dim) with n >= 50"
        )
    if not bool(a.isfinite().all() and b.isfinite().all()):
        raise ValueError("a, b: got values that are not finite; allowed: finite draws")
    scale = a.std(0)
    scale = scale.where(scale > 0, 1.0)
    draws = np.concatenate([((part - a.mean(0)) / scale).double().numpy() for part in (a, b)])
    labels = np.repeat([0, 1], len(a))
    width = HIDDEN_PER_DIMENSION * a.shape[1]
    state = seed % SEED_LIMIT
    classifier = MLPClassifier(
        hidden_layer_sizes=(width, width),
        max_iter=MAX_EPOCHS,
        early_stopping=early_stopping,
        n_iter_no_change=PATIENCE,
        random_state=state,
    )
    folds = KFold(FOLDS, shuffle=True, random_state=state)
    return float(cross_val_score(classifier, draws, labels, cv=folds).mean())
