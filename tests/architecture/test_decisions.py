"""Every decision in docs/adr names what enforces it, and that is there."""

import re
from pathlib import Path

import pytest

from support.servers import ROOT

DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))
HEADINGS = (
    "**Context.**",
    "**Decision.**",
    "**Consequences.**",
    "**Alternatives.**",
    "**A change violates this when it**",
    "**Enforced by**",
)


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_is_one_page_in_the_one_form(decision: Path) -> None:
    text = decision.read_text()
    places = [text.find(heading) for heading in HEADINGS]

    assert -1 not in places, [heading for heading, place in zip(HEADINGS, places, strict=True) if place < 0]
    assert places == sorted(places)
    assert len(text.split()) < 500
    assert re.match(rf"# {int(decision.name[:4])}\. \S", text)


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.stem)
def test_what_enforces_a_decision_is_there(decision: Path) -> None:
    enforced = decision.read_text().split("**Enforced by**")[1]
    named = re.findall(r"`([^`]+)`", enforced)
    makefile = (ROOT / "Makefile").read_text()

    assert named, "names nothing"
    for name in named:
        if name.startswith("make "):
            assert re.search(rf"^{name.removeprefix('make ')}:", makefile, re.MULTILINE), name
        elif "*" in name or name.endswith("wiring.py"):
            assert list(ROOT.glob(f"services/*/src/*/{Path(name).name}")), name
        else:
            assert (ROOT / name.partition("::")[0]).exists(), name


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))
