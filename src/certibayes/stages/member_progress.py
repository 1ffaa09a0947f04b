"""How far the members of one job are trained, in one checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from torch import Tensor

from certibayes.training import Checkpoint, FitResult, State


@dataclass(frozen=True)
class TrainedMember:
    """A member whose training is over.

    Attributes:
        weights: what the weights file holds of it, without the member's prefix; on the CPU.
        result: what its training took and reached.
    """

    weights: dict[str, Tensor]
    result: FitResult


class MemberProgress:
    """The members trained so far and, as a `Checkpoint`, the state of the one in training."""

    def __init__(self, whole: Checkpoint) -> None:
        """Go on from what a job's checkpoint holds."""
        self._whole = whole
        self.trained: list[TrainedMember] = []
        self._state: State | None = None
        stored = whole.load()
        if stored is not None:
            self._state = stored["state"]
            self.trained = [
                TrainedMember(member["weights"], FitResult(**member["result"]))
                for member in stored["trained"]
            ]

    def save(self, state: State | None) -> None:
        """Store the state of the member in training, beside those that are trained."""
        trained = [
            {"weights": member.weights, "result": asdict(member.result)} for member in self.trained
        ]
        self._whole.save({"trained": trained, "state": state})

    def load(self) -> State | None:
        """Return the stored state of the member in training, or None."""
        return self._state

    def add(self, member: TrainedMember) -> None:
        """Store a member; the next one starts afresh."""
        self.trained.append(member)
        self._state = None
        self.save(None)
