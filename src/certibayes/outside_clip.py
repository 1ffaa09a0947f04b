"""The error of a ball whose center is no admissible observation."""

from __future__ import annotations


class OutsideClipError(ValueError):
    """An observation lies outside the clip range: its ball would be empty there."""
