"""`certibayes simulate|gather|train|...`: one job, as a rule starts it."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from importlib import import_module
from pathlib import Path
from types import TracebackType

from pydantic import TypeAdapter

from certibayes.config import ConfigError
from certibayes.config.jobs import (
    AttackJob,
    CertifyJob,
    DecoderJob,
    EvaluateJob,
    GatherJob,
    Job,
    ModelJob,
    ReportJob,
    SimulateJob,
)
from certibayes.explained import ExplainedError
from certibayes.io import read_json
from certibayes.layout import Layout
from certibayes.outside_clip import OutsideClipError
from certibayes.process import Interrupted, die_with_parent
from certibayes.workflow.plan import TRACKING_VARIABLE
from certibayes.writing import WriteError, writing

JOBS: dict[str, type[Job] | type[ReportJob]] = {
    "decoder": DecoderJob,
    "simulate": SimulateJob,
    "gather": GatherJob,
    "train": ModelJob,
    "retrain": ModelJob,
    "attack": AttackJob,
    "certify": CertifyJob,
    "evaluate": EvaluateJob,
    "report": ReportJob,
}
TERMINATED = 143
EXPLAINED = (ExplainedError, NotADirectoryError, PermissionError)
"""Errors whose message is enough: no traceback is printed."""
RESULTS = Path("results")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    declare(parser, required=True)


def declare(parser: argparse.ArgumentParser, required: bool) -> None:
    """Declare the options of a stage; where the tracking settings come from is the environment."""
    parser.add_argument("--job", required=required, help="the job as JSON, or @FILE")
    parser.add_argument("--code", required=required, help="code digest of the job")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--log", required=required, type=Path)


def main(args: argparse.Namespace) -> int:
    """Run one job; 1 if the study or its files are at fault, 143 after SIGTERM, for a retry."""
    die_with_parent()
    try:
        configure_logging(args.log)
    except WriteError as error:
        print(error, file=sys.stderr)
        return 1
    job = parse_job(args.command, args.job, os.environ.get(TRACKING_VARIABLE))
    _set_threads(args.threads)
    stage = import_module(f"certibayes.stages.{args.command}")
    try:
        stage.run(job, Layout(RESULTS / job.study), code=args.code)
    except EXPLAINED as error:
        logging.getLogger(__name__).error("%s", error)
        return 1
    except OutsideClipError as error:
        logging.getLogger(__name__).error("%s.perturbation.clip: %s", _section(job), error)
        return 1
    except FloatingPointError as error:
        logging.getLogger(__name__).error("%s: %s%s", _section(job), error, _remedy(job))
        return 1
    except Interrupted as error:
        logging.getLogger(__name__).warning("interrupted: %s", error)
        return TERMINATED
    return 0


def _section(job: Job | ReportJob) -> str:
    """Return the part of the study file that a job is about."""
    if isinstance(job, AttackJob):
        return f"attacks.{job.attack}"
    if isinstance(job, CertifyJob):
        return f"certificates.{job.certificate}"
    if isinstance(job, ModelJob):
        return f"models.{job.model}" if job.defense == "none" else f"defenses.{job.defense}"
    return job.study


def _remedy(job: Job | ReportJob) -> str:
    """Return what to do about numbers that are not finite."""
    if type(job) is not ModelJob:
        return ""
    return "; try a smaller learning_rate or gradient_clip of training, or non_finite: restore"


def parse_job(command: str, text: str, tracking: str | None) -> Job | ReportJob:
    """Return the job of a stage from its `job` param and the tracking settings beside it.

    Raises:
        ConfigError: if there are no tracking settings.
        FileFormatError: if the job is in a file that is not JSON.
    """
    if tracking is None:
        raise ConfigError(f"{TRACKING_VARIABLE}: got nothing; allowed: tracking settings as JSON")
    values = read_json(Path(text[1:])) if text.startswith("@") else json.loads(text)
    values["tracking"] = json.loads(tracking)
    job: Job | ReportJob = TypeAdapter(JOBS[command]).validate_python(values)
    return job


def configure_logging(path: Path) -> None:
    """Send this package's records and any traceback to the job's log file and to stderr.

    A line on stderr starts with the job: the log's place below `logs/<study>/`. A line that the
    disk does not take is on stderr alone.

    Raises:
        WriteError: if the file cannot be made.
    """
    logging.raiseExceptions = False
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(path, mode="w")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    terminal = logging.StreamHandler()
    label = "/".join(path.with_suffix("").parts[2:]) or path.stem
    terminal.setFormatter(logging.Formatter(f"[{label}] %(message)s"))
    logger = logging.getLogger("certibayes")
    logger.setLevel(logging.INFO)
    logger.handlers = [file, terminal]
    logger.propagate = False
    sys.excepthook = _log_uncaught


def _log_uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    logging.getLogger(__name__).error("the job failed", exc_info=(kind, error, traceback))


def _set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
