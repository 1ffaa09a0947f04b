"""Multi-layer perceptrons."""

from __future__ import annotations

from torch import nn

from certibayes.config.networks import MLP as MLPSpec  # noqa: N811
from certibayes.networks.layers import dense_layers


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
    return dense_layers(widths, "relu")
