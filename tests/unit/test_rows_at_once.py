"""Blocks of rows whose memory does not depend on the network."""

import pytest
import torch
from torch import nn

from certibayes.bnn.predictive import Predictive
from certibayes.bnn.rows_at_once import rows_at_once

CONVOLUTION = nn.Sequential(
    nn.Unflatten(1, (1, 6, 6)), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
)
FUNNEL = nn.Sequential(nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.mark.parametrize(("network", "widest"), [(CONVOLUTION, 4 * 4 * 4), (FUNNEL, 36)])
@pytest.mark.parametrize("samples", [1, 5])
def test_the_widest_layer_of_all_samples_has_as_many_numbers_as_allowed(network, widest, samples):
    model = Predictive.empty(network, samples)
    x = torch.rand(7, 36)
    assert rows_at_once(model, x, 3 * samples * widest) == 3
    assert rows_at_once(model, x, 3 * samples * widest - 1) == 2
    assert rows_at_once(model, x, 1) == 1
    assert not any(module._forward_hooks for module in network.modules())
