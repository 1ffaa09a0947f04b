"""Voltages of a pyloric rhythm: Gloeckler et al. (2023), 31 to 3 x 800."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from certibayes.config.simulators.recordings import PyloricTraces as PyloricTracesSpec
from certibayes.tasks.pyloric_task import Floats, PyloricTask

DURATION = 2000.0
SAMPLES = 800
EVERY = 100
SPIKING = 20.0
FEWEST_SPIKING = 5


class PyloricTraces(PyloricTask):
    """Conductances of three cells and seven synapses from 2 s of their voltages.

    x holds the voltages in mV at 2.5, 5, ..., 2000 ms: 800 of AB/PD, then of LP, then of PY. With
    `published_selection`, a simulation fails unless each cell exceeds 20 mV in more than five
    samples: the selection of the published work, which turns the prior into one of spiking
    networks. Source: Gloeckler, Deistler and Macke (2023), network of Prinz, Bucher and Marder
    (2004).
    """

    x_dim = 3 * SAMPLES

    def __init__(self, spec: PyloricTracesSpec) -> None:
        super().__init__(spec)
        self.published_selection: bool = spec.published_selection

    def observations(self, theta: Tensor, generator: torch.Generator) -> Iterator[Floats | None]:
        """Yield the voltages of each row of theta, shape (2400,); None where it failed."""
        for voltages in self.runs(theta, generator, DURATION, EVERY):
            kept = voltages is not None and (not self.published_selection or spiking(voltages))
            yield voltages.T.ravel() if voltages is not None and kept else None


def spiking(voltages: Floats) -> bool:
    """Return whether each cell exceeds 20 mV in more than five samples, shape (samples, 3)."""
    counts = (voltages > SPIKING).sum(0)
    return bool((counts > FEWEST_SPIKING).all())
