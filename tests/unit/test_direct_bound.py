"""Means of drawn terms at any x': nothing escapes, a draw without a plane costs its own term."""

import pytest
import torch

from certibayes.bounds import Ellipsoid, Interval
from certibayes.bounds.linear import least_product
from certibayes.certificates.direct_bound import DirectBound, far_cut
from certibayes.certificates.planes import Planes
from certibayes.metrics.total_variation import total_variation_terms
from certibayes.seeding import generator

DRAWS, BATCH = 60, 4


def region_of(norm, features=3):
    source = generator("region", norm)
    center = torch.randn(BATCH, features, generator=source, dtype=torch.float64)
    radius = 0.2 + torch.rand(BATCH, features, generator=source, dtype=torch.float64)
    box = Interval.around(center, radius)
    return box if norm == "linf" else Ellipsoid(center, radius, box, False)


def drawn(region, size, broken=(), first_way=0):
    """Log ratios slope . d + offset + bend |d|^2, planes below them, own worst cases.

    Of the broken draws the planes are useless, each in the next of five ways; their own worst cases
    hold.
    """
    source = generator("drawn", size)
    shape = (DRAWS, *region.center.shape)
    slope = size * torch.randn(shape, generator=source, dtype=torch.float64)
    offset = -(slope.square().sum(-1)) / 2
    bend = size * torch.rand(shape[:-1], generator=source, dtype=torch.float64)
    own = offset + least_product(slope, region) - (slope * region.center).sum(-1)

    def ratio(t):
        step = t - region.center
        return (slope * step).sum(-1) + offset + bend * step.square().sum(-1)

    given, below = slope.clone(), offset.clone()
    for way, draw in enumerate(broken, first_way):
        below[draw] = (-torch.inf, torch.nan, -1e9, -40.0 * size, -1e200)[way % 5]
        given[draw, :, 0] *= (1.0, torch.nan, 1.0, 1.0, 1.0)[way % 5]
    least = own.clone()
    if broken:
        least[broken[0]] = -torch.inf
    deepest = below + least_product(given, region) - (given * region.center).sum(-1)
    theta = slope.new_zeros(*shape[:-1], 2)
    planes = Planes(slice(0, DRAWS), theta, given, below, deepest, least.clamp(max=0.0))
    return planes, ratio


def bounded(region, planes, cut=None):
    found = DirectBound(region, region.center, far_cut([planes]) if cut is None else cut)
    for rows in (slice(0, 25), slice(25, DRAWS)):
        parts = (getattr(planes, name)[rows] for name in FIELDS)
        found.add(Planes(rows, *parts))
    return found.bounds()


FIELDS = ("theta", "slope", "offset", "deepest", "least")


def means(ratio, t):
    value = ratio(t)
    terms = total_variation_terms(torch.zeros_like(value), value)
    return terms.mean(0), terms.square().mean(0), -value.mean(0)


@pytest.mark.parametrize("broken", [(), (3,), (0, 7, 30, 31, 59)])
@pytest.mark.parametrize("size", [0.02, 0.3, 3.0])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_no_point_exceeds_the_bounds(norm, size, broken):
    region = region_of(norm)
    planes, ratio = drawn(region, size, broken)
    found = bounded(region, planes)
    limits = (found.variation, found.square, found.divergence)
    source = generator("points", norm, size)

    def projected(step):
        if norm == "linf":
            return region.center + region.radius * step.clamp(-1, 1)
        return region.center + region.radius * step / step.norm(dim=-1, keepdim=True).clamp(min=1)

    starts = [4 * torch.randn(BATCH, 3, generator=source).double() for _ in range(60)]
    for step in starts:
        for reached, limit in zip(means(ratio, projected(step)), limits, strict=True):
            assert (reached <= limit + 1e-12).all()
    for which in range(3):
        at = projected(starts[which])
        for _ in range(12):
            at = at.detach().requires_grad_()
            reached = means(ratio, at)
            assert (reached[which] <= limits[which] + 1e-12).all()
            (gradient,) = torch.autograd.grad(reached[which].sum(), at)
            length = (gradient * region.radius).norm(dim=-1, keepdim=True).clamp(min=1e-30)
            ahead = (at.detach() - region.center) / region.radius + gradient / length
            at = projected(ahead)


@pytest.mark.parametrize("way", range(5))
def test_a_useless_plane_costs_its_own_term(way):
    """Of n draws, none far before one plane g breaks, it adds (1 + max(g, 0) / 2) / n at most.

    Its term becomes 1, which adds at most 1 / n to either mean. In the parabola bound of the others
    min over s of A (s^2 + 2 s first + second) its plane becomes 0. The mean square, a maximum of
    sums of squares, cannot grow. `first`, minus the least mean of the planes, can: where g is
    positive it held that mean up, by its largest value over n at most. As A s <= 1 / 4, see
    `curvature`, the factor of `first` is at most 1 / 2.
    """
    region = region_of("linf")
    planes, _ = drawn(region, 0.1)
    whole, cut = bounded(region, planes), far_cut([planes])
    assert (-planes.deepest <= cut).all()
    slope = planes.slope[5]
    highest = -least_product(-slope, region) - (slope * region.center).sum(-1) + planes.offset[5]
    broken, _ = drawn(region, 0.1, (5,), way)
    found = bounded(region, broken, cut)
    slack = (1 + highest.clamp(min=0.0) / 2) / DRAWS
    assert (found.variation <= whole.variation + slack + 1e-12).all()
    assert (found.square <= whole.square + 1 / DRAWS + 1e-12).all()
    assert (found.variation < 0.5).all()


def test_never_looser_than_a_worst_case_of_its_own_for_every_draw():
    for size in (0.1, 3.0):
        region = region_of("linf")
        planes, _ = drawn(region, size, (1, 2, 4))
        alone = total_variation_terms(torch.zeros_like(planes.least), planes.least)
        found = bounded(region, planes)
        assert (found.variation <= alone.mean(0) + 1e-12).all()
        assert (found.square <= alone.square().mean(0) + 1e-12).all()


def test_one_adversary_is_tighter_than_many_where_planes_are_good():
    region = region_of("linf")
    planes, _ = drawn(region, 0.1)
    alone = total_variation_terms(torch.zeros_like(planes.least), planes.least).mean(0)
    assert (bounded(region, planes).variation < 0.75 * alone).all()
