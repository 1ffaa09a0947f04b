"""`certibayes envs`: requirements.lock as installed, envs/*.yaml generated from it, and the check.

`pyproject.toml` holds the ranges. `requirements.lock` pins everything else that is installed, the
runtime part first; torch and what only its CUDA builds bring is left out, because which build fits
is the machine's affair. `envs/certibayes.yaml` carries the runtime pins inline, since Snakemake
copies the file, plus torch and this package; pip replaces `${CERTIBAYES_SOURCE}`, which the
Snakefile sets to its own folder.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from certibayes.config import ConfigError
from certibayes.workflow.start import SOURCE_VARIABLE

LOCK = Path("requirements.lock")
ENVIRONMENT = Path("envs/certibayes.yaml")
PYPROJECT = Path("pyproject.toml")
PACKAGE = "certibayes"
LEFT_OUT = re.compile(r"(certibayes|torch|triton|nvidia-.*|cuda-.*|pip|setuptools|wheel)$")
RUNTIME, DEVELOPMENT = "# runtime", "# development"
PYTHON = "3.11"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--write", action="store_true", help="write envs/*.yaml")
    parser.add_argument("--lock", action="store_true", help="write both, the lock as installed")


def main(args: argparse.Namespace) -> int:
    """Write what is asked for, then check; 1 with one line per difference."""
    if args.lock:
        LOCK.write_text(lock_text())
    if args.write or args.lock:
        ENVIRONMENT.write_text(environment_text(PYPROJECT.read_text(), LOCK.read_text()))
    findings = differences(PYPROJECT.read_text(), LOCK.read_text(), ENVIRONMENT.read_text())
    for finding in findings:
        print(finding, file=sys.stderr)
    return 1 if findings else 0


def differences(pyproject: str, lock: str, environment: str) -> list[str]:
    """Return what is wrong with the lock and the environment file, one line each."""
    pins = parse_lock(lock)
    findings = []
    for requirement in _requirements(pyproject, development=True):
        name = canonicalize_name(requirement.name)
        if name == "torch":
            continue
        if name not in pins:
            findings.append(f"{LOCK}: {name}: got nothing; allowed: {requirement}")
        elif not requirement.specifier.contains(pins[name], prereleases=True):
            findings.append(f"{LOCK}: {name}: got {pins[name]}; allowed: {requirement.specifier}")
    findings += [
        f"{LOCK}: {name}: got {version}; allowed: nothing, it belongs to torch's build"
        for name, version in pins.items()
        if LEFT_OUT.match(name)
    ]
    if environment != environment_text(pyproject, lock):
        findings.append(f"{ENVIRONMENT}: differs; write it with `certibayes envs --write`")
    return findings


def parse_lock(lock: str, part: str | None = None) -> dict[str, str]:
    """Return the pins of a lock, all or one part's, as versions by canonical name."""
    pins, current = {}, None
    for line in lock.splitlines():
        if line in (RUNTIME, DEVELOPMENT):
            current = line
        elif line and not line.startswith("#") and part in (None, current):
            name, _, version = line.partition("==")
            pins[str(canonicalize_name(name))] = version
    return pins


def environment_text(pyproject: str, lock: str) -> str:
    """Return the conda environment file that a pyproject.toml and a lock give."""
    torch = next(r for r in _requirements(pyproject) if canonicalize_name(r.name) == "torch")
    pins = [f"{name}=={version}" for name, version in parse_lock(lock, RUNTIME).items()]
    own = f"{PACKAGE} @ file://${{{SOURCE_VARIABLE}}}"
    lines = [
        "# Written by `certibayes envs --write`; edit pyproject.toml or the lock instead.",
        f"# By hand: {SOURCE_VARIABLE}=$PWD conda env create -f {ENVIRONMENT} -n {PACKAGE}",
        "channels:",
        "  - conda-forge",
        "  - nodefaults",
        "dependencies:",
        f"  - python={PYTHON}",
        "  - pip",
        "  - pip:",
        *(f'      - "{entry}"' for entry in [str(torch), *pins, own]),
    ]
    return "\n".join(lines) + "\n"


def lock_text() -> str:
    """Return the lock of the environment in which this runs.

    Raises:
        ConfigError: if a dependency is not installed, or out of the range another one asks for.
    """
    installed = {
        str(canonicalize_name(found.name)): found.version.partition("+")[0]
        for found in distributions()
    }
    runtime = _installed_closure(_requirements(PYPROJECT.read_text()), installed)
    everything = _installed_closure(_requirements(PYPROJECT.read_text(), True), installed)
    lines = [
        "# Written by `certibayes envs --lock`. torch has a line of its own in the Makefile.",
        RUNTIME,
        *(f"{name}=={installed[name]}" for name in sorted(runtime)),
        DEVELOPMENT,
        *(f"{name}=={installed[name]}" for name in sorted(everything - runtime)),
    ]
    return "\n".join(lines) + "\n"


def _requirements(pyproject: str, development: bool = False) -> list[Requirement]:
    project = tomllib.loads(pyproject)["project"]
    lines = project["dependencies"]
    if development:
        lines = lines + project["optional-dependencies"]["dev"]
    return [Requirement(line) for line in lines]


def _installed_closure(start: Iterable[Requirement], installed: dict[str, str]) -> set[str]:
    found: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = list(start)
    while waiting:
        requirement = waiting.pop()
        name = str(canonicalize_name(requirement.name))
        key = (name, frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        if name not in installed:
            raise ConfigError(f"{LOCK}: {name} is not installed; allowed: run `make env` first")
        if not requirement.specifier.contains(installed[name], prereleases=True):
            raise ConfigError(f"{LOCK}: {name}: got {installed[name]}; allowed: {requirement}")
        if not LEFT_OUT.match(name):
            found.add(name)
        for line in distribution(name).requires or ():
            needed = Requirement(line)
            if LEFT_OUT.match(canonicalize_name(needed.name)) or not _applies(needed, requirement):
                continue
            waiting.append(needed)
    return found


def _applies(needed: Requirement, by: Requirement) -> bool:
    if needed.marker is None:
        return True
    return any(needed.marker.evaluate({"extra": extra}) for extra in ("", *by.extras))
