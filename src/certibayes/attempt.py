"""One execution of one job: key, state folder, journal, run, and `run.json` beside the outputs."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import BaseModel

from certibayes.address import workflow_base
from certibayes.config.jobs import Job, ReportJob
from certibayes.flock import locked
from certibayes.integrity import RUN, require_as_recorded
from certibayes.io import MANIFEST, WEIGHTS, sha256_of, write_json
from certibayes.journal import KEY_LENGTH, SUFFIX, Journal, now, read
from certibayes.layout import Layout
from certibayes.process import Interrupted, Interruption, identity
from certibayes.provenance import config_tags, git_tags, names_of, parameters_of, version_tags
from certibayes.reporting import SEND_SECONDS, Reporter, end_killed
from certibayes.resumption import CHECKPOINT, JournaledCheckpoint
from certibayes.writing import WriteError, remove_partial, writing

LOCK_SECONDS = 60.0
log = logging.getLogger(__name__)


def attempt(
    stage: str,
    job: Job | ReportJob,
    code: str,
    layout: Layout,
    *,
    inputs: Sequence[Path],
    outputs: Path,
    parts: Sequence[str] = (".",),
    state_key: BaseModel | None = None,
    tracked: bool = True,
) -> Attempt:
    """Return the context in which a stage does its job.

    The job key is the sha256 of stage, job, code digest and digests of the inputs; where and how
    runs are tracked is no part of it. At the end of the block the outputs' digests are taken and
    `run.json` is renamed into place last; an exception leaves the state for the next attempt.

    Args:
        stage: name of the stage.
        job: the job's slice of the config.
        code: code digest.
        layout: paths of the study.
        inputs: files that the job reads.
        outputs: folder of everything the job writes, and of its `run.json`.
        parts: files and folders below `outputs` that are the job's own, where others write too.
        state_key: what decides which finished parts are of use, when that is less than the job.
        tracked: False for jobs without a run of their own.

    Raises:
        FileNotFoundError: if an input is missing.
        ChangedFileError: if an input is not what the job that made it left.
        LockHeldError: on entering, if another attempt of this job still runs after a minute.
    """
    return Attempt(stage, job, code, layout, inputs, outputs, parts, state_key, tracked)


class Attempt:
    """What a stage uses while it runs; see `attempt`.

    Attributes:
        key: job key.
        state: folder for partial results, kept between attempts.
        checkpoint: state of the unfinished job; loading it cuts the journal where it was saved.
        resumed: whether a checkpoint of an earlier attempt was there at the start.
        device: "cpu", or what `computes_on` said.
        interruption: whether SIGTERM has arrived.
    """

    def __init__(
        self,
        stage: str,
        job: Job | ReportJob,
        code: str,
        layout: Layout,
        inputs: Sequence[Path],
        outputs: Path,
        parts: Sequence[str],
        state_key: BaseModel | None,
        tracked: bool,
    ) -> None:
        self.stage, self.job, self.code, self.layout = stage, job, code, layout
        self.outputs = outputs
        self.parts = parts
        self.tracked = tracked
        self.base = workflow_base(layout)
        digests = {path: sha256_of(path) for path in inputs}
        require_as_recorded(digests)
        self.inputs = {self._relative(path): digest for path, digest in digests.items()}
        self.key = self._key(job)
        self.keeps_state = state_key is not None
        folder = self.key if state_key is None else self._key(state_key)
        self.state = layout.state / folder[:KEY_LENGTH]
        self.interruption = Interruption()
        self.resumed = False
        self.device = "cpu"
        self.number = 0
        self.summary: dict[str, float] = {}
        self._stack = ExitStack()

    def _key(self, job: BaseModel) -> str:
        values = job.model_dump(mode="json", exclude={"tracking"})
        parts = [self.stage, values, self.code, sorted(self.inputs.items())]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _relative(self, path: Path) -> str:
        return os.path.relpath(path.resolve(), self.base)

    def __enter__(self) -> Attempt:
        with ExitStack() as stack:
            stack.enter_context(locked(self.state / "lock", LOCK_SECONDS, str(identity())))
            self._started = time.perf_counter()
            self._clean()
            identifier = uuid.uuid4().hex
            self._end_earlier(identifier)
            path = self.state / f"{self.key[:KEY_LENGTH]}.{self.number}{SUFFIX}"
            self.journal = Journal(path)
            stack.callback(self.journal.close)
            self.journal.header(self._header(identifier))
            self.journal.params(parameters_of(self.job))
            self.checkpoint = JournaledCheckpoint(self.state / CHECKPOINT, self.journal)
            self.resumed = self.checkpoint.exists()
            tracking = self.job.tracking
            self.reporter = Reporter(tracking, self.job.study, self.layout, self.journal)
            if self.tracked:
                self.reporter.start()
            stack.enter_context(self.interruption.installed())
            self._stack = stack.pop_all()
        return self

    def _clean(self) -> None:
        with writing(self.outputs / RUN):
            self.outputs.mkdir(parents=True, exist_ok=True)
            for folder in (self.outputs, *(self.outputs / part for part in self.parts)):
                remove_partial(folder)
            (self.outputs / RUN).unlink(missing_ok=True)
        remove_partial(self.state)

    def _end_earlier(self, identifier: str) -> None:
        """Count earlier attempts; the unfinished ones were killed, for we hold the lock."""
        own = self.state.glob(f"{self.key[:KEY_LENGTH]}.*{SUFFIX}")
        self.number = 1 + max((int(path.name.split(".")[1]) for path in own), default=0)
        for path in sorted(self.state.glob(f"*{SUFFIX}")):
            record = read(path)
            if record.header and record.status is None:
                end_killed(path, identifier)

    def _header(self, identifier: str) -> dict[str, Any]:
        names = names_of(self.job)
        self.provenance = git_tags(self.base) | config_tags(self.layout)
        tags = {
            "attempt_id": identifier,
            "job_key": self.key,
            "stage": self.stage,
            "code": self.code,
            "attempt": str(self.number),
            **names,
            **identity(),
            **self.provenance,
            **version_tags(),
        }
        return {
            "attempt_id": identifier,
            "job_key": self.key,
            "run_name": "/".join([self.stage, *names.values()]),
            "started": now(),
            "tracked": self.tracked,
            "inputs": self.inputs,
            "tags": tags,
        }

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Record values; the store gets them within seconds, the journal at once.

        Raises:
            ValueError: if a metric has another value at this step already.
        """
        self.journal.metrics(values, step)
        self.reporter.flush(after=SEND_SECONDS)

    def stop_if_asked(self) -> None:
        """End the attempt if SIGTERM has arrived; what lies in `state` serves the next one.

        Raises:
            Interrupted: if so.
        """
        if self.interruption.requested:
            raise Interrupted(f"{self.stage} stopped; finished parts are kept in {self.state}")

    def track(self) -> None:
        """Open a run for a job without one of its own, for what people ought to see.

        Raises:
            TrackingError: if tracking is strict and the store fails.
        """
        if self.tracked:
            return
        self.tracked = True
        self.journal.header(self.journal.record.header | {"tracked": True})
        self.reporter.start()

    def params(self, values: Mapping[str, object]) -> None:
        """Record parameters beside those of the job.

        Raises:
            ValueError: if one is recorded already with another value.
        """
        self.journal.params(values)

    def computes_on(self, device: str) -> None:
        """Record the device that the job's networks compute on, in the run and in `run.json`."""
        self.device = device
        self.params({"device": device})

    def artifact(self, path: Path) -> None:
        """Keep a file with the run, beside the weights, which are kept anyway.

        Raises:
            FileNotFoundError: if there is no such file.
        """
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; allowed: one that exists already")
        self.journal.artifact(self._relative(path))

    def finished(self, summary: Mapping[str, float]) -> None:
        """Record the job's closing values, in the run and in `run.json`."""
        self.summary = {name: float(value) for name, value in summary.items()}
        self.journal.final(self.summary)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._stack:
            if kind is None:
                self._succeed()
                return
            stopped = issubclass(kind, Interrupted | KeyboardInterrupt | SystemExit)
            tags = {"error": f"{kind.__name__}: {error}"}
            self._end("KILLED" if stopped else "FAILED", tags)

    def _end(self, status: str, tags: Mapping[str, str]) -> None:
        """Record a failure; where the disk is full too, the next attempt calls this one killed."""
        try:
            self.journal.status(status, tags)
            self.reporter.finish()
        except WriteError as error:
            log.warning("%s", error)

    def _succeed(self) -> None:
        outputs = self._digests()
        seconds = time.perf_counter() - self._started
        self.journal.final({f"{self.stage}/job_seconds": seconds})
        for name in (WEIGHTS, MANIFEST):
            if name in outputs:
                self.artifact(self.outputs / name)
        self.journal.status("FINISHED", {f"output.{name}": d for name, d in outputs.items()})
        self.reporter.finish()
        content = {
            "run_id": self.journal.record.run_id,
            "key": self.key,
            "stage": self.stage,
            "code": self.code,
            **self.provenance,
            "inputs": self.inputs,
            "outputs": outputs,
            "summary": self.summary,
            "seconds": seconds,
            "device": self.device,
            "attempt": self.number,
            "resumed_from": self.checkpoint.resumed_from,
        }
        write_json(self.outputs / RUN, content)
        if not self.keeps_state:
            self.checkpoint.remove()

    def _digests(self) -> dict[str, str]:
        own = [self.outputs / part for part in self.parts]
        files = sorted(path for part in own for path in [part, *part.rglob("*")])
        return {
            str(path.relative_to(self.outputs)): sha256_of(path)
            for path in files
            if path.is_file() and path.name != RUN
        }
