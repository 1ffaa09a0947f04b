"""Ten current-clamp recordings of mouse cortical cells, Allen Cell Types Database."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from certibayes.datasets.roots import data_root
from certibayes.io import FileFormatError, load_arrays

FILE = "neuro/allen_hh_recordings.npz"
"""Voltages, below the data root; all else is in hodgkin_huxley_recordings.json beside this."""
SAMPLES = 72_500
ON, OFF = 10_250, 60_249
"""First and last sample with current, every 0.02 ms: from 205 ms to 1204.98 ms."""


@dataclass(frozen=True)
class Recording:
    """What is known of one recording without its voltages.

    Attributes:
        cell, sweep: identifiers of the Allen Cell Types Database.
        initial_mV: first voltage, junction potential added.
        current_uA_per_cm2: current of the step over the area of the membrane.
        statistics: of `hodgkin_huxley_statistics`, shape (7,).
    """

    cell: int
    sweep: int
    initial_mV: float  # noqa: N815 - a unit
    current_uA_per_cm2: float  # noqa: N815 - a unit
    statistics: tuple[float, ...]


def read_recordings() -> tuple[Recording, ...]:
    """Return the ten recordings, in the order of the data file."""
    source = files("certibayes").joinpath("tasks", "hodgkin_huxley_recordings.json")
    stored = json.loads(source.read_text(encoding="utf-8"))["recordings"]
    return tuple(Recording(**one | {"statistics": tuple(one["statistics"])}) for one in stored)


def read_voltages(cells: tuple[int, ...]) -> NDArray[np.float64] | None:
    """Return the recorded voltages in mV, junction potential added, shape (cells, 72500).

    Args:
        cells: identifiers, all in the data file.

    Returns:
        None if no data root is set or it lacks the file.

    Raises:
        FileFormatError: if the file holds other cells or other lengths.
    """
    root = data_root()
    if root is None or not (root / FILE).is_file():
        return None
    arrays = load_arrays(root / FILE)
    held = arrays["cell_id"].tolist()
    voltages = arrays["voltage_mV"]
    if not set(cells) <= set(held) or voltages.shape != (len(held), SAMPLES):
        raise FileFormatError(
            f"{root / FILE}: got cells {held} with voltages of shape {voltages.shape}; allowed: "
            f"cells {list(cells)} among them, with {SAMPLES} samples each"
        )
    rows = [held.index(cell) for cell in cells]
    return voltages[rows].astype(np.float64) + float(arrays["junction_potential_mV"])
