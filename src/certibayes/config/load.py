"""Read a study file and validate it; the JSON schema for editors and docs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from certibayes.config.checks import findings
from certibayes.config.errors import ConfigError, describe
from certibayes.config.study import Study

ANCHORS = "^x-"


def load(path: str | Path) -> Study:
    """Return the validated study.

    Raises:
        ConfigError: one line per finding, each with the key, the value and what is allowed.
    """
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; allowed: the path of a study file") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: got {data!r}; allowed: a mapping of keys")
    data = {key: value for key, value in data.items() if not re.match(ANCHORS, str(key))}
    try:
        study = Study.model_validate(data)
    except ValidationError as error:
        lines = describe(error, data, Study).splitlines()
    else:
        lines = findings(study)
        if not lines:
            return study
    raise ConfigError("\n".join(f"{path}: {line}" for line in lines))


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a study file; keys that start with `x-` hold YAML anchors."""
    return Study.model_json_schema() | {"patternProperties": {ANCHORS: True}}


def write_json_schema(path: Path) -> None:
    """Write the JSON schema, for editors and docs."""
    path.write_text(json.dumps(json_schema(), indent=2) + "\n")
