"""Comparison of two attacks by what they gain over the clean value."""

from __future__ import annotations

import math

import pytest
import torch

from certibayes.metrics.gain_ratio import gain_ratio


def test_medians_of_gains_by_hand():
    clean = torch.tensor([-3.0, -2.0, -1.0])
    found = gain_ratio(clean, clean + torch.tensor([1.0, 2.0, 3.0]), clean + 3)
    assert (found.main, found.check) == (2.0, 3.0)
    assert found.ratio == pytest.approx(1.5)


def test_negative_values_are_compared_by_their_gains():
    """A targeted objective that rises from -10 to -9 and to -8: the second gains twice as much."""
    clean = torch.full((5,), -10.0)
    assert gain_ratio(clean, clean + 1, clean + 2).ratio == pytest.approx(2)


def test_no_gain_of_either_is_a_ratio_of_one():
    clean = torch.zeros(4)
    assert gain_ratio(clean, clean, clean).ratio == 1
    assert gain_ratio(clean, clean - 1, clean - 2).ratio == 1


def test_a_gain_where_the_attack_has_none_is_large_and_finite():
    clean = torch.zeros(4)
    ratio = gain_ratio(clean, clean, clean + 0.5).ratio
    assert 1e5 < ratio < math.inf


def test_values_that_are_not_finite():
    clean = torch.zeros(3)
    infinite, nothing = torch.full((3,), math.inf), torch.full((3,), math.nan)
    assert gain_ratio(clean, infinite, infinite).ratio == 1
    assert gain_ratio(clean, nothing, clean).ratio == 1
    assert math.isfinite(gain_ratio(clean, clean, infinite).ratio)


def test_a_check_beats_by_its_ratio_and_the_sign_test_tells_what_chance_could_do():
    clean, main = torch.zeros(24), torch.ones(24)
    half = gain_ratio(clean, main, torch.where(torch.arange(24) < 13, 2.0, 0.1))
    assert half.beats
    assert half.p_value > 0.3
    every = gain_ratio(clean, main, 1.2 * main)
    assert every.beats
    assert every.p_value == pytest.approx(0.5**24)
    assert not gain_ratio(clean, main, 1.05 * main).beats
