"""The reference of the study file: current, complete, and every link on it leads somewhere."""

import re
from pathlib import Path

import pytest

from certibayes.config import json_schema
from certibayes.config.attacks import PGD
from certibayes.config.certificates import PosteriorShift
from certibayes.config.descriptions import attributes, summary
from certibayes.config.reference import reference
from certibayes.config.threat import BoundedPerturbationGrid

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def schema():
    return json_schema()


def test_the_page_is_current(schema):
    assert (DOCS / "config_reference.md").read_text() == reference(schema), (
        "certibayes schema docs/config_reference.md"
    )


def test_every_key_of_the_schema_stands_on_the_page_with_its_own_section(schema):
    page = reference(schema)
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    assert len(sections) == len(schema["$defs"]) + 1
    named = [set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) for section in sections]
    for value in [schema, *schema["$defs"].values()]:
        assert set(value.get("properties", {})) in named


def test_headings_are_unique_and_links_have_targets(schema):
    page = reference(schema)
    headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
    assert len(set(headings)) == len(headings)
    anchors = {heading.lower().replace(":", "").replace(" ", "-") for heading in headings}
    links = set(re.findall(r"\]\(#([^)]*)\)", page))
    assert links <= anchors
    assert anchors - links == {"the-file"}


def test_meanings_come_from_both_kinds_of_docstrings_and_from_bases():
    assert attributes(PosteriorShift)["tau"].startswith("largest total variation")
    assert attributes(PosteriorShift)["comparison_draws"].startswith("First draws, stored")
    assert attributes(PosteriorShift)["simultaneous"].endswith("not of each alone.")
    assert attributes(BoundedPerturbationGrid)["unit"] == "of epsilon."
    assert attributes(PGD)["mask"].startswith("Features that may be perturbed")
    assert summary(PosteriorShift).startswith("TV(q(. | x)")
    assert "Attributes" not in summary(PosteriorShift)


def test_every_key_but_the_kind_has_a_meaning(schema):
    silent = [
        f"{name}.{key}"
        for name, value in [("Study", schema), *schema["$defs"].items()]
        for key, one in value.get("properties", {}).items()
        if key != "kind" and not one.get("description")
    ]
    assert silent == []
