"""Versions and aliases in MLflow's model registry."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from certibayes.address import Session, TrackingError
from certibayes.tracking import calls, patient

DIGEST_TAG = "package"
DIGITS = 16
PAGE = 100


class Registration:
    """The registered models of one study's store. Every method raises TrackingError on failure.

    Several checkouts may register in one store at the same moment.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    def find(self, name: str, digest: str) -> str | None:
        """Return the version of a model that has a package digest, the first of several."""
        with calls(self.session.uri) as client:
            found = [
                int(version.version)
                for version in _versions(client, name)
                if version.tags.get(DIGEST_TAG) == digest
            ]
        return str(min(found)) if found else None

    def add(
        self, name: str, digest: str, saved: Path, run_id: str | None, tags: Mapping[str, str]
    ) -> str:
        """Store a saved model with a run and register it; return its version.

        If another process registered the same package meanwhile, the first version stays alone.

        Args:
            name: of the model, made if missing.
            digest: of the package; the tags state it.
            saved: folder that `save_served` wrote.
            run_id: the run that trained it; one that the store does not have is replaced by the
                study's.
            tags: of the version.
        """
        self._require(name)
        with calls(self.session.uri) as client:
            run = self._run(client, run_id)
            path = f"registered/{digest[:DIGITS]}"
            with patient():
                client.log_artifacts(run.info.run_id, str(saved), path)
            source = f"{run.info.artifact_uri}/{path}"
            made = client.create_model_version(name, source, run.info.run_id, tags=dict(tags))
        first, own = self.find(name, digest), str(made.version)
        if first is None or first == own:
            return own
        with calls(self.session.uri) as client:
            client.delete_model_version(name, own)
        return first

    def _require(self, name: str) -> None:
        """Make a model without versions, unless there is one, whoever made it."""
        with calls(self.session.uri) as client:
            if client.search_registered_models(f"name = '{name}'", max_results=1):
                return
        try:
            with calls(self.session.uri) as client:
                client.create_registered_model(name)
        except TrackingError as error:
            with calls(self.session.uri) as client:
                if not client.search_registered_models(f"name = '{name}'", max_results=1):
                    raise error from None

    def _run(self, client: Any, run_id: str | None) -> Any:
        condition = f"attributes.run_id = '{run_id}'"
        found = client.search_runs([self.session.experiment_id], condition, max_results=1)
        return found[0] if found else client.get_run(self.session.parent_id)

    def point(self, name: str, alias: str, version: str) -> None:
        """Let an alias of a model name a version; nothing happens if it does already."""
        with calls(self.session.uri) as client:
            aliases = client.get_registered_model(name).aliases
            if str(aliases.get(alias)) != version:
                client.set_registered_model_alias(name, alias, version)

    def carriers(self, prefix: str, alias: str) -> list[str]:
        """Return the models whose name starts with a prefix and that have an alias."""
        with calls(self.session.uri) as client:
            return [model.name for model in _models(client, prefix) if alias in model.aliases]

    def withdraw(self, name: str, alias: str) -> None:
        """Remove an alias of a model."""
        with calls(self.session.uri) as client:
            client.delete_registered_model_alias(name, alias)


def _versions(client: Any, name: str) -> list[Any]:
    found, token = [], None
    while True:
        page = client.search_model_versions(f"name = '{name}'", PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _models(client: Any, prefix: str) -> list[Any]:
    """Return the models whose name starts with a prefix, exactly: "_" stands for itself."""
    found, token = [], None
    while True:
        page = client.search_registered_models(
            f"name LIKE '{prefix}%'", max_results=PAGE, page_token=token
        )
        found += [model for model in page if model.name.startswith(prefix)]
        token = page.token
        if not token:
            return found
