"""Sound bounds of modules over sets of inputs; pure torch."""

from certibayes.bounds.ball import BallAround
from certibayes.bounds.ellipsoid import Ellipsoid, Region
from certibayes.bounds.interval import Interval
from certibayes.bounds.propagate import (
    interval_bounds,
    interval_bounds_of_samples,
    last_layer_folded,
    linear_bounds,
)
from certibayes.bounds.rules import propagate, rule

__all__ = [
    "BallAround",
    "Ellipsoid",
    "Interval",
    "Region",
    "interval_bounds",
    "interval_bounds_of_samples",
    "last_layer_folded",
    "linear_bounds",
    "propagate",
    "rule",
]
