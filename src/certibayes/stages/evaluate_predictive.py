"""Posterior predictive distance: what clean and attacked posteriors predict, against clean x."""

from __future__ import annotations

from torch import Tensor

from certibayes.config.task_spec import Failures, SimulatorSpec
from certibayes.metrics.predictive_distance import predictive_distance
from certibayes.simulation.first_exception import FirstException
from certibayes.simulation.policy import Simulated
from certibayes.simulation.progress import Progress
from certibayes.simulation.rows import simulate_rows
from certibayes.stages.building import build_simulator
from certibayes.stages.data import load_scale
from certibayes.stages.evaluate_subject import Drawn, Subject
from certibayes.stages.findings import Findings, Value, quantiles
from certibayes.tasks.base import PosteriorTask


class PredictiveCheck:
    """Simulates what posteriors predict; the same random numbers for clean and attacked draws.

    Simulations that fail are counted and left out, however many they are; a task's time limit
    holds for them too.
    """

    def __init__(self, subject: Subject) -> None:
        evaluation = subject.job.evaluation
        self._subject = subject
        self._draws = min(evaluation.predictive_draws, evaluation.report_draws)
        self._observations = min(evaluation.predictive_observations, subject.tests)
        self._explain = FirstException()
        self._simulator: PosteriorTask | None = None
        self._skipped = self._reason()
        if self._skipped is None:
            simulator = build_simulator(subject.job, subject.layout)
            assert isinstance(simulator, PosteriorTask)
            self._simulator = simulator

    def _reason(self) -> str | None:
        if not isinstance(self._subject.task, PosteriorTask):
            return "stored pairs: no simulator"
        if self._draws == 0 or self._observations == 0:
            return "off: evaluation.predictive_draws or predictive_observations is 0"
        return None

    def columns(self, findings: Findings, drawn: Drawn) -> dict[str, Value]:
        """Return the distances to the clean observations, in feature stds, or why there are none.

        Medians over draws are items, one per observation; columns are quantiles of these, over
        the observations with a valid simulation.
        """
        if self._simulator is None:
            return {"predictive_skipped": self._skipped}
        theta = drawn.theta[: self._draws, : self._observations]
        simulated = self._simulate(self._simulator, theta.flatten(0, 1), drawn)
        failed = simulated.tally.failed
        counts: dict[str, Value] = {
            "predictive_simulations": len(simulated.x),
            "predictive_failed": failed,
        }
        if failed == len(simulated.x):
            return {**counts, "predictive_skipped": "every simulation failed"}
        scale = load_scale(self._subject.layout, self._subject.job)
        distance = predictive_distance(
            simulated.x.view(self._draws, self._observations, -1),
            self._subject.clean.x[: self._observations],
            scale.feature_std.where(scale.active, 0.0),
        )
        items = {f"predictive_{norm}": values for norm, values in distance._asdict().items()}
        findings.add_items(drawn.key, items)
        for name, values in items.items():
            counts |= quantiles(name, values[~values.isnan()])
        return counts

    def _simulate(self, simulator: PosteriorTask, theta: Tensor, drawn: Drawn) -> Simulated:
        job = self._subject.job
        assert isinstance(job.task_spec, SimulatorSpec)
        failures = Failures(at_most=1.0, time_limit=job.task_spec.failures.time_limit)
        label = f"predictions of {job.model}, {job.defense}, {drawn.method} {drawn.epsilon:g}"
        return simulate_rows(
            simulator,
            theta,
            job.task,
            (job.study_seed, job.task, job.seed, "evaluate", "predictive"),
            failures,
            Progress(label, len(theta)),
            self._explain,
        )
