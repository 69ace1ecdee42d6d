"""What is tracked says nothing of one machine: no absolute path, no address that packages came from."""

import operator
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.servers import ROOT

# Split, so that this file does not find itself.
HOSTS = re.compile(
    "|".join(
        re.escape(first + last)
        for first, last in [
            ("pypi", ".org"),
            ("files.python", "hosted"),
            ("proxy.go", "lang"),
            ("repo.", "maven"),
            ("deb.", "debian"),
            ("registry.npm", "js"),
        ]
    )
)
PATHS = re.compile(r"(?<![\w.~$})])/(?:" + "home|Users|root|work|farm|mnt" + r")/\w")
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "core", "base", "manager"}
LINES_AT_MOST = 400


def tracked() -> list[Path]:
    """Return what is tracked or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


FILES = tracked()


def lines_that(pattern: re.Pattern[str]) -> list[str]:
    found: list[str] = []
    for file in FILES:
        try:
            text = file.read_text()
        except UnicodeDecodeError:
            continue
        found += [
            f"{file.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
            for number, line in enumerate(text.splitlines(), 1)
            if pattern.search(line)
        ]
    return found


def test_no_file_names_a_package_host() -> None:
    assert lines_that(HOSTS) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert lines_that(PATHS) == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [file for file in FILES if file.suffix == ".py" and file.stem in EMPTY_NAMES] == []


def test_no_module_is_too_long_to_have_one_reason() -> None:
    long = {
        str(file.relative_to(ROOT)): count
        for file in FILES
        if file.suffix == ".py" and (count := len(file.read_text().splitlines())) > LINES_AT_MOST
    }

    assert long == {}


def test_every_module_that_ships_says_why_it_exists() -> None:
    sources = [
        file
        for file in FILES
        if file.suffix == ".py" and "src" in file.parts and "versions" not in file.parts
    ]
    silent = [file for file in sources if not file.read_text().startswith('"""')]

    assert silent == []


@pytest.mark.parametrize("folder", [ROOT, ROOT / "tests" / "unit"])
def test_a_folder_named_operator_does_not_hide_the_standard_library(folder: Path) -> None:
    assert not (folder / "operator" / "__init__.py").exists()
    assert operator.itemgetter(1)([0, 7]) == 7
    done = subprocess.run(
        [sys.executable, "-c", "import operator; print(operator.itemgetter(1)([0, 7]))"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.stdout == "7\n", done.stderr
