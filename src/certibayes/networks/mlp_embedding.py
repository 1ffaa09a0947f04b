"""Multi-layer perceptrons that embed observations."""

from __future__ import annotations

from torch import nn

from certibayes.config.embeddings import MLPEmbedding as MLPEmbeddingSpec
from certibayes.networks.layers import dense_layers


class MLPEmbedding(nn.Sequential):
    """Linear layers: standardised x, shape (batch, x_dim), to (batch, features)."""

    def __init__(self, spec: MLPEmbeddingSpec, x_dim: int) -> None:
        """Build the layers with torch's default initialization.

        Args:
            spec: hyper-parameters.
            x_dim: features of x.
        """
        widths = (x_dim, *spec.hidden, spec.features)
        super().__init__(*dense_layers(widths, spec.activation))
