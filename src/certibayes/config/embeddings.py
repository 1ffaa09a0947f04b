"""Embeddings: networks through which an estimator of theta sees the standardised x."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictBool, model_validator

from certibayes.config.base import PositiveInt
from certibayes.config.presets import PresetSpec

Activation = Literal["relu", "leaky_relu", "tanh", "silu", "gelu"]


class MLPEmbedding(PresetSpec):
    """Multi-layer perceptron; the defaults are the sizes of Gloeckler et al. (2023).

    Attributes:
        hidden: units of every hidden layer.
        features: numbers that the estimator conditions on.
        activation: behind every hidden layer.
    """

    SECTION: ClassVar[str] = "embedding.mlp"
    kind: Literal["mlp"] = "mlp"
    hidden: tuple[PositiveInt, ...] = (400, 200, 100)
    features: PositiveInt = 50
    activation: Activation = "relu"


class CNN1dEmbedding(PresetSpec):
    """One-dimensional convolutions over every channel of x by itself, then linear layers.

    x, of shape (batch, x_dim), is read as (batch, channels, length), channel after channel. Every
    layer of filters is a convolution with zero padding that keeps the length, the activation, and
    means over windows without overlap; what is left over at the end of a channel is dropped.

    Attributes:
        channels: of x; a divisor of x_dim.
        filters: outputs per channel of each layer of filters.
        kernel: entries that a filter sees, odd.
        pool: entries that a mean covers.
        share_filters: the same filters for all channels; otherwise each channel has its own.
        channel_features: outputs of a linear layer with activation per channel, with own or shared
            weights as the filters; None = no such layer.
        hidden: units of linear layers on all channels together, with activation.
        features: numbers that the estimator conditions on.
        activation: behind every layer but the last.
    """

    SECTION: ClassVar[str] = "embedding.cnn1d"
    kind: Literal["cnn1d"] = "cnn1d"
    channels: PositiveInt = 1
    filters: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (6, 9, 12)
    kernel: PositiveInt = 5
    pool: PositiveInt = 3
    share_filters: StrictBool = False
    channel_features: PositiveInt | None = None
    hidden: tuple[PositiveInt, ...] = ()
    features: PositiveInt = 50
    activation: Activation = "relu"

    @model_validator(mode="after")
    def _odd_kernel(self) -> CNN1dEmbedding:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel: got {self.kernel}; allowed: odd numbers")
        return self

    def pooled_length(self, x_dim: int) -> int:
        """Return the length of a channel behind all layers of filters.

        Raises:
            ValueError: if x does not consist of so many channels, or nothing is left of them.
        """
        if x_dim % self.channels:
            raise ValueError(
                f"embedding.channels: got {self.channels}; "
                f"allowed: a divisor of {x_dim}, the features of x"
            )
        length, layers = x_dim // self.channels, len(self.filters)
        if length < self.pool**layers:
            raise ValueError(
                f"embedding.pool: got {self.pool} in {layers} layers of filters, which leaves "
                f"nothing of a channel of length {length}; allowed: pool ** layers <= {length}"
            )
        return length // self.pool**layers


AnyEmbedding = Annotated[MLPEmbedding | CNN1dEmbedding, Field(discriminator="kind")]


def conditioning_features(embedding: AnyEmbedding | None, x_dim: int) -> int:
    """Return how many numbers an estimator conditions on: the embedding's, or x itself."""
    return x_dim if embedding is None else embedding.features
