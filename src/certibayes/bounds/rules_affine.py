"""Rules of affine layers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from certibayes.bounds.affine import affine
from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.interval import Interval
from certibayes.bounds.rules import require_dims, rule


@rule(nn.Linear)
def linear(module: nn.Linear, region: Region) -> Interval:
    """Bound W t + b, exactly for each output by itself."""
    return affine(region, module.weight, module.bias)


@rule(nn.Conv1d, nn.Conv2d)
def convolution(module: nn.Conv1d | nn.Conv2d, region: Region) -> Interval:
    """Bound a convolution with zero padding, exactly for each output by itself.

    Raises:
        ValueError: if the padding mode is not "zeros".
    """
    if module.padding_mode != "zeros":
        raise ValueError(f"padding_mode: got {module.padding_mode!r}; allowed: 'zeros'")
    spatial = len(module.kernel_size)
    require_dims(module, region, spatial + 2)
    bias = None if module.bias is None else module.bias.view(-1, *(1,) * spatial)
    return affine(region, module.weight, bias, lambda t, weight: convolved(module, t, weight))


def convolved(module: nn.Conv1d | nn.Conv2d, t: Tensor, weight: Tensor) -> Tensor:
    """Return the convolution without bias, of the module's geometry, with other weights."""
    convolve = functional.conv1d if isinstance(module, nn.Conv1d) else functional.conv2d
    geometry = (module.stride, module.padding, module.dilation, module.groups)
    return convolve(t, weight, None, *geometry)  # type: ignore[arg-type]
