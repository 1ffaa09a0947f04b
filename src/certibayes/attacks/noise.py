"""Random search: the worst of some uniform points of the ball."""

from __future__ import annotations

from torch import Tensor

from certibayes.attacks.candidate_search import CandidateSearch, Setting
from certibayes.attacks.candidates import Best
from certibayes.config import attacks as specs


class Noise(CandidateSearch):
    """The worst of x and `points` uniform points of the ball, on `selection_draws` draws.

    A baseline: what a perturbation of the same size does without an adversary.
    """

    def __init__(self, spec: specs.Noise) -> None:
        super().__init__(spec)

    def explore(self, setting: Setting, best: Best, points: Tensor) -> int:
        """Offer nothing more than the noise points; see `CandidateSearch.explore`."""
        return 0
