"""Interval algebra: results of members are members of results, ends are attained."""

import pytest
import torch

from certibayes.bounds import Interval
from certibayes.seeding import generator


def interval_and_members(name, n=1000, entries=50):
    g = generator(name)
    ends = torch.randn(2, entries, generator=g).double().sort(0).values
    share = torch.rand(n, entries, generator=g).double()
    share[0], share[1] = 0, 1
    return Interval(*ends), ends[0] + share * (ends[1] - ends[0])


UNARY = {
    "neg": lambda a: -a,
    "shift": lambda a: a + 2.0,
    "minus": lambda a: a - 2.0,
    "square": lambda a: a.square(),
    "flip": lambda a: a.reshape(lambda t: t.flip(-1)) if isinstance(a, Interval) else a.flip(-1),
    "sum": lambda a: a.sum(-1),
    "asinh": lambda a: a.asinh(),
    "scale": lambda a: a.scaled(-1.5) if isinstance(a, Interval) else -1.5 * a,
    "magnitude": lambda a: a.magnitude() if isinstance(a, Interval) else a.abs(),
}
BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
}


@pytest.mark.parametrize("name", UNARY)
def test_unary(name):
    interval, members = interval_and_members("a")
    result = UNARY[name](interval)
    result.require_ordered()
    assert result.contains(UNARY[name](members), 1e-12).all()


@pytest.mark.parametrize("name", BINARY)
def test_binary(name):
    (a, in_a), (b, in_b) = interval_and_members("a"), interval_and_members("b")
    result = BINARY[name](a, b)
    values = BINARY[name](in_a[:, None], in_b[None, :50])
    assert result.contains(values, 1e-12).all()
    torch.testing.assert_close(values.amax((0, 1)), result.upper)
    torch.testing.assert_close(values.amin((0, 1)), result.lower)


def test_product_with_a_positive_interval_is_the_product():
    a, b = interval_and_members("a")[0], interval_and_members("b")[0].magnitude()
    for end in ("lower", "upper"):
        torch.testing.assert_close(getattr(a.scaled_by_positive(b), end), getattr(a * b, end))


def test_square_is_zero_where_the_interval_straddles():
    square = Interval(torch.tensor([-1.0, 2.0, -3.0]), torch.tensor([2.0, 3.0, -2.0])).square()
    assert square.lower.tolist() == [0.0, 4.0, 4.0]
    assert square.upper.tolist() == [4.0, 9.0, 9.0]


def test_disorder_and_shapes_are_errors():
    with pytest.raises(ValueError, match="lower above upper"):
        Interval(torch.tensor([1.0]), torch.tensor([0.0])).require_ordered()
    with pytest.raises(ValueError, match="lower above upper"):
        Interval(torch.tensor([torch.nan]), torch.tensor([0.0])).require_ordered()
    with pytest.raises(ValueError, match="got shape"):
        Interval(torch.zeros(2), torch.zeros(3))
