"""Bounds of how far a rival class may come before the label, of every weight sample and of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from certibayes.bnn.predictive import Predictive
from certibayes.bnn.predictive_bounds import class_pairs
from certibayes.bnn.softmax_planes import difference_bounds, planes_above
from certibayes.bounds import BallAround, Interval, interval_bounds_of_samples
from certibayes.bounds.affine import affine, row_products
from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.graph import Input, Node
from certibayes.bounds.graph_rules import apply
from certibayes.bounds.linear import LinearForm, least_product, lower_form
from certibayes.threat import Ball

BoundsName = Literal["interval", "crown_ibp", "crown"]


@dataclass(frozen=True)
class MarginBounds:
    """Bounds of d_k(x', w) = p_k(x'; w) - p_y(x'; w) over the ball; 0 at k = y.

    Attributes:
        lower: for every weight sample w_s alone, shape (samples, batch, classes).
        upper: likewise.
        mean_upper: of the mean over the samples, which share x', shape (batch, classes); never
            above the mean of `upper`, which lets every sample have an x' of its own.
    """

    lower: Tensor
    upper: Tensor
    mean_upper: Tensor


def margin_bounds(
    predictive: Predictive, y: Tensor, x: Tensor, ball: Ball, bounds: BoundsName
) -> MarginBounds:
    """Bound how far every class may come before the label y.

    With linear bounds every sample has a plane above d_k(., w_s); planes are averaged over the
    samples before the worst x' is taken: the adversary has one x' for the whole ensemble. Planes
    that say less than the sample's own bound may spoil the average, so that it is also taken with
    such a plane replaced by this bound. The least of all three means counts.

    Args:
        predictive: ensemble of a Sequential network that ends in a Linear layer.
        y: labels, shape (batch,).
        x: raw observations, shape (batch, x_dim).
        ball: admissible perturbations, raw units.
        bounds: of the network: "interval", "crown_ibp" (one backward pass) or "crown" (linear
            bounds of intermediate layers too).

    Raises:
        ValueError: if an x lies outside the clip range.
        TypeError: if the network has a module without such bounds.
    """
    region = BallAround(x, ball.to(x)).region()
    pairs = class_pairs(predictive(x[:1]).logits.shape[-1], x)
    flat = interval_bounds_of_samples(
        predictive.network, predictive.weight_samples, region, pairs.flatten(0, 1)
    )
    margins = flat.reshape(lambda ends: ends.unflatten(-1, pairs.shape[:2]))
    if bounds == "interval":
        found = difference_bounds(margins, y)
        return MarginBounds(found.lower, found.upper, found.upper.mean(0))
    return _linear(predictive, y, region, margins, bounds == "crown")


def _linear(
    predictive: Predictive, y: Tensor, region: Region, margins: Interval, tightening: bool
) -> MarginBounds:
    lowers, uppers = [], []
    plain, mended = _Average(region), _Average(region)
    planes = _Planes(predictive.network, y, region, tightening)
    for sample in range(predictive.samples):
        own = Interval(margins.lower[sample], margins.upper[sample])
        named = {f"network.{name}": value for name, value in predictive.weights(sample).items()}
        alone, form, offset = functional_call(planes, named, (own,))
        offset = form.offset - offset
        deepest = -(offset + least_product(form.coefficients, region))
        useful = deepest <= alone.upper.movedim(-1, 0)
        kept = torch.where(useful.unsqueeze(-1), form.coefficients, 0.0)
        plain.add(form.coefficients, offset)
        mended.add(kept, torch.where(useful, offset, -alone.upper.movedim(-1, 0)))
        lowers.append(alone.lower)
        uppers.append(torch.where(useful, deepest, alone.upper.movedim(-1, 0)).movedim(0, -1))
    upper = torch.stack(uppers)
    shared = torch.minimum(plain.largest(), mended.largest()).movedim(0, -1)
    return MarginBounds(torch.stack(lowers), upper, torch.minimum(shared, upper.mean(0)))


class _Average:
    """The mean of planes below minus d_k, without keeping them."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._coefficients: Tensor | float = 0.0
        self._offset: Tensor | float = 0.0
        self._count = 0

    def add(self, coefficients: Tensor, offset: Tensor) -> None:
        """Add planes, shape (classes, batch, x_dim), and their offsets, (classes, batch)."""
        self._coefficients = self._coefficients + coefficients
        self._offset = self._offset + offset
        self._count += 1

    def largest(self) -> Tensor:
        """Return an upper bound of the mean d_k at any one x', shape (classes, batch)."""
        coefficients = torch.as_tensor(self._coefficients) / self._count
        found = -(self._offset / self._count + least_product(coefficients, self._region))
        return torch.where(found.isnan(), torch.inf, found)


class _Planes(nn.Module):
    """Makes bounds a forward pass, so that functional_call can replace the weights."""

    def __init__(self, network: nn.Module, y: Tensor, region: Region, tightening: bool) -> None:
        super().__init__()
        self.network = network
        self.y = y
        self.region = region
        self.tightening = tightening

    def forward(self, margins: Interval) -> tuple[Interval, LinearForm, Tensor]:
        """Return bounds of d_k, planes below minus their linear part, and offsets on top."""
        assert isinstance(self.network, nn.Sequential)
        *layers, last = self.network
        assert type(last) is nn.Linear
        hidden: Node = Input(self.region, self.tightening)
        for layer in layers:
            hidden = apply(layer, hidden)
        tighter = margins.intersect(
            _folded(hidden, last, class_pairs(last.out_features, last.weight))
        )
        slope, offset = planes_above(tighter, self.y)
        form = lower_form(hidden, -(slope @ last.weight).movedim(-2, 0))
        if last.bias is not None:
            offset = offset + slope @ last.bias
        return difference_bounds(tighter, self.y), form, offset.movedim(-1, 0)


def _folded(hidden: Node, last: nn.Linear, pairs: Tensor) -> Interval:
    """Return bounds of all differences of logits, shape (batch, classes, classes)."""
    rows = pairs.flatten(0, 1) @ last.weight
    batch = hidden.interval.lower.shape[0]
    linear = -lower_form(hidden, -rows.unsqueeze(1).expand(-1, batch, -1)).minimum().movedim(0, -1)
    largest = torch.minimum(linear, affine(hidden.region, rows, None, row_products).upper)
    upper = largest.unflatten(-1, pairs.shape[:2])
    if last.bias is not None:
        upper = upper + pairs @ last.bias
    return Interval(-upper.transpose(-2, -1), upper)
