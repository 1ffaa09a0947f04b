"""The folder of downloaded data sets."""

from __future__ import annotations

import os
from pathlib import Path

from certibayes.datasets.roots import ROOT_VARIABLE
from certibayes.diagnosis.finding import Finding

NAME = "data root"


def data_folder(named: str | None) -> Finding:
    """Check the folder that the environment names, else the study, as jobs do."""
    variable = os.environ.get(ROOT_VARIABLE)
    root = variable or named
    if not root:
        return Finding(NAME, f"no data_root, no {ROOT_VARIABLE}: downloads and built-in data only")
    key = ROOT_VARIABLE if variable else "data_root"
    path = Path(root)
    if not path.is_dir():
        advice = f"make this folder, or name another one, or none, in {key}"
        return Finding(NAME, f"{key}: {root!r} is no folder", advice)
    if not os.access(path, os.R_OK | os.X_OK):
        return Finding(NAME, f"{key}: {path} cannot be read", "chmod a+rX on it")
    return Finding(NAME, f"{path} ({key})")
