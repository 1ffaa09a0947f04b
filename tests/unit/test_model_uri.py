import pytest

from certibayes.serving.model_uri import ModelUri, is_model_uri


def test_aliases_and_versions_are_told_apart():
    name = "study.task.maf.robust"
    assert ModelUri.parse(f"models:/{name}@best") == ModelUri(name, "@best")
    assert ModelUri.parse(f"models:/{name}@n100_seed0") == ModelUri(name, "@n100_seed0")
    assert ModelUri.parse(f"models:/{name}/12") == ModelUri(name, "12")
    assert is_model_uri(f"models:/{name}/12")
    assert not is_model_uri("results/models")


@pytest.mark.parametrize(
    "text", ["models:/a", "models:/a/", "models:/a/x", "models:/a/0", "models:/a@", "models:/a@b/1"]
)
def test_anything_else_is_refused_with_what_is_allowed(text):
    with pytest.raises(
        ValueError, match=r"source: got .*; allowed: a folder, models:/<name>@<alias>"
    ):
        ModelUri.parse(text)
