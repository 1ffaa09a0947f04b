"""What may be wrong with what a user's simulator returns."""

from __future__ import annotations


class WrongShapeError(ValueError):
    """A simulator that returned x of another shape than before, or of no shape at all."""
