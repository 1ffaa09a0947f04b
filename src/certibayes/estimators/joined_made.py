"""nflows' MADE as a network of one input: its features and, behind them, its context."""

from __future__ import annotations

from nflows.transforms.made import MADE
from torch import Tensor, nn


class JoinedMADE(nn.Module):
    """MADE(u, context) as a function of t = (u, context), shape (batch, features + context).

    Bounds take one region. One with radius 0 in u bounds the outputs at a fixed theta over a ball
    of contexts, exactly as if u were a constant.

    Attributes:
        made: the network; its weights are shared, not copied.
        features: entries of u.
        context_features: entries of the context.
    """

    def __init__(self, made: MADE) -> None:
        """Wrap the network.

        Raises:
            ValueError: if it takes no context.
        """
        super().__init__()
        if not hasattr(made, "context_layer"):
            raise ValueError("context_features: got None; allowed: >= 1, or bounds of the MADE")
        self.made = made
        self.features: int = made.initial_layer.in_features
        self.context_features: int = made.context_layer.in_features

    def forward(self, joined: Tensor) -> Tensor:
        """Return the outputs, shape (batch, features * outputs per feature)."""
        outputs: Tensor = self.made(joined[:, : self.features], joined[:, self.features :])
        return outputs
