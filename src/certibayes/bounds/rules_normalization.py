"""Rules of normalization layers with fixed statistics."""

from __future__ import annotations

from torch import Tensor, nn

from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.rules import require_dims, rule


@rule(nn.BatchNorm1d, nn.BatchNorm2d)
def batch_norm(module: nn.BatchNorm1d | nn.BatchNorm2d, region: Region) -> Region:
    """Return the image under a fixed scale and shift of every channel, exactly.

    Raises:
        ValueError: in training mode, or without running statistics: the outputs of one example
            then depend on the others.
    """
    require_dims(module, region, *((2, 3) if isinstance(module, nn.BatchNorm1d) else (4,)))
    scale, shift = scale_and_shift(module, region.box.lower.dim() - 2)
    return region.scaled(scale) + shift


def scale_and_shift(module: nn.BatchNorm1d | nn.BatchNorm2d, spatial: int) -> tuple[Tensor, Tensor]:
    """Return s and b with output = s t + b, shape (channels, 1, ...), `spatial` ones.

    Raises:
        ValueError: in training mode, or without running statistics.
    """
    name = type(module).__qualname__
    if module.training:
        raise ValueError(f"{name}.training: got True; allowed: False, call eval() first")
    if module.running_mean is None or module.running_var is None:
        raise ValueError(f"{name}.track_running_stats: got False; allowed: True")
    scale = (module.running_var + module.eps).rsqrt()
    shift = -module.running_mean * scale
    if module.affine:
        scale, shift = scale * module.weight, shift * module.weight + module.bias
    return scale.view(-1, *(1,) * spatial), shift.view(-1, *(1,) * spatial)
