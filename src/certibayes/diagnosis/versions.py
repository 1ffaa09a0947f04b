"""Versions of Python and of the packages against those that this package asks for."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from certibayes.diagnosis.finding import Finding

PACKAGE = "certibayes"
OLDEST = (3, 11)
INSTALL = "make env"


def python_version(found: tuple[int, ...] = sys.version_info[:2]) -> Finding:
    """Check that Python is new enough."""
    text = platform.python_version()
    if found >= OLDEST:
        return Finding("python", text)
    oldest = ".".join(map(str, OLDEST))
    return Finding("python", text, f"Python >= {oldest} is needed: make PY=python3.12 env")


def packages(requirements: Iterable[str] | None = None) -> list[Finding]:
    """Check the version of every package that is needed; None = those this package declares."""
    if requirements is None:
        try:
            requirements = requires(PACKAGE) or ()
        except PackageNotFoundError:
            return [Finding(PACKAGE, "not installed", f"{INSTALL}, or pip install -e .")]
    parsed = [Requirement(text) for text in requirements]
    return [_package(one) for one in parsed if one.marker is None or one.marker.evaluate()]


def _package(requirement: Requirement) -> Finding:
    name = requirement.name
    install = f"{INSTALL}, or pip install '{requirement}'"
    try:
        found = version(name)
    except PackageNotFoundError:
        return Finding(name, "not installed", install)
    if not requirement.specifier.contains(found, prereleases=True):
        return Finding(name, f"{found}; allowed: {requirement.specifier}", install)
    return Finding(name, found)
