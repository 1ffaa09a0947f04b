"""Multi-layer perceptrons."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from certibayes.config.models import MLP as MLPSpec  # noqa: N811


class MLP(nn.Sequential):
    """Linear layers with ReLU between them: raw x, shape (batch, x_dim), to (batch, outputs)."""

    def __init__(self, spec: MLPSpec, x_dim: int, outputs: int) -> None:
        """Build the layers with torch's default initialization.

        Args:
            spec: hyper-parameters; `hidden` holds the widths.
            x_dim: input features.
            outputs: output features, e.g. one logit per class.
        """
        super().__init__(*relu_layers((x_dim, *spec.hidden, outputs)))


def relu_layers(widths: tuple[int, ...]) -> list[nn.Module]:
    """Return Linear layers of consecutive widths with ReLU between them, none after the last."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return layers[:-1]
