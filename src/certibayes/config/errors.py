"""Turn validation failures into one message that names the key, the value and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError


class ConfigError(ValueError):
    """A study file that may not run; the message names key, value and what is allowed."""


def violation(key: str, value: object, allowed: str | Iterable[str]) -> str:
    """Format one finding; a list of allowed names gets a suggestion when one is close."""
    if isinstance(allowed, str):
        return f"{key}: got {value!r}; allowed: {allowed}"
    options = sorted(allowed)
    close = difflib.get_close_matches(str(value), options, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{key}: got {value!r}; allowed: {', '.join(options) or 'nothing'}{hint}"


def describe(error: ValidationError, data: Any, root: type[BaseModel]) -> str:
    """Return one line per finding of a pydantic validation."""
    return "\n".join(_line(finding, data, root) for finding in error.errors())


def _line(finding: Any, data: Any, root: type[BaseModel]) -> str:
    location = list(finding["loc"])
    path = _path(location, data)
    key = ".".join(str(part) for part in path)
    context = finding.get("ctx", {})
    kind = finding["type"]
    if kind == "extra_forbidden":
        return violation(key, path[-1], _known_keys(root, location[:-1]))
    if kind == "missing":
        return f"{key}: got nothing; allowed: this key is required"
    if kind == "union_tag_invalid":
        tag = context["discriminator"].strip("'")
        expected = [option.strip(" '") for option in context["expected_tags"].split(",")]
        return violation(f"{key}.{tag}", context["tag"], expected)
    if kind == "union_tag_not_found":
        tag = context["discriminator"].strip("'")
        return f"{key}.{tag}: got nothing; allowed: this key is required"
    if kind == "literal_error":
        return violation(key, finding["input"], context["expected"])
    if kind == "value_error":
        return f"{key}: {context['error']}" if key else str(context["error"])
    message = finding["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return violation(key, finding["input"], message)


def _path(location: list[Any], data: Any) -> list[Any]:
    """Drop the union tags that pydantic puts into a location: keep what the file says."""
    path = []
    for position, part in enumerate(location):
        last = position == len(location) - 1
        if isinstance(data, dict) and (part in data or last):
            path.append(part)
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            path.append(part)
            data = data[part]
        elif last and not isinstance(data, dict | list):
            continue
    return path


def _known_keys(root: type[BaseModel], location: list[Any]) -> list[str]:
    """Follow a location through the models' annotations and return the keys known there."""
    found: list[type[BaseModel]] = [root]
    for part in location:
        fields = [m.model_fields[part] for m in found if part in m.model_fields]
        if fields:
            found = [model for field in fields for model in _models_in(field.annotation)]
        else:
            found = [model for model in found if _tag(model) == part] or found
    return sorted({key for model in found for key in model.model_fields})


def _tag(model: type[BaseModel]) -> Any:
    field = model.model_fields.get("kind")
    return None if field is None else field.default


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]
