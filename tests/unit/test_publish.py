"""What a study's models.json makes of the model registry, also when something fails."""

from types import SimpleNamespace

import pytest
from pretended_registry import PretendedRegistry
from trained_model import POSTERIOR, SHIFT, write_model

from certibayes.address import TrackingError, UnreachableError
from certibayes.config.study import Study
from certibayes.io import WEIGHTS, read_json, write_json
from certibayes.published import Published, published_version
from certibayes.serving.publish import publish

NAMES = {"m": "demo.gaussian_linear.m.none", "k": "demo.gaussian_linear.k.none"}


@pytest.fixture
def registry(monkeypatch):
    registry = PretendedRegistry()
    monkeypatch.setattr("certibayes.registration.calls", registry.open)
    monkeypatch.setattr("certibayes.serving.publish.save_served", lambda *_: None)
    return registry


@pytest.fixture
def layout(tmp_path):
    for model in NAMES:
        folder, layout, _ = write_model(tmp_path, model=model, certificates={"shift": SHIFT})
        write_json(folder / "model" / "run.json", {"run_id": "r"})
    mark_best(layout, "m")
    return layout


def mark_best(layout, *models, keep=tuple(NAMES)):
    """Let the models.json of a report on some models say which of them are the best."""
    entries = [entry for entry in read_json(layout.models)["models"] if entry["model"] in keep]
    for entry in entries:
        entry["standing"]["best"] = entry["model"] in models
    write_json(layout.models, {"models": entries})


def study(*models, task="gaussian_linear"):
    experiments = [{"task": task, "budget": 100, "model": model} for model in models]
    specs = dict.fromkeys(models, POSTERIOR)
    return Study.model_validate({"study": "demo", "models": specs, "experiments": experiments})


def run(registry, layout, of=None, **session):
    store = SimpleNamespace(session=registry.session(**session))
    outcome = publish(store, of or study(*NAMES), layout)
    return outcome.added, outcome.skipped, outcome.refused


def test_what_is_done_is_not_looked_at_again(registry, layout):
    assert run(registry, layout) == (2, 0, 0)
    assert registry.having("best") == {NAMES["m"]}
    registry.calls.clear()
    assert run(registry, layout) == (0, 0, 0)
    assert registry.calls == []


def test_the_report_of_a_part_does_not_move_the_best(registry, layout):
    run(registry, layout)
    content = read_json(layout.models)
    mark_best(layout, "k", keep=("k",))
    run(registry, layout)
    assert registry.having("best") == {NAMES["m"]}
    assert set(Published.read(layout).versions) == {one["folder"] for one in content["models"]}
    run(registry, layout, study("k"))
    assert registry.having("best") == {NAMES["k"]}


def test_a_registry_made_anew_is_filled_again(registry, layout):
    run(registry, layout)
    registry.models.clear()
    assert run(registry, layout, parent="another") == (2, 0, 0)
    assert registry.having("best") == {NAMES["m"]}


def test_a_model_that_was_left_out_is_tried_again(registry, layout, caplog):
    place = layout.root / "gaussian_linear" / "n100" / "k" / "none" / "seed0" / "model" / WEIGHTS
    content = place.read_bytes()
    place.unlink()
    assert run(registry, layout) == (1, 1, 0)
    place.write_bytes(content[:-1])
    assert run(registry, layout) == (0, 1, 0)
    assert "sha256 is" in caplog.text
    assert NAMES["k"] not in registry.models
    place.write_bytes(content)
    assert run(registry, layout) == (1, 0, 0)


def test_one_model_that_the_store_refuses_stops_no_other(registry, layout, monkeypatch):
    def refuse_first(*_):
        monkeypatch.setattr("certibayes.serving.publish.save_served", lambda *_: None)
        raise TrackingError("too large")

    monkeypatch.setattr("certibayes.serving.publish.save_served", refuse_first)
    assert run(registry, layout) == (1, 0, 1)
    assert registry.having("n100_seed0") == {NAMES["k"]}
    assert registry.having("best") == set()
    assert run(registry, layout) == (1, 0, 0)
    assert registry.having("best") == {NAMES["m"]}


def test_a_store_that_goes_away_is_asked_once(registry, layout):
    registry.refuse["search_model_versions"] = UnreachableError("nobody")
    with pytest.raises(UnreachableError):
        run(registry, layout)
    assert registry.calls == ["search_model_versions"]


def test_however_a_change_of_the_best_ends_there_are_never_two(registry, layout):
    run(registry, layout)
    mark_best(layout, "k")
    registry.refuse["set_registered_model_alias"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(registry, layout)
    assert registry.having("best") == set()
    registry.refuse.clear()
    mark_best(layout, "m")
    run(registry, layout)
    assert registry.having("best") == {NAMES["m"]}


def test_a_task_that_leaves_the_study_loses_its_best(registry, layout):
    run(registry, layout)
    registry.create_registered_model("demo2.gaussian_linear.m.none")
    registry.set_registered_model_alias("demo2.gaussian_linear.m.none", "best", "1")
    run(registry, layout, study("m", task="two_moons"))
    assert registry.having("best") == {"demo2.gaussian_linear.m.none"}


def test_trace_names_a_version_only_while_the_weights_are_its_own(registry, layout):
    run(registry, layout)
    folder = layout.root / "gaussian_linear" / "n100" / "m" / "none" / "seed0"
    assert published_version(layout, folder / "model") == f"{NAMES['m']} version 1"
    manifest = folder / "model" / "manifest.json"
    write_json(manifest, read_json(manifest) | {"sha256": "0" * 64})
    assert published_version(layout, folder / "model") is None
