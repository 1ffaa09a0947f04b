"""The state of the tracking store: a sqlite file, a server, or another database."""

from __future__ import annotations

import re
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from certibayes.address import (
    TIMEOUT_SECONDS,
    TrackingError,
    database_file,
    require_reachable,
    store_uri,
)
from certibayes.config.tracking import Tracking
from certibayes.diagnosis.finding import Finding

NAME = "tracking"
LATER = "a study in mode on goes on without it, `certibayes sync` replays its journals later"
REFILL = "move it away; `certibayes sync --again` fills a new one from the journals"
MIGRATIONS = Path("store") / "db_migrations" / "versions"


def tracking_store(tracking: Tracking, base: Path) -> Finding:
    """Check that the store of a study can take runs."""
    if tracking.mode == "off":
        return Finding(NAME, "off")
    uri = store_uri(tracking, base)
    path = database_file(uri)
    return _server(uri) if path is None else _sqlite(path)


def _sqlite(path: Path) -> Finding:
    if not path.exists():
        return Finding(NAME, f"{path} will be made")
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1)) as database:
            ((schema,),) = database.execute("select version_num from alembic_version").fetchall()
            ((state,),) = database.execute("pragma quick_check(1)").fetchall()
    except (sqlite3.Error, ValueError) as error:
        if "locked" in str(error):
            advice = "another process keeps it for itself: wait for it, or stop it"
            return Finding(NAME, f"{path}: {error}", advice)
        return Finding(NAME, f"{path} is broken: {error}", REFILL)
    if state != "ok":
        return Finding(NAME, f"{path} is broken: {state}", REFILL)
    known, newest = _schemas()
    if schema not in known:
        advice = f"make env, for the MLflow that wrote it, or {REFILL}"
        return Finding(NAME, f"{path}: schema {schema} is of another MLflow", advice)
    note = "" if schema == newest else f", brought to {newest} when a study starts"
    return Finding(NAME, f"{path}: schema {schema}{note}, check ok")


@cache
def _schemas() -> tuple[frozenset[str], str]:
    """Return the revisions that the installed MLflow knows, and the newest; it is not imported."""
    spec = find_spec("mlflow")
    places = [] if spec is None else spec.submodule_search_locations or []
    files = [path for place in places for path in (Path(place) / MIGRATIONS).glob("*.py")]
    texts = [path.read_text() for path in files]
    own = {text for one in texts for text in re.findall(r'^revision = "(\w+)"', one, re.M)}
    earlier = {text for one in texts for text in re.findall(r'^down_revision = "(\w+)"', one, re.M)}
    return frozenset(own), next(iter(own - earlier), "")


def _server(uri: str) -> Finding:
    try:
        require_reachable(uri)
    except TrackingError as error:
        advice = f"start the server, or correct tracking.uri; {LATER}"
        return Finding(NAME, str(error), advice)
    if not uri.startswith("http"):
        return Finding(NAME, "database server answers")
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=TIMEOUT_SECONDS) as answer:
            text = answer.read(100).decode(errors="replace").strip()
    except urllib.error.HTTPError as error:
        advice = "correct tracking.uri, or set MLFLOW_TRACKING_USERNAME and _PASSWORD"
        return Finding(NAME, f"{uri} refuses: {error}", f"{advice}; {LATER}")
    except OSError as error:
        advice = f"it takes connections and does not answer: start it again; {LATER}"
        return Finding(NAME, f"{uri}: {error}", advice)
    if text != "OK":
        advice = f"correct tracking.uri: something else lives there; {LATER}"
        return Finding(NAME, f"{uri} is no MLflow server: it says {text!r}", advice)
    return Finding(NAME, "server answers")
