"""Batch normalization as a function of one example."""

from __future__ import annotations

from torch import nn

NORMALIZATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def fix_statistics(network: nn.Module) -> None:
    """Have batch normalization use its stored statistics, in training too; they stay as they are.

    With a batch's own statistics, what the network says of one example depends on the others:
    gradients of single examples, bounds and the mean over weight samples lose their meaning.

    Args:
        network: its batch normalizations are put into evaluation mode.

    Raises:
        ValueError: if one of them stores no statistics; the message names it.
    """
    for name, module in network.named_modules():
        if not isinstance(module, NORMALIZATIONS):
            continue
        if module.running_mean is None:
            raise ValueError(
                f"network.{name}.track_running_stats: got False in a {type(module).__name__}; "
                "allowed: True"
            )
        module.eval()
