"""What every key of a study file means, read from the docstrings of its specifications."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from certibayes.config.base import Spec

_ATTRIBUTES = "Attributes:"
_ENTRY = re.compile(r"^(?P<names>\w+(?:, \w+)*): (?P<text>.*)$")


def summary(cls: type[BaseModel]) -> str:
    """Return the docstring of a specification up to its list of attributes."""
    return inspect.cleandoc(cls.__doc__ or "").partition(_ATTRIBUTES)[0].strip()


def attributes(cls: type[BaseModel]) -> dict[str, str]:
    """Return the meaning of every key that a specification or one of its bases documents.

    Both places count: the list "Attributes:" of the class, and the string below a field.
    """
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            found |= dict(_listed(base.__doc__ or "")) | dict(_below_fields(base))
    return {name: text for name, text in found.items() if name in cls.model_fields}


def describe_schema(schema: dict[str, Any], root: type[BaseModel]) -> dict[str, Any]:
    """Return a JSON schema whose objects and properties carry what the docstrings say.

    Args:
        schema: that of `root`.
        root: a specification; those that it reaches are found by their titles.
    """
    classes = {root.__name__: root, **_descendants()}
    described = _described(schema, classes[root.__name__])
    described["$defs"] = {
        name: _described(value, classes[name]) if name in classes else value
        for name, value in schema.get("$defs", {}).items()
    }
    return described


def _described(schema: Mapping[str, Any], cls: type[BaseModel]) -> dict[str, Any]:
    meanings = attributes(cls)
    properties = {
        name: {**value, "description": meanings[name]} if name in meanings else value
        for name, value in schema.get("properties", {}).items()
    }
    described = {**schema, "description": summary(cls)}
    return {**described, "properties": properties} if properties else described


def _descendants() -> dict[str, type[BaseModel]]:
    """Return every specification by its name."""
    found: dict[str, type[BaseModel]] = {}
    waiting: list[type[BaseModel]] = [Spec]
    while waiting:
        cls = waiting.pop()
        found[cls.__name__] = cls
        waiting += cls.__subclasses__()
    return found


def _listed(docstring: str) -> Iterator[tuple[str, str]]:
    """Yield name and meaning of every entry below "Attributes:"."""
    section = inspect.cleandoc(docstring).partition(_ATTRIBUTES)[2]
    entries: list[str] = []
    for line in textwrap.dedent(section.strip("\n")).splitlines():
        if line.startswith(" ") and entries:
            entries[-1] += f" {line.strip()}"
        elif line.strip():
            entries.append(line.strip())
    for entry in entries:
        if match := _ENTRY.match(entry):
            for name in match["names"].split(", "):
                yield name, match["text"]


def _below_fields(cls: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Yield name and meaning of every field with a string below it."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            yield field.target.id, " ".join(str(text.value.value).split())
