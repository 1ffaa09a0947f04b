"""One-dimensional convolutional networks that embed observations."""

from __future__ import annotations

from torch import nn

from certibayes.config.embeddings import CNN1dEmbedding as CNN1dEmbeddingSpec
from certibayes.networks.layers import ACTIVATIONS, dense_layers


class CNN1dEmbedding(nn.Sequential):
    """Filters over every channel of standardised x, (batch, x_dim), then linear layers.

    Filters of their own per channel are one grouped one-dimensional convolution; shared filters
    are a two-dimensional convolution whose kernel is one channel high. The outputs have shape
    (batch, features).
    """

    def __init__(self, spec: CNN1dEmbeddingSpec, x_dim: int) -> None:
        """Build the layers with torch's default initialization.

        Args:
            spec: hyper-parameters.
            x_dim: features of x.

        Raises:
            ValueError: if x does not consist of so many channels, or nothing is left of them.
        """
        length = spec.pooled_length(x_dim)
        activation = ACTIVATIONS[spec.activation]
        layers: list[nn.Module] = [_channels(spec, x_dim)]
        inputs = 1
        for outputs in spec.filters:
            filters = _convolution(spec, inputs, outputs, spec.kernel, spec.kernel // 2)
            layers += [filters, activation(), _pool(spec)]
            inputs = outputs
        if spec.channel_features is not None:
            layers += [_convolution(spec, inputs, spec.channel_features, length, 0), activation()]
            inputs, length = spec.channel_features, 1
        widths = (spec.channels * inputs * length, *spec.hidden, spec.features)
        super().__init__(*layers, nn.Flatten(), *dense_layers(widths, spec.activation))


def _channels(spec: CNN1dEmbeddingSpec, x_dim: int) -> nn.Unflatten:
    shape = (spec.channels, x_dim // spec.channels)
    return nn.Unflatten(1, (1, *shape) if spec.share_filters else shape)


def _convolution(
    spec: CNN1dEmbeddingSpec, inputs: int, outputs: int, kernel: int, padding: int
) -> nn.Module:
    if spec.share_filters:
        return nn.Conv2d(inputs, outputs, (1, kernel), padding=(0, padding))
    groups = spec.channels
    return nn.Conv1d(groups * inputs, groups * outputs, kernel, padding=padding, groups=groups)


def _pool(spec: CNN1dEmbeddingSpec) -> nn.Module:
    return nn.AvgPool2d((1, spec.pool)) if spec.share_filters else nn.AvgPool1d(spec.pool)
