"""Each word of the glossary exists in the code, so that the two cannot drift apart."""

import re

import pytest

from support.servers import ROOT

_CODE = "\n".join(
    file.read_text()
    for folder in ("libs", "services", "operator")
    for file in sorted((ROOT / folder).glob("**/src/**/*"))
    if file.suffix in {".py", ".sql"}
)


def terms() -> list[tuple[str, str]]:
    """Return (term, name in the code) for every row of the table."""
    rows = [
        [cell.strip() for cell in line.strip("| \n").split("|")]
        for line in (ROOT / "docs" / "glossary.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith("| Term")
    ]
    return [(row[0], name) for row in rows for name in re.findall(r"`([^`]+)`", row[2])]


def test_the_table_is_read() -> None:
    assert len(terms()) > 20


@pytest.mark.parametrize(("term", "name"), terms())
def test_a_term_is_a_word_of_the_code(term: str, name: str) -> None:
    defined = rf"(class|def) {name}\b|^\s*{name}\b\s*(:|=|[a-z])|create table {name}\b|\b{name}\s*[:=]"

    assert re.search(defined, _CODE, re.MULTILINE), f"{term}: {name} is not in the code"


def test_the_four_times_are_never_mixed_with_others() -> None:
    other = re.findall(r"\b(?:received|polled|queried|retrieved|inserted)_at\b", _CODE)

    assert other == []
