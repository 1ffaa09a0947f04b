"""How probable weights are whose decision no perturbation changes (Wicker et al., 2020)."""

from __future__ import annotations

import math
import time
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from scipy.stats import beta
from torch import Tensor, nn

from certibayes.bnn.mean_field import MeanFieldPosterior
from certibayes.bnn.predictive import Predictive
from certibayes.bnn.rows_at_once import rows_at_once
from certibayes.bounds.ball import BallAround
from certibayes.bounds.weight_intervals import rivals_over_weights
from certibayes.certificates.base import Certificate, CertificateResult, verdicts
from certibayes.certificates.decision import ROUNDING, require_enclosed
from certibayes.certificates.inputs import require_float64, require_in_ball
from certibayes.certificates.weight_boxes import WeightBox, disjoint_boxes
from certibayes.config.certificates import ProbabilisticSafety as ProbabilisticSafetySpec
from certibayes.seeding import generator
from certibayes.threat import Ball

ALPHA = 1e-9
"""Probability that the lower bound of an attack's success fails, per observation."""
ROWS_AT_ONCE = 2**10
"""Observations in a block of bounds."""
MASS_ROUNDING = 1e-9
"""Share of a mass that is given up for rounding."""


@dataclass(frozen=True)
class BoxedObservations:
    """Boxes of weights at observations x, shape (batch, x_dim), with labels, shape (batch,).

    Attributes:
        posterior: of the weights.
        boxes: disjoint ones for every half width.
        drawn: fresh weight vectors, on which attacks are judged.
    """

    posterior: MeanFieldPosterior
    x: Tensor
    target: Tensor
    boxes: tuple[tuple[WeightBox, ...], ...]
    drawn: Predictive


class ProbabilisticSafety(Certificate[BoxedObservations, CertificateResult]):
    """P(w ~ q: for some x' in the ball network w does not decide for the label) <= tau.

    `upper` is 1 minus the mass of boxes of weights, disjoint, each of which is safe: by intervals
    of x' and of the weights together, every rival's logit stays below the label's. Of several half
    widths the one with most safe mass counts. Deterministic: draws choose where boxes lie, the
    bound holds for any choice. Where the mass vanishes `upper` is 1 and the verdict unknown.
    """

    def __init__(self, spec: ProbabilisticSafetySpec) -> None:
        self.spec = spec

    def prepare(
        self, model: nn.Module, x: Tensor, target: Tensor | None, seed: int
    ) -> BoxedObservations:
        """Lay the boxes around the mean and the stored weight vectors.

        Raises:
            ValueError: if the model is no MeanFieldPosterior, model or x are not float64, or there
                are no labels.
        """
        if not isinstance(model, MeanFieldPosterior):
            raise ValueError(f"model: got {type(model).__name__}; allowed: a MeanFieldPosterior")
        require_float64(model, x)
        if target is None or target.dtype != torch.int64 or target.shape != x.shape[:1]:
            raise ValueError(f"target: got {target}; allowed: labels, int64, ({len(x)},)")
        samples = model.standardized(model.stored.weight_samples)
        mean = torch.zeros_like(samples[:1])
        centers = torch.cat([mean, samples])[: self.spec.boxes]
        boxes = tuple(tuple(disjoint_boxes(centers, half)) for half in self.spec.half_widths)
        drawn = model.draw(self.spec.draws, generator(seed, "weights"))
        return BoxedObservations(model, x, target, boxes, drawn)

    def certify(self, prepared: BoxedObservations, ball: Ball) -> CertificateResult:
        """Bound the probability of unsafe weights over the ball around every x.

        Raises:
            ValueError: if an x lies outside the clip range.
            UnsoundBoundError: if surely more of the drawn weights are wrong at x itself.
        """
        start = time.perf_counter()
        ball = ball.to(prepared.x)
        ball.require_inside_clip(prepared.x)
        safe = [self._mass(prepared, boxes, ball) for boxes in prepared.boxes]
        upper = 1 - torch.stack(safe).amax(0).clamp(max=1.0)
        require_enclosed(_surely_wrong(prepared, prepared.x), upper)
        return CertificateResult(
            upper=upper,
            lower=torch.full_like(upper, -torch.inf),
            verdict=verdicts(upper <= self.spec.tau, torch.zeros_like(upper).bool()),
            confidence=1.0,
            seconds=time.perf_counter() - start,
        )

    def refute(
        self,
        prepared: BoxedObservations,
        result: CertificateResult,
        attacked: Tensor,
        ball: Ball,
    ) -> CertificateResult:
        """Confront a result with attacked observations.

        `lower` is the Clopper-Pearson lower bound, confidence 1 - 1e-9, of the probability that
        weights are wrong at the attacked x; refuted where it exceeds tau.

        Raises:
            ValueError: if an attacked x is not float64 or lies outside the ball.
            UnsoundBoundError: if that probability exceeds `upper`.
        """
        require_in_ball(ball.to(prepared.x), prepared.x, attacked)
        reached = _surely_wrong(prepared, attacked)
        require_enclosed(reached, result.upper)
        return replace(
            result,
            lower=torch.maximum(result.lower, reached),
            verdict=verdicts(result.certified, result.refuted | (reached > self.spec.tau)),
        )

    @torch.no_grad()
    def _mass(
        self, prepared: BoxedObservations, boxes: tuple[WeightBox, ...], ball: Ball
    ) -> Tensor:
        """Return the mass of the boxes that are safe at every x, shape (batch,)."""
        posterior, total = prepared.posterior, torch.zeros_like(prepared.x[:, 0])
        for box in boxes:
            center = _with_weights(posterior, posterior.at((box.lower + box.upper) / 2))
            half = posterior.get_buffer("std") * (box.upper - box.lower) / 2
            radius = _with_weights(posterior, posterior.named(half * (1 + MASS_ROUNDING)))
            worst = [
                rivals_over_weights(center, radius, y, BallAround(x, ball).region())
                for x, y in zip(
                    prepared.x.split(ROWS_AT_ONCE),
                    prepared.target.split(ROWS_AT_ONCE),
                    strict=True,
                )
            ]
            total += math.exp(box.log_mass) * (torch.cat(worst) < -ROUNDING)
        return total * (1 - MASS_ROUNDING)


def _with_weights(posterior: MeanFieldPosterior, weights: dict[str, Tensor]) -> nn.Sequential:
    network = deepcopy(posterior.network)
    if not isinstance(network, nn.Sequential):
        raise TypeError(f"network: got {type(network).__qualname__}; allowed: a Sequential")
    for name, parameter in network.named_parameters():
        parameter.copy_(weights[name])
    return network


@torch.no_grad()
def _surely_wrong(prepared: BoxedObservations, x: Tensor) -> Tensor:
    """Return lower bounds of the probability that weights do not decide for the label at x."""
    n = prepared.drawn.samples
    size = rows_at_once(prepared.drawn, x)
    wrong = []
    for one, y in zip(x.split(size), prepared.target.split(size), strict=True):
        logits = prepared.drawn.sample_logits(one)
        label = y.expand(n, -1).unsqueeze(-1)
        rival = logits.scatter(-1, label, -torch.inf).amax(-1)
        wrong.append((rival >= logits.gather(-1, label).squeeze(-1)).sum(0))
    counts = torch.cat(wrong).double().cpu().numpy()
    bound = torch.from_numpy(beta.ppf(ALPHA, counts, n - counts + 1))
    return torch.where(bound.isnan(), 0.0, bound).to(x)
