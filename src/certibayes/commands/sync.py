"""`certibayes sync`: bring the tracking store to what journals and models.json say."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from certibayes.address import Session, TrackingError, workflow_base
from certibayes.config import load
from certibayes.config.study import Study
from certibayes.io import FileFormatError
from certibayes.layout import Layout
from certibayes.preparation import connect, prepare, warn_unreachable
from certibayes.reporting import journals, sync
from certibayes.serving.publish import publish
from certibayes.tracking import Store

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), help="study file")
    parser.add_argument(
        "--again", action="store_true", help="replay what was sent already too: the store was lost"
    )
    moment = parser.add_mutually_exclusive_group()
    moment.add_argument(
        "--prepare", action="store_true", help="make database, experiment and parent run, no more"
    )
    moment.add_argument(
        "--close",
        choices=("FINISHED", "FAILED", "KILLED"),
        help="replay what is missing, then end the parent run and runs whose process is gone",
    )


def main(args: argparse.Namespace) -> int:
    """Replay journals and register models that the store lacks; 1 if it cannot be reached."""
    study = load(args.config)
    layout = Layout(workflow_base(Layout(Path("results") / study.study)) / "results" / study.study)
    if study.tracking.mode == "off":
        print("tracking is off: tracking.mode in the study file")
        return 0
    if args.prepare:
        return _prepare(study, layout)
    return _replay(study, layout, args.close, args.again)


def _prepare(study: Study, layout: Layout) -> int:
    try:
        prepare(study.tracking, study.study, layout)
    except TrackingError as error:
        print(f"tracking.mode is strict: {error}", file=sys.stderr)
        return 1
    return 0


def _replay(study: Study, layout: Layout, status: str | None, again: bool) -> int:
    insists = study.tracking.mode == "strict" or status is None
    try:
        session = Session.read(layout)
        if status is None and (session is None or not session.reachable):
            prepare(study.tracking, study.study, layout)
        store = connect(study.tracking, study.study, layout)
        if store is None:
            raise TrackingError("not reachable when the workflow started")
        done = sync(store, layout, again)
        ended = store.close(status) if status is not None else []
    except TrackingError as error:
        warn_unreachable(layout, error)
        return 1 if insists else 0
    complete = _register(store, study, layout)
    waiting = len(journals(layout))
    if done or ended or status is None:
        print(f"{done} journals replayed, {len(ended)} lost runs ended, {waiting} of living jobs")
    return 1 if insists and not complete else 0


def _register(store: Store, study: Study, layout: Layout) -> bool:
    """Register models, after the runs are in order; return whether the registry took them all."""
    try:
        outcome = publish(store, study, layout)
    except (TrackingError, FileFormatError, OSError) as error:
        log.warning("models were not registered (%s); `certibayes sync` tries again", error)
        return False
    if outcome.added:
        print(f"{outcome.added} models registered")
    return not outcome.refused
