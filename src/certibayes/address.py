"""Where the tracking store lies, absolutely, and whether it can be reached."""

from __future__ import annotations

import os
import socket
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from certibayes.config.tracking import Tracking
from certibayes.explained import ExplainedError
from certibayes.io import read_json, write_json
from certibayes.layout import Layout

BASE_VARIABLE = "CERTIBAYES_BASE"
SQLITE = "sqlite:///"
LOCAL_UI = "http://127.0.0.1:5000"
"""Where `make ui` shows a local database."""
TIMEOUT_SECONDS = 3
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}


class TrackingError(ExplainedError, RuntimeError):
    """The tracking store failed or cannot be reached; the message names it."""


class UnreachableError(TrackingError):
    """Nobody answers at the address of the tracking store."""


def workflow_base(layout: Layout) -> Path:
    """Return the workflow's folder: $CERTIBAYES_BASE, or the one that holds results/<study>."""
    named = os.environ.get(BASE_VARIABLE)
    return Path(named).resolve() if named else layout.root.resolve().parent.parent


def store_uri(tracking: Tracking, base: Path) -> str:
    """Return the tracking address; a relative sqlite path is taken from the workflow's folder."""
    uri = tracking.uri or f"{SQLITE}mlflow.db"
    if uri.startswith(SQLITE):
        return f"{SQLITE}{base / uri.removeprefix(SQLITE)}"
    return uri


def database_file(uri: str) -> Path | None:
    """Return the file of a sqlite address, or None for any other."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def artifact_location(uri: str, base: Path, study: str) -> str | None:
    """Return where artifacts go: a folder of the workflow; None = a server decides by itself."""
    if urlsplit(uri).scheme in ("http", "https"):
        return None
    return (base / "mlartifacts" / study).as_uri()


def require_reachable(uri: str) -> None:
    """Try to connect, for at most 3 seconds; files and proxied servers are taken as reachable.

    Raises:
        UnreachableError: if nobody answers.
    """
    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    if scheme not in PORTS or parts.hostname is None:
        return
    if scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(parts.hostname):
        return
    place = (parts.hostname, parts.port or PORTS[scheme])
    try:
        socket.create_connection(place, TIMEOUT_SECONDS).close()
    except OSError as error:
        raise UnreachableError(
            f"{parts.hostname}:{place[1]}: no tracking server: {error}"
        ) from None


@dataclass(frozen=True)
class Session:
    """What `prepare` found, for the jobs of this workflow execution; no rule reads it.

    Attributes:
        uri: address of the store.
        reachable: False spares every job its own wait.
        experiment_id: the study's experiment.
        parent_id: the study's parent run.
    """

    uri: str
    reachable: bool
    experiment_id: str = ""
    parent_id: str = ""

    def write(self, layout: Layout) -> None:
        """Store it in the study's state folder."""
        write_json(_path(layout), asdict(self))

    @staticmethod
    def read(layout: Layout) -> Session | None:
        """Return the stored session, if there is one."""
        path = _path(layout)
        return Session(**read_json(path)) if path.exists() else None


def _path(layout: Layout) -> Path:
    return layout.state / "tracking.json"


def run_page(session: Session, run_id: str) -> str:
    """Return the address of a run's page: of the server, else of `make ui` on this machine."""
    parts = urlsplit(session.uri)
    place = LOCAL_UI
    if parts.scheme in ("http", "https"):
        port = "" if parts.port is None else f":{parts.port}"
        place = f"{parts.scheme}://{parts.hostname}{port}{parts.path.rstrip('/')}"
    return f"{place}/#/experiments/{session.experiment_id}/runs/{run_id}"
