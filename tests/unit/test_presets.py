import jsonschema
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError
from test_config import refused

from certibayes.config import ConfigError, json_schema, load
from certibayes.config.attacks import PGD
from certibayes.config.defenses import AnyDefense
from certibayes.config.embeddings import AnyEmbedding
from certibayes.config.jobs import model_jobs
from certibayes.config.models import AnyEstimator, Training
from certibayes.config.presets import PRESETS, PresetSpec

DEFENSE = TypeAdapter(AnyDefense)
ESTIMATOR = TypeAdapter(AnyEstimator)
EMBEDDING = TypeAdapter(AnyEmbedding)
TASKS = ("gaussian_linear", "lotka_volterra", "vae", "sir", "spatial_sir", "hodgkin_huxley")
BETAS = (0.001, 0.01, 0.01, 0.1, 0.1, 100.0)
ADVERSARIAL = (0.1, 1.0, 1.0, 1.0, 1.0, 1.0)
TRADES = (0.1, 0.5, 0.1, 0.5, 0.5, 0.5)


def defense(kind, task, **given):
    name = f"gloeckler2023_{task}" if task else "gloeckler2023"
    return DEFENSE.validate_python({"kind": kind, "preset": name, **given})


@pytest.mark.parametrize(("task", "beta"), list(zip(TASKS, BETAS, strict=True)))
def test_fisher_has_the_published_strengths(task, beta):
    spec = defense("fisher", task)
    assert (spec.beta, spec.draws, spec.trace) == (beta, 5, "score")
    assert (spec.draw_gradient, spec.warm_start) == ("reparametrized", False)


def test_fisher_on_pyloric_has_one_draw():
    spec = defense("fisher", "pyloric")
    assert (spec.beta, spec.draws) == (100.0, 1)


@pytest.mark.parametrize(("task", "epsilon"), list(zip(TASKS, ADVERSARIAL, strict=True)))
def test_adversarial_training_has_the_published_radii(task, epsilon):
    spec = defense("adversarial", task)
    ball = spec.perturbation
    assert (ball.norm, ball.unit, ball.epsilon) == ("l2", "within_std", epsilon)
    assert (spec.steps, spec.step_size, spec.clean_weight) == (20, 0.1, 0.0)


@pytest.mark.parametrize(("task", "epsilon"), list(zip(TASKS, TRADES, strict=True)))
def test_trades_has_the_published_radii(task, epsilon):
    spec = defense("trades", task)
    ball = spec.perturbation
    assert (ball.norm, ball.unit, ball.epsilon) == ("l2", "within_std", epsilon)
    assert (spec.steps, spec.step_size, spec.beta, spec.draws) == (20, 0.1, 0.1, 1)
    assert (spec.direction, spec.search_direction) == ("forward", "reverse")


def test_the_strong_attack_on_classifiers_is_filled_in_and_may_be_stronger():
    ball = {"norm": "linf", "unit": "raw", "epsilons": [0.1]}
    given = {"kind": "pgd", "preset": "strong_classifier", "perturbation": ball}
    spec, more = (PGD.model_validate(given | extra) for extra in ({}, {"restarts": 20}))
    assert (spec.objective, spec.steps, spec.restarts) == ("margin", 50, 5)
    assert (more.objective, more.steps, more.restarts) == ("margin", 50, 20)
    assert {"transfer", "gradient_free"} <= set(spec.adaptive_checks.checks)
    assert "preset" not in spec.model_dump()


def test_noise_has_the_published_ball():
    ball = defense("noise", None).perturbation
    assert (ball.norm, ball.unit, ball.epsilon) == ("l2", "within_std", 1.0)


def test_estimators_have_the_published_sizes():
    maf = ESTIMATOR.validate_python({"kind": "maf", "preset": "gloeckler2023"})
    assert (maf.transforms, maf.hidden, maf.blocks) == (3, 100, 1)
    pyloric = ESTIMATOR.validate_python({"kind": "maf", "preset": "gloeckler2023_pyloric"})
    assert (pyloric.transforms, pyloric.hidden, pyloric.blocks) == (3, 200, 2)
    nsf = ESTIMATOR.validate_python({"kind": "nsf", "preset": "gloeckler2023"})
    assert (nsf.transforms, nsf.hidden, nsf.blocks, nsf.bins, nsf.bound) == (3, 100, 1, 12, 30.0)


def test_gaussian_heads_have_the_published_sizes():
    found = {
        name: ESTIMATOR.validate_python({"kind": kind, "preset": f"gloeckler2023{suffix}"})
        for name, kind, suffix in (
            ("diagonal", "gaussian", "_diagonal"),
            ("full", "gaussian", "_full"),
            ("mixture", "mixture", ""),
        )
    }
    sizes = {name: (spec.covariance, spec.hidden) for name, spec in found.items()}
    assert sizes == {
        "diagonal": ("diagonal", (100, 100)),
        "full": ("full", (200, 200)),
        "mixture": ("diagonal", (200, 200)),
    }
    assert found["mixture"].components == 10


def test_embeddings_have_the_published_sizes():
    mlp = EMBEDDING.validate_python({"kind": "mlp", "preset": "gloeckler2023"})
    assert (mlp.hidden, mlp.features) == ((400, 200, 100), 50)
    cnn = EMBEDDING.validate_python({"kind": "cnn1d", "preset": "gloeckler2023_pyloric"})
    assert (cnn.channels, cnn.filters, cnn.pool, cnn.channel_features) == (3, (6, 9, 12), 3, 100)
    assert (cnn.hidden, cnn.features) == ((200, 100), 100)


def test_training_is_the_published_one():
    spec = Training(preset="gloeckler2023")
    assert (spec.learning_rate, spec.schedule, spec.batch_size) == (1e-3, "constant", 512)
    assert (spec.epochs, spec.gradient_clip, spec.patience) == (300, 75.0, 10)


def test_given_values_go_before_a_preset_inside_mappings_too():
    spec = defense("adversarial", "sir", steps=3, perturbation={"epsilon": 0.3})
    assert (spec.steps, spec.step_size) == (3, 0.1)
    assert (spec.perturbation.norm, spec.perturbation.epsilon) == ("l2", 0.3)


def test_only_resolved_values_are_dumped():
    spec = defense("fisher", "sir")
    written = DEFENSE.validate_python(spec.model_dump())
    assert "preset" not in spec.model_dump()
    assert written.model_dump() == spec.model_dump()


def test_what_a_preset_does_not_state_is_still_required():
    with pytest.raises(ValidationError, match="beta"):
        defense("fisher", None)


@pytest.mark.parametrize("name", ["gloeckler2032", ["gloeckler2023"], 3])
def test_unknown_presets_are_refused(name):
    with pytest.raises(ValidationError, match=r"preset: got .*; allowed: gloeckler2023"):
        Training(preset=name)


def test_every_preset_resolves():
    classes = {cls.SECTION: cls for cls in PresetSpec.__subclasses__()}
    assert set(classes) == set(PRESETS)
    strengths = {"beta": 1.0}, {"perturbation": {"epsilon": 1.0}}
    for section, presets in PRESETS.items():
        required = [
            name for name, field in classes[section].model_fields.items() if field.is_required()
        ]
        for name, values in presets.items():
            complete = all(
                key in values and (key != "perturbation" or "epsilon" in values[key])
                for key in required
            )
            given = {} if complete else next(one for one in strengths if set(one) & set(required))
            if section == "attacks.pgd":
                given = {"perturbation": {"norm": "l2", "unit": "raw", "epsilons": [1.0]}}
            spec = classes[section].model_validate({"preset": name, **given})
            for key in set(values) - set(given):
                assert getattr(spec, key) is not None


STUDY = {
    "study": "published",
    "models": {"maf": {"estimator": {"kind": "maf", "preset": "gloeckler2023"}}},
    "defenses": {"fim": {"kind": "fisher", "preset": "gloeckler2023_sir"}},
    "experiments": [{"task": "sir", "budget": 1000, "model": "maf", "defenses": ["fim"]}],
}


def test_the_slice_of_a_job_states_the_resolved_values(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY))
    (job,) = model_jobs(load(path))
    text = job.model_dump_json()
    assert '"beta":0.1' in text
    assert '"hidden":100' in text
    assert "preset" not in text


def test_an_unknown_preset_is_named_with_its_key(tmp_path):
    path = tmp_path / "study.yaml"
    values = {**STUDY, "defenses": {"fim": {"kind": "fisher", "preset": "gloeckler"}}}
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match=r"defenses\.fim\.preset: got 'gloeckler'; allowed: gl"):
        load(path)


def test_editors_accept_a_preset_in_place_of_what_it_states():
    schema = json_schema()
    jsonschema.validate(STUDY, schema)
    bare = {**STUDY, "defenses": {"fim": {"kind": "fisher"}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bare, schema)


def test_a_key_missing_in_what_a_preset_states_is_named_with_its_path(tmp_path):
    study = {"preset": "gloeckler2023", "kind": "trades"}
    message = refused(tmp_path, ("defenses", "searched"), study)
    assert message.startswith("defenses.searched.perturbation.epsilon: got nothing")
