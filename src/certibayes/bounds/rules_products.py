"""Rules of products of parts of an input."""

from __future__ import annotations

from torch import nn

from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.interval import Interval
from certibayes.bounds.rules import feature_dim, rule


@rule(nn.GLU)
def glu(module: nn.GLU, region: Region) -> Interval:
    """Bound a sigmoid(b), a and b the halves of the input; attained over a box.

    Raises:
        ValueError: if the halves are those of the batch.
    """
    values, gates = halves(module, region)
    return values.box.scaled_by_positive(gates.box.increasing(lambda t: t.sigmoid()))


def halves(module: nn.GLU, region: Region) -> tuple[Region, Region]:
    """Return the regions of a and b."""
    dim = feature_dim(module, module.dim, region.box.lower.dim())
    values = region.reshape(lambda t: t.chunk(2, dim)[0])
    return values, region.reshape(lambda t: t.chunk(2, dim)[1])
