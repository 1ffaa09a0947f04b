"""Read a study file and validate it; the JSON schema for editors and docs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode

from certibayes.config.checks import findings
from certibayes.config.descriptions import describe_schema
from certibayes.config.errors import ConfigError, describe
from certibayes.config.reference import reference
from certibayes.config.study import Study
from certibayes.config.sweeps import expanded, sweep_findings

ANCHORS = "^x-"
MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """Safe loading that refuses a key given twice in one mapping, where YAML keeps the last."""

    def compose_mapping_node(self, anchor: dict[Any, Node]) -> MappingNode:
        """Compose a mapping; checked here, because merge keys are resolved only later."""
        node = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, ScalarNode) or key.tag == MERGE:
                continue
            line = key.start_mark.line + 1
            name = (key.tag, key.value)
            if name in first:
                raise ConfigError(
                    f"line {line}: got the key {key.value!r} again (first in line {first[name]}); "
                    "allowed: each key once"
                )
            first[name] = line
        return node


def load(path: str | Path) -> Study:
    """Return the validated study; what its sweeps make stands among its defenses.

    Raises:
        ConfigError: one line per finding, each with the key, the value and what is allowed.
    """
    path = Path(path)
    try:
        data = _Loader(path.read_text(encoding="utf-8")).get_single_data()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; allowed: the path of a study file") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; allowed: a readable study file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text; allowed: a study file") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: got {data!r}; allowed: a mapping of keys")
    data = {key: value for key, value in data.items() if not re.match(ANCHORS, str(key))}
    try:
        study = Study.model_validate(data)
    except ValidationError as error:
        lines = describe(error, data, Study).splitlines()
    else:
        lines = sweep_findings(study)
        if not lines:
            study = expanded(study)
            lines = findings(study)
        if not lines:
            return study
    raise ConfigError("\n".join(f"{path}: {line}" for line in lines))


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a study file; keys that start with `x-` hold YAML anchors.

    Objects and properties carry the meaning that the docstrings of the specifications state.
    """
    schema = describe_schema(Study.model_json_schema(), Study)
    return schema | {"patternProperties": {ANCHORS: True}}


def write_json_schema(path: Path) -> None:
    """Write the JSON schema, for editors and docs."""
    path.write_text(json.dumps(json_schema(), indent=2) + "\n")


def write_reference(path: Path) -> None:
    """Write the reference of a study file, a Markdown page, from the JSON schema."""
    path.write_text(reference(json_schema()), encoding="utf-8")
