"""What of MLflow's client the registration of models uses, in memory."""

from contextlib import contextmanager
from types import SimpleNamespace

from certibayes.address import TrackingError


class Page(list):
    token = None


class PretendedRegistry:
    """A store with runs that take anything; `refuse` and `before` let one call fail or be late.

    Attributes:
        models: versions and aliases by name of the model.
        refuse: names of methods that fail, with the error.
        before: functions that run once, before the method of that name.
    """

    def __init__(self):
        self.models = {}
        self.refuse = {}
        self.before = {}
        self.calls = []

    def session(self, uri="sqlite:///pretended.db", parent="p"):
        return SimpleNamespace(uri=uri, experiment_id="1", parent_id=parent)

    @contextmanager
    def open(self, uri):
        yield self

    def __getattribute__(self, name):
        found = object.__getattribute__(self, name)
        if not name.startswith(("search", "get", "create", "set", "delete", "log")):
            return found
        self.calls.append(name)
        late = self.before.pop(name, None)
        if late is not None:
            late()
        if name in self.refuse:
            raise self.refuse[name]
        return found

    def search_runs(self, experiments, condition, max_results):
        return []

    def get_run(self, run_id):
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id, artifact_uri="file:///away"))

    def log_artifacts(self, run_id, folder, path):
        pass

    def search_registered_models(self, condition, max_results, page_token=None):
        _, kind, text = condition.split(" ", 2)
        text = text.strip("'")
        fits = (lambda n: n == text) if kind == "=" else (lambda n: n.startswith(text[:-1]))
        return Page(self._model(name) for name in self.models if fits(name))

    def _model(self, name):
        return SimpleNamespace(name=name, aliases=dict(self.models[name]["aliases"]))

    def create_registered_model(self, name):
        if name in self.models:
            raise TrackingError("RESOURCE_ALREADY_EXISTS")
        self.models[name] = {"versions": {}, "aliases": {}}

    def get_registered_model(self, name):
        return self._model(name)

    def create_model_version(self, name, source, run_id, tags):
        versions = self.models[name]["versions"]
        number = str(1 + max(map(int, versions), default=0))
        versions[number] = SimpleNamespace(version=number, tags=tags)
        return versions[number]

    def search_model_versions(self, condition, max_results, page_token=None):
        name = condition.split("'")[1]
        return Page(self.models.get(name, {"versions": {}})["versions"].values())

    def delete_model_version(self, name, version):
        del self.models[name]["versions"][version]

    def set_registered_model_alias(self, name, alias, version):
        self.models[name]["aliases"][alias] = version

    def delete_registered_model_alias(self, name, alias):
        del self.models[name]["aliases"][alias]

    def having(self, alias):
        """Return the models that have an alias."""
        return {name for name, model in self.models.items() if alias in model["aliases"]}
