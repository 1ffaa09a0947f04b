"""Where networks compute: on the CPU, or on a GPU where there is one."""

from __future__ import annotations

import os

import torch

from certibayes.config.errors import ConfigError
from certibayes.config.study import DEVICES

DEVICE_VARIABLE = "CERTIBAYES_DEVICE"


def chosen_device() -> torch.device:
    """Return the device that $CERTIBAYES_DEVICE names: cpu, cuda, or auto (the default).

    `auto` is CUDA where there is one. Nothing else reads the variable: which device computes is no
    part of a job, and random numbers are drawn on the CPU, so that they are the same on both.

    Raises:
        ConfigError: if the name is another one, or if it is cuda and there is none.
    """
    return device_named(os.environ.get(DEVICE_VARIABLE) or "auto")


def device_named(named: str) -> torch.device:
    """Return the device of a name: cpu, cuda, or auto.

    Raises:
        ConfigError: if the name is another one, or if it is cuda and there is none.
    """
    if named not in DEVICES:
        raise ConfigError(f"{DEVICE_VARIABLE}: got {named!r}; allowed: {', '.join(DEVICES)}")
    available = torch.cuda.is_available()
    if named == "cuda" and not available:
        raise ConfigError(
            f"device or {DEVICE_VARIABLE}: got 'cuda', but torch {torch.__version__} finds no such "
            "device; allowed here: auto, cpu"
        )
    return torch.device("cuda" if available and named != "cpu" else "cpu")
