"""The largest value of a convex quadratic function over a box: nothing escapes, corners attain."""

import pytest
import torch

from certibayes.bounds.interval import Interval
from certibayes.certificates.box_quadratic import largest_eigenvalue, largest_on_box
from certibayes.certificates.linear_moments import LinearMoments
from certibayes.seeding import generator

BATCH, FUNCTIONS = 6, 8


def case(features, fixed=0):
    """Second moments of linear functions, and boxes that are not centered at 0."""
    source = generator("box quadratic", features)
    joint = torch.randn(BATCH, FUNCTIONS, features + 1, generator=source, dtype=torch.float64)
    low, high = torch.rand(2, BATCH, features, generator=source, dtype=torch.float64)
    if fixed:
        low[:, -fixed:], high[:, -fixed:] = 0.0, 0.0
    return joint.mT @ joint, -low, high


def values(products, d):
    """Return the function at points of shape (n, batch, features)."""
    whole = torch.cat((d, torch.ones_like(d[..., :1])), -1)
    return torch.einsum("nbi,bij,nbj->nb", whole, products, whole)


def attacked(products, low, high):
    """Return the largest value that random points, corners and coordinate ascent reach."""
    source = generator("points", low.shape[1])
    share = torch.rand(2_000, *low.shape, generator=source, dtype=torch.float64)
    points = torch.cat((low + share * (high - low), torch.where(share < 0.5, low, high)))
    best = values(products, points).amax(0)
    at = torch.where(share[:50] < 0.5, low, high)
    for _ in range(3):
        for feature in range(low.shape[1]):
            ends = [at.clone(), at.clone()]
            ends[0][..., feature], ends[1][..., feature] = low[:, feature], high[:, feature]
            first, second = (values(products, end) for end in ends)
            at = torch.where((first > second).unsqueeze(-1), *ends)
    return torch.maximum(best, values(products, at).amax(0))


@pytest.mark.parametrize(("features", "fixed"), [(1, 0), (5, 0), (9, 4), (15, 0), (15, 6)])
def test_no_point_of_the_box_exceeds_the_bound_and_few_features_attain_it(features, fixed):
    products, low, high = case(features, fixed)
    bound, reached = largest_on_box(products, low, high), attacked(products, low, high)
    assert (reached <= bound).all()
    if features - fixed <= 12:
        torch.testing.assert_close(bound, reached)
    else:
        assert (bound < 4 * reached).all()


def test_features_that_do_not_move_do_not_count():
    products, low, high = case(20, fixed=6)
    kept = [*range(14), 20]
    fewer = largest_on_box(products[:, kept][:, :, kept], low[:, :14], high[:, :14])
    torch.testing.assert_close(largest_on_box(products, low, high), fewer)
    still = largest_on_box(products, 0 * low, 0 * high)
    torch.testing.assert_close(still, products[:, -1, -1])


def test_what_is_not_finite_bounds_nothing():
    for features in (3, 15):
        products, low, high = case(features)
        products[0, 0, 1], products[1, 0, 0] = torch.nan, torch.inf
        bound = largest_on_box(products, low, high)
        assert (bound[:2] == torch.inf).all()
        assert bound[2:].isfinite().all()
    square = torch.eye(2).double().expand(2, 2, 2).clone()
    square[1, 0, 1] = torch.nan
    assert largest_eigenvalue(square).tolist() == pytest.approx([1.0, torch.inf])


@pytest.mark.parametrize("features", [3, 15])
def test_mean_squares_and_variances_of_functions_stay_below(features):
    source = generator("moments", features)
    slope = torch.randn(40, BATCH, features, generator=source, dtype=torch.float64)
    offset = torch.randn(40, BATCH, generator=source, dtype=torch.float64)
    center = torch.randn(BATCH, features, generator=source, dtype=torch.float64)
    _, low, high = case(features)
    moments = LinearMoments(Interval(center + low, center + high), center)
    moments.add(slope, offset)
    share = torch.rand(1_000, *low.shape, generator=source, dtype=torch.float64)
    at = torch.cat((low + share * (high - low), torch.where(share < 0.5, low, high)))
    value = torch.einsum("kbi,nbi->nkb", slope, at) + offset
    assert (value.square().mean(1).amax(0) <= moments.largest_mean_square()).all()
    assert (value.var(1, correction=0).amax(0) <= moments.largest_variance()).all()
