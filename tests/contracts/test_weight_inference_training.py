"""Every way of inferring weights through the trainer: resumed to the bit, with any objective."""

from __future__ import annotations

import math

import pytest
import torch
from inference_zoo import SPECS, VARIANTS, classifier
from torch import Tensor

from certibayes import registry
from certibayes.bnn.base import WeightInference
from certibayes.checkpoint import Checkpoint
from certibayes.config.defenses import RobustLikelihood
from certibayes.config.models import Training
from certibayes.config.threat import BoundedPerturbationAt
from certibayes.process import Interrupted
from certibayes.rows import Rows
from certibayes.seeding import generator
from certibayes.threat import Scale
from certibayes.training import fit

VALIDATION = 30
SPEC = Training(epochs=5, batch_size=16, learning_rate=0.02, checkpoint_seconds=1e6)
ROBUST = RobustLikelihood(
    perturbation=BoundedPerturbationAt(norm="linf", unit="feature_std", epsilon=0.1),
    clean_weight=0.5,
)


class After:
    """Requests an interruption at a given look (one per step, or per block of one over all)."""

    def __init__(self, steps: float = math.inf) -> None:
        self.left = steps

    @property
    def requested(self) -> bool:
        self.left -= 1
        return self.left <= 0


def pairs(n: int, name: str) -> Rows:
    x = torch.randn(n, 4, generator=generator(name))
    return Rows((x[:, 0] > x[:, 1]).long() + (x[:, 2] > 1).long(), x)


def train(
    inference: WeightInference, checkpoint: Checkpoint, stop: float = math.inf
) -> list[tuple[int, dict[str, float]]]:
    reported: list[tuple[int, dict[str, float]]] = []
    fit(
        inference,
        registry.load("defense", "robust_likelihood")(ROBUST, Scale(torch.ones(4), 1.0), None),
        pairs(70, "training"),
        pairs(VALIDATION, "validation"),
        SPEC,
        seed=7,
        checkpoint=checkpoint,
        interruption=After(stop),
        report=lambda step, metrics: reported.append((step, metrics)),
    )
    return reported


def stored(inference: WeightInference) -> dict[str, Tensor]:
    return inference.sample(inference.stored_samples, generator("stored"))


@pytest.mark.parametrize("form", [*SPECS, *VARIANTS])
def test_resumed_training_with_the_robust_likelihood_equals_uninterrupted(form, tmp_path) -> None:
    whole, before = classifier(form), stored(classifier(form))
    expected = train(whole, Checkpoint(tmp_path / "none"))
    assert any(not torch.equal(value, before[name]) for name, value in stored(whole).items())
    for _, metrics in expected:
        assert all(math.isfinite(value) for value in metrics.values()), metrics
    assert form == "map" or expected[-1][1]["train/posterior_std"] > 0
    checkpoint, reported = Checkpoint(tmp_path / "state"), []
    for stop in (90, 60) if whole.full_batch else (9, 6):
        with pytest.raises(Interrupted):
            reported += train(classifier(form), checkpoint, stop)
    resumed = classifier(form)
    train(resumed, checkpoint)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    for name, value in stored(whole).items():
        assert torch.equal(value, stored(resumed)[name]), name


def test_acceptance_and_r_hat_of_chains_are_reported(tmp_path) -> None:
    reported = [metrics for _, metrics in train(classifier("hmc"), Checkpoint(tmp_path / "a"))]
    for metrics in reported:
        assert 0 <= metrics["train/acceptance"] <= 1
        assert metrics["train/step_size"] > 0
        assert "train/learning_rate" not in metrics


def test_a_request_to_stop_does_not_wait_for_the_end_of_a_trajectory(tmp_path) -> None:
    before = stored(classifier("hmc"))
    checkpoint, inference = Checkpoint(tmp_path / "state"), classifier("hmc")
    with pytest.raises(Interrupted, match="at step 0 of 5"):
        train(inference, checkpoint, 7)
    assert checkpoint.load()["step"] == 0
    for name, value in stored(inference).items():
        assert torch.equal(value, before[name]), name


def test_all_training_pairs_are_read_once(tmp_path, monkeypatch) -> None:
    sizes, batch = [], Rows.batch
    monkeypatch.setattr(Rows, "batch", lambda self, i: sizes.append(len(i)) or batch(self, i))
    train(classifier("hmc"), Checkpoint(tmp_path / "a"))
    assert [size for size in sizes if size != VALIDATION] == [16, 16, 16, 16, 6]


def test_training_anew_forgets_what_was_collected(tmp_path) -> None:
    inference = classifier("swag")
    first = train(inference, Checkpoint(tmp_path / "a"))[-1][1]["train/iterates"]
    assert train(inference, Checkpoint(tmp_path / "b"))[-1][1]["train/iterates"] == first == 6


def test_the_rate_that_is_reported_is_the_one_that_is_taken(tmp_path) -> None:
    rates = {}
    for form in ("map", "swag", "vogn"):
        reported = train(classifier(form), Checkpoint(tmp_path / form))
        rates[form] = [metrics["train/learning_rate"] for _, metrics in reported]
    assert 0 < rates["map"][0] < SPEC.learning_rate
    assert rates["swag"] == [*rates["map"][:2], *[SPECS["swag"].collection_rate] * 3]
    share = [rate / SPEC.learning_rate for rate in rates["map"]]
    assert rates["vogn"] == pytest.approx([SPECS["vogn"].mean_rate * s for s in share])
