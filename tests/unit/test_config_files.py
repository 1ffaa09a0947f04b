import re
from pathlib import Path

import pytest

from certibayes.config import ConfigError, load


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "", "just a word"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text):
    file = tmp_path / "study.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"study\.yaml"):
        load(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "nope.yaml")


def test_a_folder_is_no_study(tmp_path):
    with pytest.raises(ConfigError, match=re.escape(f"{tmp_path}: Is a directory; allowed: ")):
        load(tmp_path)


def test_a_binary_file_is_no_study(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_bytes(b"\x80\xff\x00")
    with pytest.raises(ConfigError, match=r"study\.yaml: not UTF-8 text; allowed: "):
        load(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study: a\nseed: 1\nstudy: b\n", "line 3: got the key 'study' again (first in line 1)"),
        ("tasks:\n  a: {kind: digits, 'kind': lynx_hare}", "line 2: got the key 'kind' again"),
        ("seed: 2020-99-99", "not valid YAML: month must be in 1..12"),
    ],
)
def test_what_yaml_would_hide_or_choke_on_is_refused(tmp_path, text, message):
    file = tmp_path / "study.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(f"{file}: {message}")):
        load(file)


@pytest.mark.parametrize("name", ["ci", "warm_start"])
def test_the_studies_of_the_repository_are_valid(name):
    assert load(Path(__file__).parents[2] / "studies" / f"{name}.yaml").study == name
