"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The answer of one check.

    Attributes:
        name: what was looked at.
        text: what was found.
        advice: what to do about it; None = nothing is wrong.
    """

    name: str
    text: str
    advice: str | None = None

    def __str__(self) -> str:
        """Return a line, and below a problem what to do."""
        if self.advice is None:
            return f"ok       {self.name:<17}{self.text}"
        return f"PROBLEM  {self.name:<17}{self.text}\n{'':<9}-> {self.advice}"
