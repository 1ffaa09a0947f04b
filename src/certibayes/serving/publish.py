"""Bring MLflow's model registry to what models.json says: every final model, the best marked."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from certibayes.address import TrackingError, UnreachableError
from certibayes.comparison import compared_tasks
from certibayes.config.selection import BEST
from certibayes.config.study import Study
from certibayes.flock import LockHeldError, locked
from certibayes.io import MANIFEST, FileFormatError, read_json, sha256_of
from certibayes.layout import Layout
from certibayes.process import identity
from certibayes.published import Published
from certibayes.recorded_run import recorded_run
from certibayes.registration import DIGEST_TAG, Registration
from certibayes.serving.package import SCALE, job_of, write_package
from certibayes.stages.theta_record import THETA
from certibayes.tracking import Store, save_served

LOCK_SECONDS = 300.0
REFUSALS = 3
"""In a row: then it is the store that fails, not a model."""
Entry = Mapping[str, Any]
Versions = dict[str, dict[str, str]]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What a registration did.

    Attributes:
        added: models that got a new version.
        refused: models that the store did not take.
        skipped: models whose files are not those that models.json speaks of, or are missing.
    """

    added: int = 0
    refused: int = 0
    skipped: int = 0


def publish(store: Store, study: Study, layout: Layout) -> Outcome:
    """Register every final model that the registry lacks and set aliases.

    A version is one package: weights, units and certificates. Its digest stands in a tag, so that
    nothing is registered twice. Versions of earlier weights stay. Aliases: `n<budget>_seed<k>` is
    what models.json says of that budget and seed, `best` the best model of the task; it stays where
    it is while models of the task are missing, and goes with a task that leaves the study. What was
    done is written to the state folder: the same models.json is not looked at again, unless
    something was left out or the store is another one. One model that fails stops no other.

    Args:
        store: of the study.
        study: the whole study, also where only a part of it has run.
        layout: its paths.

    Raises:
        UnreachableError: if the store goes away; what it has is not registered again later.
        TrackingError: if the store refuses several models in a row, or the alias of a best one.
        FileFormatError: if models.json is malformed.
        OSError: if the state folder cannot be written.
    """
    if not layout.models.is_file():
        return Outcome()
    try:
        with locked(layout.state / "published.lock", LOCK_SECONDS, str(identity())):
            return _publish(store, study, layout)
    except LockHeldError as error:
        log.warning("models are being registered by another process: %s", error)
        return Outcome()


def _publish(store: Store, study: Study, layout: Layout) -> Outcome:
    entries = read_json(layout.models)["models"]
    compared = compared_tasks(study, entries)
    tasks = sorted({experiment.task for experiment in study.experiments})
    session = store.session
    registry = {
        "uri": session.uri,
        "experiment_id": session.experiment_id,
        "parent_id": session.parent_id,
    }
    aim = {"models": sha256_of(layout.models), "compared": compared, "tasks": tasks}
    known = Published.read(layout)
    if known.registry == registry and known.done == aim:
        return Outcome()
    earlier = known.versions if known.registry == registry else {}
    Published(registry, None, earlier).write(layout)
    registration = Registration(session)
    outcome, found = _register(registration, entries, layout)
    versions = {**earlier, **found}
    Published(registry, None, versions).write(layout)
    best = {entry["task"]: entry for entry in entries if entry["standing"]["best"]}
    chosen = {
        task: found[entry["folder"]]
        for task, entry in best.items()
        if task in compared and entry["folder"] in found
    }
    _mark(registration, study.study, tasks, chosen)
    if not outcome.refused and not outcome.skipped:
        Published(registry, aim, versions).write(layout)
    return outcome


def _register(
    registration: Registration, entries: Sequence[Entry], layout: Layout
) -> tuple[Outcome, Versions]:
    """Register models one by one; return what was done and the versions, by folder."""
    added, skipped, refused, in_a_row = 0, 0, 0, 0
    versions: Versions = {}
    for entry in entries:
        folder, name = entry["folder"], entry["name"]
        try:
            version, new = _version(registration, entry, layout)
            registration.point(name, f"n{entry['budget']}_seed{entry['seed']}", version)
        except (FileFormatError, OSError) as error:
            log.warning("%s was not registered: %s", folder, error)
            skipped += 1
        except TrackingError as error:
            log.warning("%s was not registered: %s", folder, error)
            refused, in_a_row = refused + 1, in_a_row + 1
            if isinstance(error, UnreachableError) or in_a_row == REFUSALS:
                raise
        else:
            versions[folder] = {"name": name, "version": version, "sha256": entry["sha256"]}
            added, in_a_row = added + new, 0
    return Outcome(added, refused, skipped), versions


def _mark(
    registration: Registration,
    study: str,
    tasks: Sequence[str],
    chosen: Mapping[str, Mapping[str, str]],
) -> None:
    """Let the alias name the best version of a task; never two, however this ends."""
    for name in registration.carriers(f"{study}.", BEST):
        task = name.split(".")[1]
        if task not in tasks or (task in chosen and chosen[task]["name"] != name):
            registration.withdraw(name, BEST)
    for found in chosen.values():
        registration.point(found["name"], BEST, found["version"])


def _version(registration: Registration, entry: Entry, layout: Layout) -> tuple[str, bool]:
    """Return the version of a model and whether it is new."""
    place = layout.root / entry["folder"] / "model"
    job = job_of(place)
    scale = layout.reference(job) / SCALE
    digest = _digest(entry, scale, place / MANIFEST)
    known = registration.find(entry["name"], digest)
    if known is not None:
        return known, False
    with tempfile.TemporaryDirectory(prefix="certibayes-") as folder:
        package, saved = Path(folder) / "package", Path(folder) / "saved"
        write_package(package, entry, layout)
        x_dim = len(read_json(scale)["feature_std"])
        save_served(saved, package, x_dim, job.model_spec.form)
        run = recorded_run(place / "run.json")
        return registration.add(entry["name"], digest, saved, run, _tags(entry, digest)), True


def _digest(entry: Entry, scale: Path, manifest: Path) -> str:
    parts = [entry["name"], entry["budget"], entry["seed"], entry["sha256"], sha256_of(scale)]
    theta = read_json(manifest).get(THETA)
    stated = [entry["certificates"]] if theta is None else [entry["certificates"], theta]
    text = json.dumps([*parts, *stated], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _tags(entry: Entry, digest: str) -> dict[str, str]:
    names = ("task", "budget", "model", "defense", "seed", "sha256")
    standing = entry["standing"]
    return {
        **{name: str(entry[name]) for name in names},
        DIGEST_TAG: digest,
        "fit": f"{standing['fit']:.6g}",
        "criterion": standing["criterion"],
        "value": "none" if standing["value"] is None else f"{standing['value']:.6g}",
    }
