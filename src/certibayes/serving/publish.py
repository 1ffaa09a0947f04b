"""Bring MLflow's model registry to what models.json says: every final model, the best marked."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

from certibayes.config.selection import BEST
from certibayes.flock import LockHeldError, locked
from certibayes.io import FileFormatError, read_json, sha256_of, write_json
from certibayes.layout import Layout
from certibayes.process import identity
from certibayes.published import published, published_file
from certibayes.recorded_run import recorded_run
from certibayes.registration import Registration
from certibayes.serving.package import SCALE, job_of, write_package
from certibayes.tracking import Store, save_served

LOCK_SECONDS = 300.0
log = logging.getLogger(__name__)


def publish(store: Store, layout: Layout) -> int:
    """Register every final model that the registry lacks and set aliases; return how many.

    A version is one package: weights, units and certificates. Its digest stands in a tag, so that
    nothing is registered twice. Versions of earlier weights stay. Aliases: `n<budget>_seed<k>` is
    the newest version of that budget and seed, `best` the best model of the task. What was done is
    written to the state folder; as long as models.json does not change it is not asked again.

    Raises:
        TrackingError: if the store fails; what it has already is not registered again later.
    """
    if not layout.models.is_file():
        return 0
    stamp = {"uri": store.session.uri, "models": sha256_of(layout.models)}
    try:
        with locked(layout.state / "published.lock", LOCK_SECONDS, str(identity())):
            if published(layout) == stamp:
                return 0
            return _publish(store, layout, stamp)
    except LockHeldError as error:
        log.warning("models are being registered by another process: %s", error)
        return 0


def _publish(store: Store, layout: Layout, stamp: dict[str, str]) -> int:
    registration = Registration(store.session)
    entries = read_json(layout.models)["models"]
    versions: dict[str, dict[str, str]] = {}
    added = 0
    for entry in entries:
        try:
            version, new = _version(registration, entry, layout)
        except (FileFormatError, FileNotFoundError) as error:
            log.warning("%s was not registered: %s", entry["folder"], error)
            continue
        registration.point(entry["name"], f"n{entry['budget']}_seed{entry['seed']}", version)
        versions[entry["folder"]] = {"name": entry["name"], "version": version}
        added += new
    for entry in entries:
        found = versions.get(entry["folder"])
        if entry["standing"]["best"] and found is not None:
            family = f"{entry['name'].split('.')[0]}.{entry['task']}."
            registration.point_only(family, BEST, found["name"], found["version"])
    write_json(published_file(layout), {**stamp, "versions": versions})
    return added


def _version(registration: Registration, entry: dict[str, Any], layout: Layout) -> tuple[str, bool]:
    """Return the version of a model and whether it is new."""
    place = layout.root / entry["folder"] / "model"
    job = job_of(place)
    scale = layout.reference(job) / SCALE
    digest = _digest(entry, scale)
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


def _digest(entry: dict[str, Any], scale: Path) -> str:
    parts = [entry["name"], entry["budget"], entry["seed"], entry["sha256"], sha256_of(scale)]
    text = json.dumps([*parts, entry["certificates"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _tags(entry: dict[str, Any], digest: str) -> dict[str, str]:
    names = ("task", "budget", "model", "defense", "seed", "sha256")
    standing = entry["standing"]
    return {
        **{name: str(entry[name]) for name in names},
        "package": digest,
        "fit": f"{standing['fit']:.6g}",
        "criterion": standing["criterion"],
        "value": "none" if standing["value"] is None else f"{standing['value']:.6g}",
    }
