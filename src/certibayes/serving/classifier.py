"""A trained classifier: the predictive of its stored weight samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.bnn.predictive import Predictive
from certibayes.serving.certify import CertificateAt, Configured, certify
from certibayes.serving.loaded import Loaded
from certibayes.serving.observations import Numbers, rows


@dataclass(eq=False)
class LoadedClassifier(Loaded):
    """p(y | x) as class probabilities, float64, without gradient.

    Attributes:
        predictive: the float64 ensemble of stored weight samples.
        classes: number of labels, which are 0 to classes - 1.
    """

    predictive: Predictive
    classes: int

    @torch.no_grad()
    def probabilities(self, x: Numbers) -> Tensor:
        """Return p(y | x), shape (batch, classes), for x of shape (x_dim,) or (batch, x_dim).

        Raises:
            ValueError: if x is malformed.
        """
        probabilities: Tensor = self.predictive(rows(x, self.x_dim)).probs
        return probabilities

    def predict(self, x: Numbers) -> Tensor:
        """Return the most probable class, shape (batch,), int64.

        Raises:
            ValueError: if x is malformed.
        """
        return self.probabilities(x).argmax(-1)

    def _certify(
        self, x: Numbers, certificates: tuple[Configured, ...], seed: int | None
    ) -> tuple[CertificateAt, ...]:
        """Certify that the predicted class stays: whether it is right, nobody knows at a new x."""
        observations = rows(x, self.x_dim)
        label = self.predict(observations)
        return certify(self.predictive, observations, label, certificates, seed)
