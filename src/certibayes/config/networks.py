"""Networks over labels: one logit per class."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, StrictBool, Tag

from certibayes.config.base import AtLeastTwo, Count, PositiveInt, Spec
from certibayes.config.presets import PresetSpec

STATISTICS_SETTLED = 0.5
"""Share of training after which the statistics of batch normalizations stay as they are."""


class MLP(PresetSpec):
    """Multi-layer perceptron.

    Attributes:
        hidden: units of every hidden layer.
    """

    SECTION: ClassVar[str] = "network.mlp"
    kind: Literal["mlp"] = "mlp"
    hidden: tuple[PositiveInt, ...] = (128,)


class Convolution(Spec):
    """A convolution with zero padding, then the activation.

    Attributes:
        filters: output channels.
        kernel: side of the square that a filter sees.
        stride: pixels from one square to the next.
        padding: rows and columns of zeros on every side.
    """

    TAG: ClassVar[str] = "convolution"
    filters: PositiveInt
    kernel: PositiveInt = 3
    stride: PositiveInt = 1
    padding: Count = 0

    def side(self, before: int) -> int:
        """Return the side of the output of an image of side `before`, 0 or less if it is empty."""
        return (before + 2 * self.padding - self.kernel) // self.stride + 1


class Pool(Spec):
    """The largest entry or the mean of every square window, without overlap.

    Attributes:
        pool: side of a window; what is left over at the border is dropped.
        by: what is taken of a window.
    """

    TAG: ClassVar[str] = "pool"
    pool: AtLeastTwo
    by: Literal["max", "average"] = "max"

    def side(self, before: int) -> int:
        """Return the side of the output of an image of side `before`, 0 if it is empty."""
        return before // self.pool


def _which(layer: Any) -> str:
    pools = "pool" in layer if isinstance(layer, dict) else isinstance(layer, Pool)
    return Pool.TAG if pools else Convolution.TAG


ImageLayer = Annotated[
    Annotated[Convolution, Tag(Convolution.TAG)] | Annotated[Pool, Tag(Pool.TAG)],
    Discriminator(_which),
]


class CNN(PresetSpec):
    """Convolutions and pools of square images, then linear layers.

    x, of shape (batch, x_dim), is read as (batch, channels, side, side).

    Attributes:
        channels: of x; x_dim / channels is a square number.
        layers: convolutions, each with ReLU, and pools, in order.
        hidden: units of the linear layers behind them, each with ReLU.
        batch_norm: between every convolution or hidden linear layer and its ReLU, a batch
            normalization by fixed statistics.
    """

    SECTION: ClassVar[str] = "network.cnn"
    kind: Literal["cnn"] = "cnn"
    channels: PositiveInt = 1
    layers: Annotated[tuple[ImageLayer, ...], Field(min_length=1)] = (
        Convolution(filters=16, kernel=4, stride=2),
        Convolution(filters=32, kernel=4),
    )
    hidden: tuple[PositiveInt, ...] = (100,)
    batch_norm: StrictBool = False

    def sides(self, x_dim: int) -> tuple[int, ...]:
        """Return the side of the images before all layers and behind each of them.

        Raises:
            ValueError: if x does not consist of square images, or nothing is left of them.
        """
        side = math.isqrt(x_dim // self.channels)
        if self.channels * side**2 != x_dim:
            raise ValueError(
                f"network.channels: got {self.channels} with {x_dim} features of x; "
                "allowed: a number of square images that x consists of"
            )
        sides = [side]
        for number, layer in enumerate(self.layers):
            sides.append(layer.side(sides[-1]))
            if sides[-1] < 1:
                raise ValueError(
                    f"network.layers.{number}: got {layer.model_dump()}, which leaves nothing of "
                    f"images of side {sides[-2]}; allowed: what fits into them"
                )
        return tuple(sides)


AnyNetwork = Annotated[MLP | CNN, Field(discriminator="kind")]


def normalizes(network: MLP | CNN | None) -> bool:
    """Return whether a network has batch normalization."""
    return isinstance(network, CNN) and network.batch_norm
