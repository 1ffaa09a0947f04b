"""Which tasks of a study models.json compares completely: a report of a part knows only some."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from certibayes.config.jobs import model_jobs
from certibayes.config.study import Study


def compared_tasks(study: Study, entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the tasks of a study all of whose models have an entry in models.json, sorted.

    Only there is the best of the entries the best of the task.

    Args:
        study: the whole study.
        entries: the models of models.json, of the whole study or of a part.
    """
    keys = ("task", "budget", "model", "defense", "seed")
    known = {tuple(entry[key] for key in keys) for entry in entries}
    jobs = model_jobs(study)
    incomplete = {job.task for job in jobs if tuple(getattr(job, key) for key in keys) not in known}
    return sorted({job.task for job in jobs} - incomplete)
