"""A registered model as MLflow serves it: observations in, answers with their certificates out.

MLflow names this module in the model's file and calls `_load_pyfunc`; the model itself is data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from certibayes.seeding import generator
from certibayes.served import FRESH, ServedParams
from certibayes.serving.certify import CertificateAt, fresh_seed
from certibayes.serving.classifier import LoadedClassifier
from certibayes.serving.load import of_package
from certibayes.serving.observations import rows
from certibayes.serving.package import open_package
from certibayes.serving.posterior import LoadedPosterior

Answer = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Served:
    """What answers requests."""

    model: LoadedPosterior | LoadedClassifier

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> list[Answer]:
        """Return an answer per observation.

        Of a posterior: `parameters` (names) and `draws` (n times theta_dim numbers). Of a
        classifier: `probabilities` and `label`, the most probable class. Of both: `certificates`,
        one per certificate of the study and epsilon, and `seed`, which gives the same draws and
        bounds again. A confidence below 1 speaks of `fresh` bounds; under a seed that the request
        states, it is one only if x was chosen without knowledge of it.

        Args:
            model_input: x, shape (batch, x_dim), numbers; an array, a list or a table.
            params: fields of `ServedParams`.

        Raises:
            ValueError: if x or a param is malformed, or an x lies outside the range of a ball.
        """
        asked = ServedParams.of(params or {})
        x = rows(np.asarray(model_input, dtype=np.float64), self.model.x_dim)
        stated = None if asked.seed == FRESH else asked.seed
        found = self.model.certificate(x, seed=stated) if asked.certificate else ()
        seed = _seed(stated, found)
        return [
            {**answer, "certificates": [_as_answer(one, row) for one in found], "seed": seed}
            for row, answer in enumerate(self._answers(x, asked.draws, seed))
        ]

    def _answers(self, x: Tensor, draws: int, seed: int) -> list[Answer]:
        if isinstance(self.model, LoadedClassifier):
            probabilities = self.model.probabilities(x)
            return [
                {"probabilities": row.tolist(), "label": int(row.argmax())} for row in probabilities
            ]
        source = generator("served draws", seed)
        theta = self.model.sample_batched((draws,), x=x, generator=source)
        names = list(self.model.theta_names)
        return [{"parameters": names, "draws": row.tolist()} for row in theta.transpose(0, 1)]


def _seed(stated: int | None, found: tuple[CertificateAt, ...]) -> int:
    """Return the seed of draws: the stated one, that of the certificates, or a fresh one."""
    if stated is not None:
        return stated
    return found[0].seed if found else fresh_seed()


def _as_answer(found: CertificateAt, row: int) -> Answer:
    return {
        "name": found.name,
        "kind": found.kind,
        "norm": found.norm,
        "unit": found.unit,
        "epsilon": found.epsilon,
        "clip": list(found.clip or ()),
        "inactive_features": found.inactive_features,
        "upper": float(found.upper[row]),
        "verdict": "certified" if bool(found.certified[row]) else "unknown",
        "confidence": found.confidence,
        "fresh": found.fresh,
    }


def _load_pyfunc(path: str) -> Served:
    """Return the model of a package; MLflow calls this with the data of the model's file."""
    return Served(of_package(open_package(Path(path))))
