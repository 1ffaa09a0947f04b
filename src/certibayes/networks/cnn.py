"""Convolutional networks over square images."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from certibayes.config.networks import CNN as CNNSpec  # noqa: N811
from certibayes.config.networks import Pool


class CNN(nn.Sequential):
    """Convolutions, pools and linear layers: raw x, (batch, x_dim), to (batch, outputs).

    A Sequential of layers with bound rules whose last one is Linear.
    """

    def __init__(self, spec: CNNSpec, x_dim: int, outputs: int) -> None:
        """Build the layers with torch's default initialization.

        Args:
            spec: hyper-parameters.
            x_dim: input features, channel after channel, row after row.
            outputs: output features, e.g. one logit per class.

        Raises:
            ValueError: if x does not consist of square images, or nothing is left of them.
        """
        sides = spec.sides(x_dim)
        layers: list[nn.Module] = [nn.Unflatten(1, (spec.channels, sides[0], sides[0]))]
        channels = spec.channels
        for layer in spec.layers:
            if isinstance(layer, Pool):
                layers.append(_POOLS[layer.by](layer.pool))
                continue
            layers.append(
                nn.Conv2d(channels, layer.filters, layer.kernel, layer.stride, layer.padding)
            )
            channels = layer.filters
            if spec.batch_norm:
                layers.append(nn.BatchNorm2d(channels))
            layers.append(nn.ReLU())
        layers.append(nn.Flatten())
        for inputs, units in pairwise((channels * sides[-1] ** 2, *spec.hidden)):
            layers.append(nn.Linear(inputs, units))
            if spec.batch_norm:
                layers.append(nn.BatchNorm1d(units))
            layers.append(nn.ReLU())
        last = spec.hidden[-1] if spec.hidden else channels * sides[-1] ** 2
        super().__init__(*layers, nn.Linear(last, outputs))


_POOLS: dict[str, type[nn.MaxPool2d] | type[nn.AvgPool2d]] = {
    "max": nn.MaxPool2d,
    "average": nn.AvgPool2d,
}
