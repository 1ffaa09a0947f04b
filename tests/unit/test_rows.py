"""Training rows: split, read from mapped shards, standardised and trained on as if in memory."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.distributions import constraints

from certibayes import mapped_rows
from certibayes.bnn.map import MAP
from certibayes.config.defenses import NoDefense as NoDefenseSpec
from certibayes.config.models import MAF, Gaussian, MAPInference, Training
from certibayes.defenses.none import NoDefense
from certibayes.estimators import standardization
from certibayes.estimators.gaussian import GaussianEstimator
from certibayes.estimators.maf import MAFEstimator
from certibayes.layout import Layout
from certibayes.mapped_rows import MappedRows
from certibayes.process import Interrupted
from certibayes.rows import Rows, blocks
from certibayes.stages import training_rows
from certibayes.stages.training_rows import is_validation, load_rows
from certibayes.threat import Scale
from certibayes.training import fit

SHARD_SIZE, BUDGET = 300, 1000
THETA_DIM, X_DIM = 3, 5
SPEC = Training(epochs=3, batch_size=16, learning_rate=0.01, checkpoint_seconds=1e6)
BACKENDS = ["memory", "mapped"]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Let a read span windows, shards and reads together, as only large files do otherwise."""
    monkeypatch.setattr(mapped_rows, "WINDOW_BYTES", 1000)
    monkeypatch.setattr(mapped_rows, "READ_BYTES", 5000)
    monkeypatch.setattr(standardization, "BLOCK_VALUES", 500)
    monkeypatch.setattr(standardization, "COLUMN_BYTES", 8000)


@pytest.fixture
def shards(tmp_path):
    """Four shards with failed rows; returns the layout and all pairs with their validity."""
    random = np.random.default_rng(0)
    layout = Layout(tmp_path / "results")
    theta = random.gamma(2.0, size=(4 * SHARD_SIZE, THETA_DIM)).astype(np.float32)
    x = 5 + random.standard_t(2, size=(4 * SHARD_SIZE, X_DIM)).astype(np.float32)
    x[:, 3] = x[:, 0] > 6.5
    x[:, 4] = 3.0
    valid = random.random(4 * SHARD_SIZE) > 0.1
    x[~valid] = np.nan
    for shard in range(4):
        folder = layout.shard(job(), shard)
        folder.mkdir(parents=True)
        rows = slice(shard * SHARD_SIZE, (shard + 1) * SHARD_SIZE)
        for name, values in (("target", theta), ("x", x), ("valid", valid)):
            np.save(folder / f"{name}.npy", values[rows])
    return layout, theta, x, valid


def job(budget=BUDGET, fraction=0.2):
    return SimpleNamespace(
        task="mine",
        budget=budget,
        task_spec=SimpleNamespace(shard_size=SHARD_SIZE, shards=lambda n: -(-n // SHARD_SIZE)),
        model_spec=SimpleNamespace(validation_fraction=fraction),
    )


def loaded(layout, backend, monkeypatch, budget=BUDGET):
    monkeypatch.setattr(training_rows, "IN_MEMORY_BYTES", 2**28 if backend == "memory" else 0)
    parts = load_rows(layout, job(budget))
    for part in parts:
        assert isinstance(part, Rows if backend == "memory" else MappedRows)
    return parts


def everything(pairs):
    target, x = zip(*blocks(pairs, 64), strict=True)
    return torch.cat(target), torch.cat(x)


@pytest.mark.parametrize("backend", BACKENDS)
def test_parts_are_the_valid_rows_of_the_budget_split_by_index(shards, backend, monkeypatch):
    layout, theta, x, valid = shards
    rows = np.flatnonzero(valid[:BUDGET])
    held_out = is_validation(rows, 0.2)
    for part, numbers in zip(
        loaded(layout, backend, monkeypatch), (rows[~held_out], rows[held_out]), strict=True
    ):
        assert len(part) == len(numbers)
        target, observation = everything(part)
        np.testing.assert_array_equal(target, theta[numbers])
        np.testing.assert_array_equal(observation, x[numbers])


def test_a_row_keeps_its_part_in_a_larger_budget(shards, monkeypatch):
    layout, *_ = shards
    small, large = (everything(loaded(layout, "mapped", monkeypatch, n)[1])[1] for n in (500, 1200))
    assert 0 < len(small) < len(large)
    assert torch.equal(small, large[: len(small)])


def test_the_validation_part_has_the_stated_share_and_looks_random():
    rows = np.arange(100_000)
    held_out = is_validation(rows, 0.05)
    assert held_out.mean() == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / len(rows)))
    neighbors = (held_out[1:] & held_out[:-1]).mean()
    assert neighbors == pytest.approx(0.05**2, abs=4 * 0.05 / np.sqrt(len(rows)))


@pytest.mark.parametrize("size", [7, 16, 1000])
def test_batches_are_the_same_mapped_and_in_memory(shards, monkeypatch, size):
    layout, *_ = shards
    memory, mapped = (loaded(layout, backend, monkeypatch)[0] for backend in BACKENDS)
    order = torch.randperm(len(memory), generator=torch.Generator().manual_seed(1))
    order = torch.cat((order, order[:5]))
    pairs = list(zip(memory.batches(order, size), mapped.batches(order, size), strict=True))
    assert len(pairs) == -(-len(order) // size)
    for one, other in pairs:
        for a, b in zip(one, other, strict=True):
            assert torch.equal(a, b)
            assert a.dtype == b.dtype == torch.float32
            assert b.untyped_storage().nbytes() == b.nbytes


def test_labels_and_wide_numbers_get_the_training_types(tmp_path):
    np.save(tmp_path / "y.npy", np.arange(10, dtype=np.int32))
    np.save(tmp_path / "x.npy", np.linspace(0, 1, 20).reshape(10, 2))
    rows = MappedRows([(tmp_path / "y.npy", tmp_path / "x.npy")], 10, np.arange(10))
    target, x = rows.batch(torch.tensor([9, 0, 9]))
    assert (target.dtype, x.dtype) == (torch.int64, torch.float32)
    assert target.tolist() == [9, 0, 9]
    assert rows.nbytes == 10 * (8 + 2 * 4)


def test_files_that_do_not_fit_together_are_refused(tmp_path):
    for name, width in (("a", 2), ("b", 3)):
        np.save(tmp_path / f"{name}.npy", np.zeros((10, width), np.float32))
    np.save(tmp_path / "f.npy", np.zeros((10, 2), np.float32, order="F"))
    a, b, f = (tmp_path / f"{name}.npy" for name in "abf")
    with pytest.raises(ValueError, match=r"b\.npy: got rows of shape \(3,\); allowed: \(2,\)"):
        MappedRows([(a, a), (b, a)], 10, np.arange(20))
    with pytest.raises(ValueError, match=r"f\.npy: got an array in Fortran order"):
        MappedRows([(f, a)], 10, np.arange(10))
    with pytest.raises(ValueError, match="got 2 x and 3 targets"):
        Rows(torch.zeros(3), torch.zeros(2, 1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_streamed_standardization_equals_the_whole_at_once(shards, monkeypatch, backend):
    layout, *_ = shards
    pairs = loaded(layout, backend, monkeypatch)[0]
    estimator = GaussianEstimator(
        Gaussian(), THETA_DIM, X_DIM, constraints.independent(constraints.positive, 1)
    ).double()
    estimator.fit_standardization(pairs)
    theta, x = (values.double() for values in everything(pairs))
    low, median, high = (x.sort(0).values[i] for i in order_statistics(len(x)))
    scale = (high - low) / 1.349
    scale[3] = x[:, 3].std(correction=0)
    scale[4] = 1
    for found, wanted in (
        (estimator.x_location, median),
        (estimator.x_scale, scale),
        (estimator.v_location, theta.log().mean(0)),
        (estimator.v_scale, theta.log().std(0, correction=0)),
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def order_statistics(n):
    quarter = (n - 1) // 4
    return quarter, n // 2, n - 1 - quarter


def trained(parts, kind, stops=()):
    torch.manual_seed(0)
    spec, build = {
        "gaussian": (Gaussian(hidden=(8,)), GaussianEstimator),
        "maf": (MAF(transforms=1, hidden=8, blocks=1), MAFEstimator),
    }[kind]
    estimator = build(spec, THETA_DIM, X_DIM, constraints.independent(constraints.positive, 1))
    estimator.fit_standardization(parts[0])
    inference = MAP(estimator, MAPInference())
    defense = NoDefense(NoDefenseSpec(), Scale(torch.ones(X_DIM).double(), 1.0), None)
    stored, journal = [], []
    for stop in (*stops, None):
        looks = iter(range(10**6))
        with pytest.raises(Interrupted) if stop else nullcontext():
            fit(
                inference,
                defense,
                *parts,
                SPEC,
                seed=3,
                checkpoint=SimpleNamespace(
                    save=stored.append, load=lambda: stored[-1] if stored else None
                ),
                interruption=Stop(looks, stop),
                report=lambda step, values: journal.append((step, values)),
            )
    return inference.state_dict(), journal


class Stop:
    """Asks for an interruption at a given look."""

    def __init__(self, looks, stop):
        self.looks, self.stop = looks, stop

    @property
    def requested(self):
        return next(self.looks) + 1 == self.stop


@pytest.mark.parametrize("kind", ["gaussian", "maf"])
def test_training_is_the_same_to_the_bit_mapped_resumed_and_in_memory(shards, monkeypatch, kind):
    layout, *_ = shards
    memory, mapped = (loaded(layout, backend, monkeypatch) for backend in BACKENDS)
    weights, journal = trained(memory, kind)
    assert len(journal) == SPEC.epochs
    for parts, stops in ((mapped, ()), (mapped, (5, 50)), (memory, (5, 50))):
        others, reports = trained(parts, kind, stops)
        assert reports == journal
        for name, values in weights.items():
            assert torch.equal(values, others[name]), name
