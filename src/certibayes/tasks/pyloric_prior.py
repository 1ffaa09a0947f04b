"""The uniform prior of the three-cell network, shared by both of its tasks."""

from __future__ import annotations

import math

from certibayes.tasks.pyloric_network import CELLS, SYNAPSES
from certibayes.tasks.uniform_prior import UniformPrior

CURRENTS = ("Na", "CaT", "CaS", "A", "KCa", "Kd", "H", "Leak")
NAMES = (
    *(f"{cell}_{current}" for cell in CELLS for current in CURRENTS),
    *(f"Syn_{synapse}" for synapse in SYNAPSES),
)
MEMBRANE_LOWER = (
    *(0.0, 0.0, 0.0, 0.0, 0.0, 25.0, 0.0, 0.0),
    *(0.0, 0.0, 2.0, 10.0, 0.0, 0.0, 0.0, 0.01),
    *(0.0, 0.0, 0.0, 30.0, 0.0, 50.0, 0.0, 0.0),
)
MEMBRANE_UPPER = (
    *(500.0, 7.5, 8.0, 60.0, 15.0, 150.0, 0.02, 0.01),
    *(200.0, 2.5, 12.0, 60.0, 10.0, 125.0, 0.06, 0.04),
    *(600.0, 12.5, 4.0, 60.0, 5.0, 150.0, 0.06, 0.04),
)


def pyloric_prior() -> UniformPrior:
    """Return the prior of the 31 parameters, independent and uniform.

    Conductances of the membranes in mS/cm^2, around those of Prinz, Bucher and Marder (2004); ln
    of the synapses' conductances in mS, from 1e-8 to 1e-2 for AB-LP and to 1e-3 for the others.
    Source: Goncalves et al. (2020).
    """
    synapses = len(SYNAPSES)
    strongest = (math.log(1e-2), *(math.log(1e-3),) * (synapses - 1))
    return UniformPrior(
        (*MEMBRANE_LOWER, *(math.log(1e-8),) * synapses), (*MEMBRANE_UPPER, *strongest)
    )
