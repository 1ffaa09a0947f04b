"""Bounds made monotone over a grid, and the radius read off them."""

import torch

from certibayes.certificates.radius import (
    certified_at_any_larger,
    certified_radius,
    least_over_larger,
)


def test_bounds_are_the_least_over_larger_radii():
    upper = torch.tensor([[0.3, 0.1], [0.2, 0.4], [0.5, 0.3]], dtype=torch.float64)
    expected = torch.tensor([[0.2, 0.1], [0.2, 0.3], [0.5, 0.3]], dtype=torch.float64)
    assert torch.equal(least_over_larger(upper), expected)


def test_bounds_never_shrink_and_never_grow_by_it():
    upper = torch.rand(6, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = least_over_larger(upper)
    assert (found[1:] >= found[:-1]).all()
    assert (found <= upper).all()
    assert torch.equal(found[-1], upper[-1])


def test_the_radius_is_the_largest_certified_epsilon():
    epsilons = torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64)
    certified = torch.tensor([[True, False, False], [False, False, True], [False, False, False]])
    assert certified_radius(epsilons, certified).tolist() == [0.1, 0.0, 0.2]
    any_larger = certified_at_any_larger(certified)
    assert any_larger.tolist() == [[True, False, True], [False, False, True], [False] * 3]
    upper = torch.where(certified, 0.1, 0.9).double()
    assert torch.equal(least_over_larger(upper) <= 0.2, any_larger)
