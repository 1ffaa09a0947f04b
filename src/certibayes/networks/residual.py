"""Residual sums."""

from __future__ import annotations

from torch import Tensor, nn


class Residual(nn.Module):
    """t + body(t) (He et al., 2016).

    Attributes:
        body: a module whose output has the shape of its input.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, t: Tensor) -> Tensor:
        """Return t + body(t), shape of t.

        Raises:
            ValueError: if the body changes the shape.
        """
        inside = self.body(t)
        self.require_shape(t, inside)
        return t + inside

    def require_shape(self, before: Tensor, inside: Tensor) -> None:
        """Raise ValueError unless body(t) has the shape of t."""
        if inside.shape != before.shape:
            raise ValueError(
                f"body: got output shape {tuple(inside.shape)}; "
                f"allowed: the shape of its input, {tuple(before.shape)}"
            )
