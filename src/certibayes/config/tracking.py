"""Where and how strictly runs are tracked."""

from __future__ import annotations

from typing import Literal

from certibayes.config.base import Spec


class Tracking(Spec):
    """MLflow settings.

    Attributes:
        mode: "on" (an unreachable server never stops a study), "strict" (it does), or "off".
        uri: tracking address; None = sqlite file `mlflow.db` in the workflow's folder.
    """

    mode: Literal["on", "strict", "off"] = "on"
    uri: str | None = None
