"""Groups of observations and blocks of draws: complete, in order, of bounded memory."""

import pytest
import torch
from torch import nn

from certibayes.certificates.posterior_draws import (
    NUMBERS_OF_MOMENTS,
    NUMBERS_PER_BLOCK,
    ROWS_PER_BLOCK,
    PosteriorDraws,
)


def draws_of(batch, n, x_dim, pilot=None):
    """Draws whose log density tells place and observation."""
    log_prob = torch.arange(n).unsqueeze(-1) * 1_000.0 + torch.arange(batch)
    theta = log_prob.unsqueeze(-1).expand(n, batch, 2)
    x = torch.zeros(1, 1).expand(batch, x_dim)
    more = None if pilot is None else draws_of(batch, pilot, x_dim)
    return PosteriorDraws(nn.Identity(), x, theta, log_prob, more)


@pytest.mark.parametrize(
    ("batch", "n", "x_dim", "pilot"),
    [(200, 10_000, 10, 1_000), (200, 20, 900, None), (7, 600, 3, 900), (5, 30, 3_000, 50)],
)
def test_every_pair_once_and_no_block_too_large(batch, n, x_dim, pilot):
    whole = draws_of(batch, n, x_dim, pilot)
    seen = torch.zeros(n, batch)
    for some, group in whole.groups():
        size = len(group.x)
        assert group.first_row == some.start
        assert torch.equal(group.log_prob, whole.log_prob[:, some])
        assert size == 1 or size * (x_dim + 1) ** 2 <= NUMBERS_OF_MOMENTS
        if pilot is not None:
            assert torch.equal(group.pilot.theta, whole.pilot.theta[:, some])
        for rows, theta in group.blocks():
            assert torch.equal(theta, whole.theta[rows, some])
            assert theta[..., 0].numel() <= ROWS_PER_BLOCK
            assert size == 1 or theta[..., 0].numel() * x_dim <= NUMBERS_PER_BLOCK
            seen[rows, some] += 1
    assert (seen == 1).all()
