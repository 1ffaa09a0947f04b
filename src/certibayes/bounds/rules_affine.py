"""Rules of affine layers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from certibayes.bounds.affine import affine
from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.interval import Interval
from certibayes.bounds.rules import rule


@rule(nn.Linear)
def linear(module: nn.Linear, region: Region) -> Interval:
    """Bound W t + b, exactly for each output by itself."""
    return affine(region, module.weight, module.bias)


@rule(nn.Conv2d)
def conv2d(module: nn.Conv2d, region: Region) -> Interval:
    """Bound a convolution with zero padding, exactly for each output by itself.

    Raises:
        ValueError: if the padding mode is not "zeros".
    """
    if module.padding_mode != "zeros":
        raise ValueError(f"padding_mode: got {module.padding_mode!r}; allowed: 'zeros'")

    def convolve(images: Tensor, weight: Tensor) -> Tensor:
        return functional.conv2d(
            images,
            weight,
            None,
            module.stride,
            module.padding,
            module.dilation,
            module.groups,
        )

    bias = None if module.bias is None else module.bias.view(-1, 1, 1)
    return affine(region, module.weight, bias, convolve)
