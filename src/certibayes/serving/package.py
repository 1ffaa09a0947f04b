"""What it takes to use a model away from its study: weights, units, certificates, in one folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from certibayes.config.certificates import AnyCertificate
from certibayes.config.jobs import Job, ModelJob
from certibayes.config.simulators.own import OwnPairs, OwnSimulator
from certibayes.io import (
    MANIFEST,
    WEIGHTS,
    FileFormatError,
    load_weights,
    read_json,
    write_json,
)
from certibayes.layout import Layout
from certibayes.served import PACKAGE, registered_name

SCALE = "scale.json"
DEPTH = 6
"""Folders between a study's and the weights of a model."""
_CERTIFICATES = TypeAdapter(dict[str, AnyCertificate])


@dataclass(frozen=True)
class PackageLayout(Layout):
    """One folder for everything that a model needs, in place of a study's results."""

    def weights(self, job: ModelJob) -> Path:
        """The folder itself."""
        return self.root

    def reference(self, job: Job) -> Path:
        """The folder itself."""
        return self.root


@dataclass(frozen=True)
class Package:
    """A trained model as files.

    Attributes:
        name: what it is registered as, `<study>.<task>.<model>.<defense>`.
        job: how it was made.
        layout: where its weights and units lie.
        certificates: those of the study, by name; None = the study has no report yet.
    """

    name: str
    job: ModelJob
    layout: Layout
    certificates: Mapping[str, AnyCertificate] | None


def open_package(folder: Path) -> Package:
    """Return the model of a folder: a results folder of a model, its `model`, or a package.

    Raises:
        FileNotFoundError: if there is no model; the message says what was looked for.
        FileFormatError: if a file of it is malformed, or the folder lies outside of its study.
    """
    folder = folder.resolve()
    place = next((one for one in (folder, folder / "model") if (one / MANIFEST).is_file()), None)
    if place is None:
        raise FileNotFoundError(
            f"{folder}: no {MANIFEST}; allowed: "
            "results/<study>/<task>/n<budget>/<model>/<defense>/seed<k>, its folder `model`, "
            "or models:/<name>@<alias> or models:/<name>/<version>"
        )
    if (place / PACKAGE).is_file():
        content = read_json(place / PACKAGE)
        certificates = _certificates(place / PACKAGE, content["certificates"])
        return Package(content["name"], job_of(place), PackageLayout(place), certificates)
    return _of_study(place)


def _of_study(place: Path) -> Package:
    job = job_of(place)
    layout = Layout(place.parents[min(DEPTH, len(place.parents)) - 1])
    if layout.weights(job) != place:
        raise FileFormatError(
            f"{place}: holds {layout.weights(job).relative_to(layout.root)} of study {job.study}; "
            "allowed: a results folder where its study left it"
        )
    name = registered_name(job.study, job.task, job.model, job.defense)
    found = Package(name, _located(job, layout.root.parent.parent), layout, None)
    if not layout.models.is_file():
        return found
    folder = str(place.parent.relative_to(layout.root))
    for entry in read_json(layout.models)["models"]:
        if entry["folder"] == folder:
            certificates = _certificates(layout.models, entry["certificates"])
            return Package(entry["name"], found.job, layout, certificates)
    return found


def write_package(folder: Path, entry: Mapping[str, Any], study: Layout) -> None:
    """Copy a model of a study into a folder of its own.

    Args:
        folder: where the files go.
        entry: the model's part of models.json.
        study: paths of the study.

    Raises:
        FileFormatError: if the copied weights are not those that the study reported on, or not
            those that their manifest records.
        FileNotFoundError: if a file is missing.
    """
    source = study.root / entry["folder"] / "model"
    job = job_of(source)
    folder.mkdir(parents=True)
    for path in (source / WEIGHTS, source / MANIFEST, study.reference(job) / SCALE):
        shutil.copy(path, folder)
    _, manifest = load_weights(folder)
    if manifest["sha256"] != entry["sha256"]:
        raise FileFormatError(
            f"{source}: weights were trained anew after {study.models}; run the study to its report"
        )
    write_json(
        folder / PACKAGE, {"name": entry["name"], "certificates": dict(entry["certificates"])}
    )


def job_of(folder: Path) -> ModelJob:
    """Return how the model of a folder with a manifest was made.

    Raises:
        FileNotFoundError: if there is no manifest.
        FileFormatError: if it is none of a trained model.
    """
    path = folder / MANIFEST
    try:
        return ModelJob.model_validate(read_json(path)["job"])
    except (KeyError, TypeError, ValidationError) as error:
        raise FileFormatError(f"{path}: not the manifest of a trained model: {error}") from None


def _certificates(path: Path, values: Any) -> Mapping[str, AnyCertificate]:
    try:
        return _CERTIFICATES.validate_python(values)
    except ValidationError as error:
        raise FileFormatError(f"{path}: certificates: {error}") from None


def _located(job: ModelJob, base: Path) -> ModelJob:
    """Return the job with the user's own files where they lie: paths are the workflow's."""
    spec = job.task_spec
    if isinstance(spec, OwnSimulator):
        moved: OwnSimulator | OwnPairs = spec.model_copy(update={"file": str(base / spec.file)})
    elif isinstance(spec, OwnPairs):
        moved = spec.model_copy(update={"folder": str(base / spec.folder)})
    else:
        return job
    return job.model_copy(update={"task_spec": moved})
