"""Links of the pages lead somewhere, and every certificate has a page whose example is valid."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from certibayes import registry
from certibayes.config.certificates import AnyCertificate

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDER = ROOT / "docs" / "certificates"
PARTS = ("What is stated", "For whom", "Configure it", "Read it", "It does not say")
SWITCHES = {"radius", "answers"}


def prose(page):
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), target
        if anchor and place.suffix == ".md":
            assert anchor in anchors(place), target


@pytest.mark.parametrize(
    "script", ["bounds_cost", "certificate_speed", "training_cost", "classifier_cost"]
)
def test_the_index_names_measured_costs(script):
    assert f"]({script}.md)" in (ROOT / "docs" / "index.md").read_text()
    text = (ROOT / "docs" / f"{script}.md").read_text()
    assert f"python benchmarks/{script}.py" in text
    assert "Target" in text


def test_every_certificate_has_a_page():
    names = {path.stem for path in FOLDER.glob("*.md")}
    assert names == {*registry.names("certificate"), *SWITCHES}


@pytest.mark.parametrize("page", sorted(FOLDER.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_has_every_part_and_a_valid_example(page):
    text = page.read_text()
    assert [part for part in PARTS if f"**{part}" not in text] == []
    assert "](../certificates.md#" in text
    (code,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for spec in yaml.safe_load(code)["certificates"].values():
        known = TypeAdapter(AnyCertificate).validate_python(spec)
        assert page.stem in {known.kind} | SWITCHES
        if page.stem in SWITCHES:
            assert getattr(known, page.stem)
