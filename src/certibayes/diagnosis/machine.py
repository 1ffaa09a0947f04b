"""The device that networks compute on, and the disk that results go to."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from certibayes.config.errors import ConfigError
from certibayes.diagnosis.finding import Finding
from certibayes.flock import LockHeldError, locked
from certibayes.writing import free_megabytes, user_name

LEAST_MEGABYTES = 1000.0


def torch_device(named: str) -> Finding:
    """Check that the device that a study or the environment names is there."""
    import torch

    from certibayes.device import device_named

    try:
        device = device_named(named)
    except ConfigError as error:
        return Finding(
            "torch device",
            str(error),
            "device: auto in the study file, or a build of torch for this machine's GPU",
        )
    cores = f"{torch.get_num_threads()} of {os.cpu_count()} cores by default; jobs set their own"
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else cores
    return Finding("torch device", f"{device.type} ({named}), {where}")


def disk_space(base: Path) -> Finding:
    """Check that there is room for results."""
    free = free_megabytes(base)
    text = f"{free:.0f} MB free in {base}"
    if free >= LEAST_MEGABYTES:
        return Finding("disk", text)
    return Finding("disk", text, f"make room: at least {LEAST_MEGABYTES:.0f} MB")


def writable(folder: Path) -> Finding:
    """Check that this user may write where a folder lies or will be made."""
    place = next(one for one in (folder, *folder.resolve().parents) if one.exists())
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return Finding("results", f"{folder} can be written")
    return Finding(
        "results",
        f"{place} cannot be written",
        f"let user {user_name()} write there, or run in another folder",
    )


def file_locks(base: Path) -> Finding:
    """Check that two descriptors of one file exclude each other; some network disks fail."""
    path = base / ".certibayes-doctor.lock"
    advice = "put the workflow's folder on a disk with file locks: a local one, NFS without nolock"
    try:
        with locked(path, 0.0):
            try:
                with locked(path, 0.0):
                    return Finding("file locks", f"do not work in {base}", advice)
            except LockHeldError:
                return Finding("file locks", "work")
    except OSError as error:
        return Finding("file locks", str(error), advice)
    finally:
        with suppress(OSError):
            path.unlink()
