"""Masks: only the listed features move."""

from __future__ import annotations

import pytest
import torch

from certibayes.attacks.masks import masked
from certibayes.seeding import generator
from certibayes.threat import Ball

RADIUS = torch.tensor([0.1, 0.2, 0.3, 0.0], dtype=torch.float64)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_ball_has_radius_zero_elsewhere(norm):
    ball = masked(Ball(norm, RADIUS, (-5.0, 5.0)), (0, 2), "attacks.pgd.mask")
    assert ball.radius.tolist() == [0.1, 0.0, 0.3, 0.0]
    assert (ball.norm, ball.clip) == (norm, (-5.0, 5.0))
    x = torch.zeros(50, 4, dtype=torch.float64)
    points = ball.sample(x, generator(0))
    assert (points[:, [1, 3]] == 0).all()
    assert (points[:, [0, 2]] != 0).all()
    assert not ball.contains(x, x + 0.01).any()


def test_no_mask_leaves_the_ball():
    ball = Ball("l2", RADIUS)
    assert masked(ball, None, "attacks.pgd.mask") is ball


def test_a_feature_that_does_not_exist_is_an_error():
    message = r"attacks\.pgd\.mask: got \[4, 9\]; allowed: 0 to 3, the features of x"
    with pytest.raises(ValueError, match=message):
        masked(Ball("l2", RADIUS), (1, 4, 9), "attacks.pgd.mask")
