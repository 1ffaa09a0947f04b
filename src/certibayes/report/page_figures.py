"""Figures of the report's page: which task each belongs to, its caption, its data address."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path

from PIL import Image

COLORS = 256
LARGEST = 12_000_000
"""Characters of all embedded figures together; figures beyond them are named, not embedded."""

CAPTIONS = {
    "curves": (
        "Level against epsilon",
        "Clean, under noise, under the strongest attack, and certified; the axis names norm and "
        "unit. Posteriors: median total variation between q(. | x) and q(. | x'), 0 for an unmoved "
        "posterior, 1 where nothing is guaranteed (lower is better). Classifiers: accuracy.",
    ),
    "observed": (
        "The real observation",
        "What was recorded, and what the attacks made of it.",
    ),
    "posterior": (
        "Posterior at the real observation",
        "Clean in gray, under the strongest attack in the color of the defense; regions of 50 % "
        "and 90 % of the mass.",
    ),
    "predictive_distance": (
        "Distance of predictions",
        "Distance between the clean observation and simulations from the posterior at the attacked "
        "one, against epsilon.",
    ),
    "predictive": (
        "Predictions",
        "Series simulated from the clean posterior at every real observation, over the recording; "
        "where the recordings are not at hand, the title says so.",
    ),
    "coverage": (
        "Coverage",
        "Share of parameters inside the credible region against its level, clean and under attack. "
        "Below the diagonal the posterior is overconfident.",
    ),
    "tarp": (
        "Coverage of balls around random points (TARP)",
        "As coverage, for balls around random points: it also sees errors that highest-density "
        "regions cannot. Below the diagonal the posterior is overconfident.",
    ),
    "sbc": (
        "Simulation-based calibration",
        "Ranks of the true parameters among draws of their posterior, as counts over their "
        "expectation: clean in gray, and under the strongest attack. Flat is calibrated, a valley "
        "is overconfident.",
    ),
    "parameters": (
        "Which parameters move",
        "How far the strongest attack moves every parameter's mean, width and distribution, in "
        "units of the clean posterior's standard deviation; bars are 15 % to 85 % of the "
        "observations.",
    ),
    "tradeoff": (
        "What robustness costs",
        "Robustness against clean fit and calibration, one curve per sweep or defense; points that "
        "no other dominates are ringed. Bands and bars over seeds reach from the smallest to the "
        "largest.",
    ),
}
"""Title and caption by the first part of a figure's name, in the order of the page."""


@dataclass(frozen=True)
class PageFigure:
    """One figure: its file, and which kind of `CAPTIONS` it is of which task."""

    path: Path
    kind: str
    task: str

    @property
    def note(self) -> str:
        """What the file's name says beyond kind and task, e.g. budget and model."""
        rest = self.path.stem.removeprefix(f"{self.kind}_{self.task}")
        return rest.strip("_").replace("_", " ")


def figures_of(paths: Iterable[Path], tasks: Sequence[str]) -> list[PageFigure]:
    """Return the PNG files that belong to a task, in the order of `CAPTIONS`.

    The name of one task may begin another's: the longest that fits counts.
    """
    found = []
    for path in paths:
        kind = next((k for k in CAPTIONS if path.stem.startswith(f"{k}_")), None)
        if path.suffix != ".png" or kind is None:
            continue
        rest = path.stem.removeprefix(f"{kind}_")
        fitting = [task for task in tasks if rest == task or rest.startswith(f"{task}_")]
        if fitting:
            found.append(PageFigure(path, kind, max(fitting, key=len)))
    order = list(CAPTIONS)
    return sorted(found, key=lambda figure: (order.index(figure.kind), figure.path.name))


class Embedder:
    """Turns figures into HTML; keeps count, so that the page stays light enough to open."""

    def __init__(self, folder: Path, largest: int = LARGEST) -> None:
        self.folder = folder
        self.left = largest

    def html(self, figure: PageFigure) -> str:
        """Return a figure with its caption; without room for it, its file's name instead."""
        title, caption = CAPTIONS[figure.kind]
        name = figure.path.relative_to(self.folder).as_posix()
        heading = escape(f"{title}: {figure.note}" if figure.note else title)
        source, width, height = _palette(figure.path)
        if len(source) > self.left:
            body = f'<p class="note">Left out to keep this page light; see {escape(name)}</p>'
        else:
            self.left -= len(source)
            alt = escape(f"{title}, {figure.task} {figure.note}".strip())
            size = f'width="{width}" height="{height}"'
            body = f'<div class="wide"><img src="{source}" {size} alt="{alt}"></div>'
        return (
            f"<figure>{body}<figcaption><b>{heading}.</b> {escape(caption)} "
            f"<code>{escape(name)}</code></figcaption></figure>"
        )


def _palette(path: Path) -> tuple[str, int, int]:
    """Return a PNG with at most 256 colors as a data address, and its size in pixels."""
    with Image.open(path) as image:
        flat = Image.new("RGB", image.size, "white")
        colored = image.convert("RGBA")
        flat.paste(colored, mask=colored.getchannel("A"))
    stored = BytesIO()
    flat.quantize(COLORS, dither=Image.Dither.NONE).save(stored, "PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(stored.getvalue()).decode()}", *flat.size
