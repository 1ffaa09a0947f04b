"""Make the tracking store ready for a study: database, experiment, parent run."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from importlib.metadata import version
from typing import Any

from certibayes.address import (
    Session,
    TrackingError,
    artifact_location,
    database_file,
    store_uri,
    workflow_base,
)
from certibayes.config.tracking import Tracking
from certibayes.flock import LockHeldError, locked
from certibayes.journal import now
from certibayes.layout import Layout
from certibayes.process import identity
from certibayes.tracking import ENVIRONMENT, Store, calls, without_password
from certibayes.writing import PARTIAL

LOCK_SECONDS = 300.0
OUTDATED = "out-of-date database schema"
STUDY_KEY = "study_key"


def prepare(tracking: Tracking, study: str, layout: Layout) -> Session | None:
    """Make the store ready for a study's jobs: database, experiment, parent run, session file.

    Any number of processes may call it at the same moment. Returns None when tracking is off; an
    unreachable store is remembered in the session, so that no job waits for it.

    Raises:
        TrackingError: in mode "strict", if the store fails or cannot be reached.
    """
    if tracking.mode == "off":
        return None
    base = workflow_base(layout)
    uri = store_uri(tracking, base)
    try:
        with locked(base / ".mlflow.lock", LOCK_SECONDS, str(identity())):
            create_database(uri)
            migrate(uri)
            with calls(uri) as client:
                experiment = _experiment(client, study, artifact_location(uri, base, study))
                session = Session(uri, True, experiment, _parent(client, experiment, study))
    except (TrackingError, LockHeldError) as error:
        Session(uri, reachable=False).write(layout)
        if tracking.mode == "strict":
            raise
        warn_unreachable(layout, error)
        return Session(uri, reachable=False)
    session.write(layout)
    return session


def connect(tracking: Tracking, study: str, layout: Layout) -> Store | None:
    """Return the study's store, prepared if nobody has; None = off, or known to be unreachable.

    Raises:
        TrackingError: in mode "strict", if the store cannot be reached.
    """
    if tracking.mode == "off":
        return None
    session = Session.read(layout)
    uri = store_uri(tracking, workflow_base(layout))
    file = database_file(uri)
    if session is None or session.uri != uri or (file is not None and not file.exists()):
        session = prepare(tracking, study, layout)
    assert session is not None
    if session.reachable:
        return Store(session)
    if tracking.mode == "strict":
        raise TrackingError(f"{without_password(uri)}: no tracking server reachable")
    return None


def warn_unreachable(layout: Layout, error: RuntimeError) -> None:
    """Say that the study goes on without its store, and what to do later."""
    logging.getLogger(__name__).warning(
        "no tracking server reachable (%s): journals kept in %s, replay with "
        "`certibayes sync --config CONFIG`",
        error,
        layout.state,
    )


def create_database(uri: str) -> None:
    """Make a missing sqlite database under another name, with all tables, and rename it.

    Half a migration would break the file for ever. The caller holds the lock.

    Raises:
        TrackingError: if MLflow cannot make it.
    """
    path = database_file(uri)
    if path is None or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.stem}{PARTIAL}*"):
        left.unlink()
    temporary = path.with_name(f".{path.stem}{PARTIAL}{os.getpid()}.db")
    upgrade(f"sqlite:///{temporary}")
    temporary.replace(path)


def migrate(uri: str) -> None:
    """Bring a database that an older MLflow made up to date; the caller holds the lock.

    Raises:
        TrackingError: if the store fails otherwise.
    """
    try:
        with calls(uri) as client:
            client.search_experiments(max_results=1)
    except TrackingError as error:
        if OUTDATED not in str(error):
            raise
        upgrade(uri)


def upgrade(uri: str) -> None:
    """Bring a database to the schema of the installed MLflow.

    Raises:
        TrackingError: if MLflow cannot.
    """
    command = [sys.executable, "-m", "mlflow", "db", "upgrade", uri]
    answer = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**ENVIRONMENT, **os.environ}
    )
    if answer.returncode != 0:
        last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
        raise TrackingError(f"{without_password(uri)}: mlflow db upgrade failed: {last}")


def _experiment(client: Any, study: str, location: str | None) -> str:
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        return str(client.create_experiment(study, artifact_location=location))
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def _parent(client: Any, experiment: str, study: str) -> str:
    """Find or create the study's parent run, set it running and tag this workflow execution."""
    found = client.search_runs([experiment], f"tags.{STUDY_KEY} = '{study}'", max_results=1)
    if found:
        run_id = str(found[0].info.run_id)
        client.update_run(run_id, status="RUNNING")
    else:
        tags = {STUDY_KEY: study, "stage": "study"}
        run_id = str(client.create_run(experiment, tags=tags, run_name=study).info.run_id)
    who = identity()
    execution = {**who, "snakemake": version("snakemake")}
    client.set_tag(run_id, f"execution.{now()}.{who['pid']}", json.dumps(execution))
    return run_id
