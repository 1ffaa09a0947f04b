"""The reference of a study file as a Markdown page, from its JSON schema."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]
HEAD = """# Reference of the study file

Every key that a study file may have, with its type, its default and its meaning. Written by
`certibayes schema docs/config_reference.md` from the [JSON schema](config.schema.json). What the
sections are for, and a small study to start from, is on [the page about study files](config.md).
Keys that start with `x-` hold YAML anchors and are not read."""
DEFINITIONS = "#/$defs/"
NAME_PATTERN = "^[a-z][a-z0-9_]*$"
_LEAST = {"minimum": "≥", "exclusiveMinimum": ">"}
_MOST = {"maximum": "≤", "exclusiveMaximum": "<"}


def reference(schema: Schema) -> str:
    """Return the page: one section per object of the schema, each after what first names it."""
    headings = _headings(schema)
    definitions = schema["$defs"]
    parts = [HEAD, "## The file\n", str(schema["description"]), _table(schema, headings)]
    for name, heading in headings.items():
        parts += [f"## {heading}", definitions[name].get("description", "")]
        if _rows(definitions[name]):
            parts.append(_table(definitions[name], headings))
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _headings(schema: Schema) -> dict[str, str]:
    """Return the heading of every object, in the order in which they are reached."""
    found: dict[str, str] = {}
    waiting = deque([("", schema)])
    while waiting:
        _, owner = waiting.popleft()
        for key, value in owner.get("properties", {}).items():
            for name in _references(value):
                if name not in found:
                    target = schema["$defs"][name]
                    found[name] = _heading(key, target)
                    waiting.append((key, target))
    return found


def _heading(key: str, target: Schema) -> str:
    kind = target.get("properties", {}).get("kind", {}).get("const")
    return f"{key}: {kind}" if kind else str(target["title"])


def _references(value: Any) -> list[str]:
    """Return the names of the objects that a part of the schema refers to, in order."""
    if isinstance(value, list):
        return [name for one in value for name in _references(one)]
    if not isinstance(value, Mapping):
        return []
    if "$ref" in value:
        return [str(value["$ref"]).removeprefix(DEFINITIONS)]
    return [
        name
        for key, one in value.items()
        if key not in ("default", "discriminator", "description")
        for name in _references(one)
    ]


def _rows(schema: Schema) -> dict[str, Schema]:
    return dict(schema.get("properties", {}))


def _table(schema: Schema, headings: Mapping[str, str]) -> str:
    required = schema.get("required", [])
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, value in _rows(schema).items():
        default = "required" if key in required else _default(value)
        meaning = str(value.get("description", ""))
        meaning = meaning[:1].upper() + meaning[1:]
        cells = (f"`{key}`", _type(value, headings), default, meaning)
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _default(value: Schema) -> str:
    if "default" not in value:
        return "required without a preset" if _is_plain(value) else "empty"
    return f"`{json.dumps(value['default'], ensure_ascii=False)}`"


def _is_plain(value: Schema) -> bool:
    return value.get("type") != "object"


def _type(value: Schema, headings: Mapping[str, str]) -> str:
    """Return in words what a key takes."""
    if "$ref" in value:
        return _link(str(value["$ref"]).removeprefix(DEFINITIONS), headings)
    if "enum" in value:
        return ", ".join(f"`{json.dumps(one)}`".replace('"', "") for one in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    for union in ("oneOf", "anyOf"):
        if union in value:
            texts = [_type(one, headings) for one in value[union]]
            return (", " if union == "oneOf" else " or ").join(texts)
    return _of_type(value, headings)


def _of_type(value: Schema, headings: Mapping[str, str]) -> str:
    kind = value.get("type")
    if kind in ("integer", "number"):
        return _number(value)
    if kind == "boolean":
        return "`true`, `false`"
    if kind == "null":
        return "`null`"
    if kind == "string":
        return "name" if value.get("pattern") == NAME_PATTERN else "text"
    if kind == "array":
        if "prefixItems" in value:
            inner = ", ".join(_type(one, headings) for one in value["prefixItems"])
            return f"list [{inner}]"
        return f"list of: {_type(value.get('items', {}), headings)}"
    values = [*value.get("patternProperties", {}).values(), value.get("additionalProperties")]
    target: Schema = next((one for one in values if isinstance(one, Mapping)), {})
    return f"mapping, names to: {_type(target, headings)}"


def _number(value: Schema) -> str:
    word = "whole number" if value["type"] == "integer" else "number"
    limits = [f"{sign} {value[name]:g}" for name, sign in (_LEAST | _MOST).items() if name in value]
    return f"{word} {', '.join(limits)}".strip()


def _link(name: str, headings: Mapping[str, str]) -> str:
    heading = headings[name]
    anchor = heading.lower().replace(":", "").replace(" ", "-")
    text = heading.partition(": ")[2] or heading
    return f"[{text}](#{anchor})"
