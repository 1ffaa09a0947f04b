"""How each number of a report was made: the recorded run of every job behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from certibayes.config.jobs import EvaluateJob, ReportJob
from certibayes.io import read_json
from certibayes.layout import Layout
from certibayes.recorded_run import recorded_run

RUN = "run.json"
SHORT = 8


@dataclass(frozen=True)
class MadeBy:
    """One job, as its run.json tells it.

    Attributes:
        folder: where its outputs lie, relative to the study's folder.
        stage: name of the stage.
        run_id: run in MLflow, None if no tracking server has it.
        commit: of the checkout, None outside of one.
        dirty: whether the checkout had changes that no commit holds.
        output: one of its files, relative to its folder; a target for Snakemake.
        seconds: that the job took.
        device: on which its networks computed.
        attempt: number of the attempt that finished.
    """

    folder: Path
    stage: str
    run_id: str | None
    commit: str | None
    dirty: bool
    output: str
    seconds: float
    device: str
    attempt: int


@dataclass(frozen=True)
class Origin:
    """Where the whole page comes from.

    Attributes:
        study_file: the resolved study, as a command names it.
        run_id: the report's own run, None if no tracking server has it.
        commit: of the checkout, None outside of one.
        dirty: whether the checkout had changes that no commit holds.
        version: of this package.
        made: day and time, UTC.
        runs: address of a run's page in MLflow by its id; None where no server was reached.
    """

    study_file: str
    run_id: str | None
    commit: str | None
    dirty: bool
    version: str
    made: str
    runs: Callable[[str], str] | None


def jobs_of(job: ReportJob, layout: Layout, task: str) -> list[MadeBy]:
    """Return the finished jobs behind a task's numbers, in the order of the stages."""
    models = [model for model in job.models if model.task == task]
    return [_read(layout, folder) for folder in _folders(models, layout)]


def _folders(models: Sequence[EvaluateJob], layout: Layout) -> Iterator[Path]:
    first = models[0]
    places = [layout.decoder(first), layout.shard(first, 0), layout.reference(first)]
    for model in models:
        places.append(layout.weights(model))
        places += [layout.attack(model, name) for name in model.attacks]
        places += [layout.certify(model, name) for name in model.certificates]
        places.append(layout.evaluate(model))
    yield from (place for place in places if (place / RUN).is_file())


def _read(layout: Layout, folder: Path) -> MadeBy:
    run: dict[str, Any] = read_json(folder / RUN)
    return MadeBy(
        folder=folder.relative_to(layout.root),
        stage=run["stage"],
        run_id=recorded_run(folder / RUN),
        commit=run.get("git_commit"),
        dirty=run.get("git_dirty") == "true",
        output=min(run["outputs"], default=RUN),
        seconds=run["seconds"],
        device=run["device"],
        attempt=run["attempt"],
    )


def table(jobs: Sequence[MadeBy], origin: Origin) -> str:
    """Return one line per job, HTML, and the command that makes one of them again."""
    lines = "\n".join(
        f"<tr><td>{escape(one.stage)}</td><td><code>{escape(one.folder.as_posix())}</code></td>"
        f"<td>{run_link(one.run_id, origin)}</td><td>{commit_text(one.commit, one.dirty)}</td>"
        f"<td>{one.seconds:.1f}</td><td>{escape(one.device)}</td><td>{one.attempt}</td></tr>"
        for one in jobs
    )
    last = jobs[-1]
    study = Path(origin.study_file).parent
    target = (study / last.folder / last.output).as_posix()
    return (
        '<div class="wide"><table class="left"><thead><tr><th>stage</th><th>folder</th>'
        "<th>MLflow run</th><th>commit</th><th>seconds</th><th>device</th><th>attempt</th></tr>"
        f"</thead><tbody>\n{lines}\n</tbody></table></div>\n"
        "<p>Make a file again, and follow one back to its run, inputs and code:</p>\n"
        f"<pre>snakemake --cores 1 --configfile {escape(origin.study_file)} {escape(target)}\n"
        f"certibayes trace {escape(target)}</pre>"
    )


def run_link(run_id: str | None, origin: Origin) -> str:
    """Return a run's short id, linked to MLflow where a server's address is known."""
    if run_id is None:
        return "not tracked"
    short = f"<code>{escape(run_id[:SHORT])}</code>"
    if origin.runs is None:
        return f'<span title="{escape(run_id)}">{short}</span>'
    return f'<a href="{escape(origin.runs(run_id))}" title="{escape(run_id)}">{short}</a>'


def commit_text(commit: str | None, dirty: bool) -> str:
    """Return a commit's short name, and whether there were changes on top of it."""
    if commit is None:
        return "no checkout"
    changed = " + changes" if dirty else ""
    return f'<code title="{escape(commit)}">{escape(commit[:SHORT])}</code>{changed}'
