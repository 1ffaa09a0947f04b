"""The training loop: resumption to the bit, early stopping, guards."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from certibayes.bnn.base import WeightInference
from certibayes.bnn.bbb import BBB
from certibayes.bnn.map import MAP
from certibayes.clipping import clip_norm
from certibayes.config.defenses import NoDefense as NoDefenseSpec
from certibayes.config.inference import BBBInference, MAPInference
from certibayes.config.models import Training
from certibayes.defenses.none import NoDefense
from certibayes.process import Interrupted
from certibayes.rows import MovedPairs, Rows, pairs_on
from certibayes.threat import Scale
from certibayes.training import FitResult, State, fit
from certibayes.training_schedule import Schedule

SPEC = Training(epochs=5, batch_size=16, learning_rate=0.02, checkpoint_seconds=1e6)
STEPS = 5 * (100 // 16)


@dataclass
class Memory:
    """A checkpoint in memory."""

    stored: State | None = None
    saves: int = 0

    def save(self, state: State) -> None:
        self.stored = deepcopy(state)
        self.saves += 1

    def load(self) -> State | None:
        return deepcopy(self.stored)


class After:
    """Requests an interruption at a given look (one per step)."""

    def __init__(self, steps: float = float("inf")) -> None:
        self.left = steps

    @property
    def requested(self) -> bool:
        self.left -= 1
        return self.left <= 0


@dataclass
class Journal:
    """Everything reported."""

    rows: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def __call__(self, step: int, metrics: dict[str, float]) -> None:
        self.rows.append((step, metrics))


def pairs(n: int, seed: int) -> Rows:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=g)
    return Rows((x[:, 0] > x[:, 1]).long() + (x[:, 2] > 1).long(), x)


def classifier(kind: str) -> WeightInference:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    if kind == "map":
        return MAP(network, MAPInference())
    return BBB(network, BBBInference(stored_samples=4, train_samples=2))


def undefended() -> NoDefense:
    return NoDefense(NoDefenseSpec(), Scale(torch.ones(4), 1.0), None)


def run(
    inference: WeightInference,
    spec: Training = SPEC,
    memory: Memory | None = None,
    stop_after: float = float("inf"),
    journal: Journal | None = None,
    defense: NoDefense | None = None,
    training: Rows | None = None,
) -> FitResult:
    return fit(
        inference,
        defense or undefended(),
        pairs(100, 1) if training is None else training,
        pairs(40, 2),
        spec,
        seed=7,
        checkpoint=memory or Memory(),
        interruption=After(stop_after),
        report=journal or Journal(),
    )


def weights(inference: WeightInference) -> dict[str, Tensor]:
    return inference.state_dict()


@pytest.mark.parametrize("kind", ["map", "bbb"])
@pytest.mark.parametrize("stops", [(1,), (6,), (8, 5), (12, 3, 6), (STEPS,)])
def test_interrupted_training_equals_uninterrupted_to_the_bit(
    kind: str, stops: tuple[int, ...]
) -> None:
    whole = classifier(kind)
    whole_journal = Journal()
    expected = run(whole, journal=whole_journal)
    memory, journal = Memory(), Journal()
    for stop in stops:
        with pytest.raises(Interrupted, match="training stopped at step"):
            run(classifier(kind), memory=memory, stop_after=stop, journal=journal)
    inference = classifier(kind)
    result = run(inference, memory=memory, journal=journal)
    for name, values in weights(whole).items():
        assert torch.equal(values, weights(inference)[name]), name
    assert journal.rows == whole_journal.rows
    assert (result.steps, result.validation) == (expected.steps, expected.validation)
    assert memory.stored is not None
    assert result.seconds >= memory.stored["seconds"]


def test_patience_survives_an_interruption() -> None:
    spec = SPEC.model_copy(update={"epochs": 40, "learning_rate": 0.3, "patience": 2})
    whole = classifier("map")
    expected = run(whole, spec)
    assert expected.steps < 40 * 6
    memory = Memory()
    with pytest.raises(Interrupted):
        run(classifier("map"), spec, memory, stop_after=expected.steps - 3)
    inference = classifier("map")
    assert run(inference, spec, memory).steps == expected.steps
    for name, values in weights(whole).items():
        assert torch.equal(values, weights(inference)[name])


def test_patience_restores_the_best_weights_and_waits_for_the_ramp() -> None:
    spec = SPEC.model_copy(update={"epochs": 40, "learning_rate": 0.3, "patience": 2})
    journal = Journal()
    result = run(classifier("map"), spec, journal=journal)
    objectives = [metrics["train/objective"] for _, metrics in journal.rows]
    assert result.validation == pytest.approx(max(objectives), abs=1e-6)
    assert result.best_epoch == 1 + objectives.index(max(objectives))
    assert result.epochs == len(objectives) == result.best_epoch + 2
    ramped = undefended()
    ramped.ramp_fraction = 0.5
    late = Journal()
    result = run(classifier("map"), spec, journal=late, defense=ramped)
    after_ramp = [m["train/objective"] for step, m in late.rows if step >= 20 * 6]
    assert result.steps >= 20 * 6
    assert result.validation == pytest.approx(max(after_ramp), abs=1e-6)


def test_without_patience_all_epochs_run_and_the_nll_falls() -> None:
    journal = Journal()
    result = run(classifier("map"), journal=journal)
    assert result.steps == STEPS
    assert result.epochs == result.best_epoch == 5
    assert [step for step, _ in journal.rows] == [6, 12, 18, 24, 30]
    nll = [metrics["train/nll"] for _, metrics in journal.rows]
    assert nll[-1] < nll[0]
    assert result.validation_nll == pytest.approx(nll[-1])
    assert journal.rows[-1][1]["train/learning_rate"] == pytest.approx(0.0, abs=1e-12)


def test_a_budget_below_the_batch_size_is_one_step_per_epoch() -> None:
    assert run(classifier("map"), training=pairs(10, 3)).steps == 5


def test_checkpoints_are_saved_on_time() -> None:
    memory = Memory()
    run(classifier("map"), SPEC.model_copy(update={"checkpoint_seconds": 1e-9}), memory)
    assert memory.saves == STEPS


def test_a_loss_that_is_not_finite_names_step_and_loss() -> None:
    broken = pairs(16, 1)
    broken.x[3, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="train/loss: got nan at step 0 of 5"):
        run(classifier("map"), training=broken)


class Exploding(NoDefense):
    """The plain log-likelihood, NaN from a share of training on."""

    ramp_fraction = 0.0
    explodes_at = 0.0

    def objective(self, model, target, x, progress, generator):  # type: ignore[no-untyped-def]
        value = super().objective(model, target, x, progress, generator)
        explodes = self.explodes_at <= progress < 1.0
        return value * math.nan if explodes else value


def exploding(at: float) -> Exploding:
    defense = Exploding(NoDefenseSpec(), Scale(torch.ones(4), 1.0), None)
    defense.explodes_at = at
    return defense


@pytest.mark.parametrize("patience", [None, 9])
@pytest.mark.parametrize("stop_after", [float("inf"), 14])
def test_the_best_weights_are_restored_and_the_result_says_so(
    patience: int | None, stop_after: float
) -> None:
    spec = SPEC.model_copy(
        update={"epochs": 10, "learning_rate": 0.3, "non_finite": "restore", "patience": patience}
    )
    inference, journal, memory = classifier("map"), Journal(), Memory()
    if stop_after < 60:
        with pytest.raises(Interrupted):
            run(inference, spec, memory, stop_after, journal, exploding(0.75))
        inference = classifier("map")
    result = run(inference, spec, memory, journal=journal, defense=exploding(0.75))
    objectives = [metrics["train/objective"] for _, metrics in journal.rows]
    assert result.stopped == "train/loss: got nan at step 45 of 60; allowed: a finite number"
    assert (result.steps, result.epochs) == (45, 7)
    assert result.best_epoch == 1 + objectives.index(max(objectives))
    assert result.validation == pytest.approx(max(objectives), abs=1e-6)
    assert all(torch.isfinite(values).all() for values in weights(inference).values())


def test_without_the_policy_a_loss_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(FloatingPointError, match="got nan at step 24 of 30"):
        run(classifier("map"), SPEC.model_copy(update={"patience": 9}), defense=exploding(0.8))


def test_nothing_to_restore_is_an_error_that_says_so() -> None:
    spec = SPEC.model_copy(update={"non_finite": "restore"})
    with pytest.raises(FloatingPointError, match=r"step 3 of 30; .*; no finished epoch to return"):
        run(classifier("map"), spec, defense=exploding(0.1))


def test_the_policy_alone_keeps_the_last_weights_and_changes_none() -> None:
    spec = SPEC.model_copy(update={"learning_rate": 0.3, "epochs": 10})
    expected, inference = classifier("map"), classifier("map")
    before = run(expected, spec)
    after = run(inference, spec.model_copy(update={"non_finite": "restore"}))
    assert after.stopped is None
    assert (after.best_epoch, after.validation_nll) == (10, before.validation_nll)
    for name, values in weights(expected).items():
        assert torch.equal(values, weights(inference)[name])


def test_weights_that_the_last_step_broke_are_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: MAP, step: object) -> None:
        if step.number == STEPS - 1:  # type: ignore[attr-defined]
            for parameter in self.parameters():
                parameter.data.fill_(math.nan)

    monkeypatch.setattr(MAP, "after_step", broken)
    with pytest.raises(FloatingPointError, match="train/nll: got nan after step 30 of 30"):
        run(classifier("map"))
    result = run(classifier("map"), SPEC.model_copy(update={"non_finite": "restore"}))
    assert result.stopped == "train/nll: got nan after step 30 of 30; allowed: a number"
    assert result.best_epoch < 5
    assert math.isfinite(result.validation_nll)


def test_a_gradient_whose_norm_exceeds_float32_is_clipped_to_its_direction() -> None:
    gradient = torch.tensor([3e25, -4e25])
    clip_norm([gradient], 5.0, "at step 0 of 1")
    torch.testing.assert_close(gradient, torch.tensor([3.0, -4.0]))
    with pytest.raises(FloatingPointError, match="largest gradient: got inf at step 0 of 1"):
        clip_norm([torch.tensor([torch.inf, 1.0])], 5.0, "at step 0 of 1")


def test_no_pairs_is_an_error_that_names_the_part() -> None:
    with pytest.raises(ValueError, match="training: got 0 pairs"):
        run(classifier("map"), training=pairs(0, 1))


def test_without_a_defense_the_objective_that_stops_is_minus_the_nll() -> None:
    spec = SPEC.model_copy(update={"epochs": 40, "learning_rate": 0.3, "patience": 2})
    journal = Journal()
    result = run(classifier("map"), spec, journal=journal)
    nll = [metrics["train/nll"] for _, metrics in journal.rows]
    assert [m["train/objective"] for _, m in journal.rows] == pytest.approx([-n for n in nll])
    assert result.validation_nll == pytest.approx(min(nll), abs=1e-6)
    assert nll[-1] > min(nll)


SCHEDULES = [
    {"schedule": "constant"},
    {"schedule": "cosine", "warmup_steps": 8},
    {"schedule": "plateau", "plateau_epochs": 2, "epochs": 12, "learning_rate": 0.3},
]


@pytest.mark.parametrize("fields", SCHEDULES, ids=lambda fields: fields["schedule"])
def test_an_interrupted_schedule_goes_on_where_it_was(fields: dict[str, object]) -> None:
    spec = SPEC.model_copy(update=fields)
    whole, resumed = Journal(), Journal()
    expected, memory = classifier("map"), Memory()
    run(expected, spec, journal=whole)
    for stop in (5, 14, 11):
        with pytest.raises(Interrupted):
            run(classifier("map"), spec, memory, stop_after=stop, journal=resumed)
    inference = classifier("map")
    run(inference, spec, memory, journal=resumed)
    assert resumed.rows == whole.rows
    for name, values in weights(expected).items():
        assert torch.equal(values, weights(inference)[name])


def test_a_plateau_halves_the_rate_of_the_run() -> None:
    spec = SPEC.model_copy(update=SCHEDULES[2])
    journal = Journal()
    run(classifier("map"), spec, journal=journal)
    rates = [metrics["train/learning_rate"] for _, metrics in journal.rows]
    schedule = Schedule(spec, 1000)
    for rate, (_, metrics) in zip(rates, journal.rows, strict=True):
        schedule.observe(metrics["train/objective"])
        assert schedule.rate(500) in (rate, 0.5 * rate)
    assert rates[-1] < rates[0]
    assert {round(math.log2(0.3 / rate), 9) % 1 for rate in rates} == {0.0}


def test_pairs_in_memory_and_pairs_in_files_move_to_the_device_of_the_weights() -> None:
    rows, device = pairs(10, 1), torch.device("meta")
    moved = pairs_on(rows, device)
    assert isinstance(moved, Rows)
    streamed = MovedPairs(rows, device)
    assert len(moved) == len(streamed) == 10
    batches = [*streamed.batches(torch.arange(10), 4), streamed.batch(torch.arange(2))]
    assert {part.device.type for pair in batches for part in pair} == {"meta"}
    assert [len(x) for _, x in batches] == [4, 4, 2, 2]
    assert pairs_on(rows, torch.device("cpu")) is rows
