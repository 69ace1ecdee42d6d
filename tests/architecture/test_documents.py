"""What the documents say can be done: their commands exist, their links lead somewhere.

A shell block is run by a test, or consists of make targets that continuous integration runs, or
says what it needs and is not here, in a comment before it: `<!-- needs: Docker -->`.
"""

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.servers import ROOT

_BLOCK = re.compile(
    r"(?:<!-- needs: (?P<needs>[^>]+?) -->\n)?^ *```(?P<language>\w+)\n(?P<text>.*?)^ *```",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?!https?:|mailto:|#)([^)\s#]+)")


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a shell block, its continued lines joined."""

    document: Path
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)


def documents() -> list[Path]:
    """Return every Markdown file that is tracked or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def commands() -> Iterator[Command]:
    for document in documents():
        for block in _BLOCK.finditer(document.read_text()):
            if block["language"] in {"sh", "bash", "shell", "console"} and not block["needs"]:
                for line in block["text"].replace("\\\n", " ").splitlines():
                    if line.strip() and not line.strip().startswith("#"):
                        yield Command(document, line.strip())


COMMANDS = list(commands())


def test_the_readme_begins_with_make_run_and_make_test() -> None:
    first, second, *_ = [command.text for command in COMMANDS if command.document == ROOT / "README.md"]

    assert (first, second) == ("make run", "make test")


@pytest.mark.parametrize(
    "command", {command.text: command for command in COMMANDS}.values(), ids=lambda c: c.text[:60]
)
def test_a_documented_command_can_be_given(command: Command) -> None:
    program, *arguments = command.words
    if program == "make":
        done = subprocess.run(
            ["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    elif program == ".venv/bin/pytest":
        folders = [argument for argument in arguments if argument.startswith("tests")]
        assert folders
        assert all((ROOT / folder).exists() for folder in folders)
    elif program in {".venv/bin/python", "python"}:
        assert arguments[0] == "-m"
        module = arguments[1].replace(".", "/")
        assert [*ROOT.glob(f"**/src/{module}/__main__.py"), *ROOT.glob(f"**/src/{module}.py")]
    else:
        name = command.document.relative_to(ROOT).as_posix()
        run_by = [path for path in (ROOT / "tests/component").rglob("test_*.py") if name in path.read_text()]
        assert run_by, f"{program}: run it in a test, or say what it needs before the block"


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_link_leads_somewhere(document: Path) -> None:
    prose = re.sub(r"`[^`]*`", "", document.read_text())
    lost = [link for link in _LINK.findall(prose) if not (document.parent / link).exists()]

    assert lost == []


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_logs_are_read_of_every_pod(document: Path) -> None:
    """Of a Deployment kubectl reads one pod, and of pods by their labels the last ten lines of each."""
    for line in re.findall(r"^kubectl .*\blogs\b.*$", document.read_text(), re.MULTILINE):
        assert re.search(r" logs -l \S+ --prefix --tail=", line), line


def test_make_prints_every_target_with_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)) - {"help"}
    printed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    shown = dict(re.findall(r"^  make (\S+) +(\S.*)$", printed, re.MULTILINE))
    assert shown.keys() == phony
