"""What no theta changes is bounded once per observation, for all draws of all blocks."""

import pytest
import torch
from estimator_zoo import estimator_of, trained_here

from certibayes import registry
from certibayes.bounds import graph_rules
from certibayes.bounds.graph import Input
from certibayes.certificates import posterior_draws
from certibayes.certificates.posterior_shift import PosteriorShift
from certibayes.config.certificates import PosteriorShift as Spec
from certibayes.config.embeddings import MLPEmbedding
from certibayes.estimators.bounded_density import standardized_ball
from certibayes.estimators.made import ConditionedMADE
from certibayes.seeding import generator
from certibayes.threat import Ball

EMBEDDING = MLPEmbedding(hidden=(6,), features=3)
FLOW = {"transforms": 2, "hidden": 8, "blocks": 1}
SIZES = {
    "gaussian": {"hidden": (8,)},
    "mixture": {"hidden": (8,), "components": 2},
    "ensemble": {"hidden": (8,)},
    "maf": FLOW,
    "nsf": FLOW | {"bins": 3},
}
PARTS = {"gaussian": 2, "mixture": 2, "ensemble": 4, "maf": 3, "nsf": 3}
"""Embedding and trunk, of each of two members; embedding and the context layers of two MADEs."""
BATCH = 2


@pytest.fixture
def counted(monkeypatch):
    """Count what is built once, intervals of nodes that no theta changes, and masked weights."""
    counts = {"parts": 0, "intervals": 0, "weights": 0}
    once, interval, weights = Input.once, graph_rules.linear_interval, ConditionedMADE.weights

    def counting_once(self, owner, build):
        def counting_build():
            counts["parts"] += 1
            return build()

        return once(self, owner, counting_build)

    def counting_interval(node):
        counts["intervals"] += node.interval.lower.dim() == node.features + 1
        return interval(node)

    def counting_weights(self):
        counts["weights"] += 1
        return weights(self)

    monkeypatch.setattr(Input, "once", counting_once)
    monkeypatch.setattr(graph_rules, "linear_interval", counting_interval)
    monkeypatch.setattr(ConditionedMADE, "weights", counting_weights)
    return counts


def certify(kind, draws, bounds):
    perturbation = {"norm": "linf", "unit": "raw", "epsilons": (0.1,)}
    routed = {} if bounds == "interval" else {"route": "best", "pilot_draws": draws // 2}
    spec = Spec(
        perturbation=perturbation,
        draws=draws,
        comparison_draws=10,
        tau=0.5,
        interval="hoeffding",
        bounds=bounds,
        **routed,
    )
    certificate = PosteriorShift(spec)
    estimator = estimator_of(kind, embedding=EMBEDDING, gain=0.5, **SIZES[kind])
    estimator.eval().requires_grad_(False)
    x = torch.randn(BATCH, 4, generator=generator("x", kind), dtype=torch.float64)
    ball = Ball("linf", torch.full((4,), 0.05, dtype=torch.float64))
    prepared = certificate.prepare(estimator, x, None, seed=1)
    return lambda: certificate.certify(prepared, ball)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[pytest.mark.slow] * (kind == "nsf"))
        for kind in trained_here("log_density_graph")
    ],
)
def test_parts_are_bounded_once_for_all_draws_of_all_blocks(kind, counted, monkeypatch):
    found = {}
    for draws, rows in ((20, 1_000), (20, 8), (60, 8)):
        run = certify(kind, draws, "crown")
        monkeypatch.setattr(posterior_draws, "ROWS_PER_BLOCK", rows)
        counted.update(parts=0, intervals=0, weights=0)
        found[draws, rows] = run(), dict(counted)
    whole, blocks, more = (found[key] for key in found)
    torch.testing.assert_close(whole[0].upper, blocks[0].upper)
    torch.testing.assert_close(whole[0].kl_estimate.mean, blocks[0].kl_estimate.mean)
    assert whole[1]["parts"] == PARTS[kind]
    assert blocks[1]["parts"] == more[1]["parts"] == PARTS[kind] * BATCH
    assert whole[1]["weights"] == more[1]["weights"] == (2 if kind in ("maf", "nsf") else 0)
    if kind in ("maf", "nsf"):
        assert whole[1]["intervals"] > 0
        assert blocks[1]["intervals"] == more[1]["intervals"] == whole[1]["intervals"] * BATCH


def test_masked_weights_are_shared_by_intervals_too(counted, monkeypatch):
    run = certify("maf", 20, "interval")
    monkeypatch.setattr(posterior_draws, "ROWS_PER_BLOCK", 4)
    counted["weights"] = 0
    run()
    assert counted["weights"] <= FLOW["transforms"] * 2, "of the certificate and of its comparison"


def test_an_input_that_does_not_remember_builds_for_every_graph(counted):
    kind, x = "maf", torch.zeros(BATCH, 4, dtype=torch.float64)
    estimator = estimator_of(kind, embedding=EMBEDDING, **SIZES[kind]).requires_grad_(False)
    theta = estimator(x).draw(3, generator("theta"))
    ball = Ball("linf", torch.full((4,), 0.05, dtype=torch.float64))
    perturbed = Input(standardized_ball(estimator, x, ball), tightening=False)
    graph = registry.load("log_density_graph", kind)
    assert graph(estimator, theta, perturbed) is not graph(estimator, theta, perturbed)
    assert counted["parts"] == 2 * PARTS[kind]
