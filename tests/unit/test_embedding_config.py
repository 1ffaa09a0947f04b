"""The `embedding` key of estimators: messages, and what code its jobs depend on."""

from pathlib import Path

import pytest
import yaml

from certibayes.config import load
from certibayes.config.embeddings import CNN1dEmbedding, conditioning_features
from certibayes.config.errors import ConfigError
from certibayes.config.jobs import base_models
from certibayes.digest import closure

STUDY = Path(__file__).parents[2] / "studies" / "ci.yaml"


@pytest.fixture
def study(tmp_path):
    """Load the study with an embedding in front of its first estimator."""

    def loaded(embedding):
        data = yaml.safe_load(STUDY.read_text())
        name = next(name for name, model in data["models"].items() if "estimator" in model)
        data["models"][name]["estimator"]["embedding"] = embedding
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(data))
        return load(path), name

    return loaded


def test_an_embedding_is_read_and_its_code_counts(study):
    loaded, name = study({"kind": "cnn1d", "channels": 2})
    assert loaded.models[name].estimator.embedding == CNN1dEmbedding(channels=2)
    jobs = {job.model: job for job in base_models(loaded)}
    module = "certibayes.networks.cnn1d_embedding"
    assert module in closure(jobs.pop(name))
    assert all(module not in closure(job) for job in jobs.values())


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        ({"kind": "cnn"}, r"estimator\.embedding\.kind: got 'cnn'; allowed: cnn1d, mlp"),
        ({"kind": "mlp", "width": 3}, r"estimator\.embedding\.width: got 'width'; allowed: "),
        ({"kind": "cnn1d", "kernel": 4}, r"estimator\.embedding\.kernel: got 4; allowed: odd"),
        ({"kind": "cnn1d", "filters": []}, r"estimator\.embedding\.filters: got \[\]; allowed: "),
        ({"kind": "mlp", "activation": "relu6"}, r"embedding\.activation: got 'relu6'; allowed: "),
        ({"features": 3}, r"estimator\.embedding\.kind: got nothing; allowed: "),
    ],
)
def test_messages_name_key_value_and_what_is_allowed(study, embedding, message):
    with pytest.raises(ConfigError, match=message):
        study(embedding)


def test_what_an_estimator_conditions_on():
    assert conditioning_features(None, 7) == 7
    assert conditioning_features(CNN1dEmbedding(features=3), 7) == 3
