"""Turn validation failures into one message that names the key, the value and what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError

from certibayes.explained import ExplainedError

NAME = "a name of lower-case letters, digits and _ that starts with a letter"
WORDS = {
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of keys",
    "model_type": "a mapping of keys",
    "model_attributes_type": "a mapping of keys",
    "string_type": "text",
    "string_pattern_mismatch": NAME,
    "invalid_key": "text as a key",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
}
NUMBERS = {
    "int_type": "digits without quotes",
    "float_type": "without quotes and, if with an exponent, written like 1.0e-3",
}
"""What YAML reads as a number, for one that it read as text."""


class ConfigError(ExplainedError, ValueError):
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
    found = error.errors()
    return "\n".join(_line(one, data, root) for one in found if not _follows(one, found))


def _follows(finding: Any, found: Sequence[Any]) -> bool:
    """Tell whether a list is called too short only because its items are refused."""
    location = finding["loc"]
    return finding["type"] == "too_short" and any(
        one["loc"][: len(location)] == location and one is not finding for one in found
    )


def _line(finding: Any, data: Any, root: type[BaseModel]) -> str:
    location = list(finding["loc"])
    kind = finding["type"]
    if location[-1:] == ["[key]"]:
        path = [*location[:-2], finding["input"]]
    elif kind == "invalid_key":
        path = [*location[:-1], finding["input"]]
    else:
        whole = isinstance(finding["input"], dict)
        path = _path(location, data, keep_last=kind == "missing", whole=whole)
    key = ".".join(str(part) for part in path)
    context = finding.get("ctx", {})
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
        message = str(context["error"])
        names_key = re.match(r"[\w.]+: ", message)
        return f"{key}{'.' if names_key else ': '}{message}" if key else message
    return violation(key, finding["input"], _allowed(finding))


def _allowed(finding: Any) -> str:
    """Say in words what pydantic expected."""
    kind = finding["type"]
    if kind == "too_short":
        return f"a list with at least {finding['ctx']['min_length']}"
    if kind in NUMBERS and isinstance(finding["input"], str):
        return f"{WORDS[kind]}, {NUMBERS[kind]}"
    if kind in WORDS:
        return WORDS[kind]
    return finding["msg"].removeprefix("Input should be ").removeprefix("a valid ")


def _path(location: list[Any], data: Any, *, keep_last: bool, whole: bool) -> list[Any]:
    """Drop what pydantic adds to a location (union tags): keep what the file says.

    A tag may be the name of a key too (`file`), but what lies under that key has no parts. A preset
    may state the mapping in which a key is missing.
    `keep_last` is for a missing key, which the file does not say, `whole` for a finding about a
    mapping.
    """
    path = []
    for position, part in enumerate(location):
        last = position == len(location) - 1
        if keep_last and isinstance(data, dict) and _filled_in(data, part):
            path.append(part)
            data = {}
            continue
        inner = (whole and not keep_last) or not last
        if inner and isinstance(data, dict) and not isinstance(data.get(part), dict | list):
            continue
        if isinstance(data, dict) and (part in data or (last and keep_last)):
            path.append(part)
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            path.append(part)
            data = data[part]
    return path


def _filled_in(data: dict[str, Any], part: Any) -> bool:
    return "preset" in data and part not in data and part != data.get("kind")


def _known_keys(root: type[BaseModel], location: list[Any]) -> list[str]:
    """Follow a location through the models' annotations and return the keys known there."""
    found: list[type[BaseModel]] = [root]
    names_an_item = False
    for part in location:
        if names_an_item:
            names_an_item = False
            continue
        tagged = [model for model in found if _tag(model) == part]
        fields = [m.model_fields[part] for m in found if part in m.model_fields]
        if fields and not tagged:
            found = [model for field in fields for model in _models_in(field.annotation)]
            names_an_item = any(get_origin(field.annotation) in (dict, tuple) for field in fields)
        else:
            found = tagged or found
    return sorted({key for model in found for key in model.model_fields})


def _tag(model: type[BaseModel]) -> Any:
    field = model.model_fields.get("kind")
    return getattr(model, "TAG", None) if field is None else field.default


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]
