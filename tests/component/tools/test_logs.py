"""Logs of a run that goes on for days: bounded, their newest lines at hand, what was before beside them."""

import sys
from pathlib import Path

import pytest

from marketdata_tools.embedded.process import Child

WRITER = """
import sys
for line in sys.stdin:
    sys.stderr.write(line)
    print("written", flush=True)
"""


class Writer:
    """A child that writes into its log what it is told."""

    def __init__(self, log: Path) -> None:
        self.child = Child([sys.executable, "-u", "-c", WRITER], log=log, piped=True)

    def write(self, line: str) -> None:
        pipe = self.child._process.stdin
        assert pipe is not None
        pipe.write(f"{line}\n".encode())
        pipe.flush()
        assert self.child.read_line() == "written"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "child.log"


def test_a_log_over_its_bound_begins_anew_and_what_was_in_it_is_beside_it(log: Path) -> None:
    log.write_text("of an earlier run\n")
    writer = Writer(log)
    before = log.with_name("child.log.before")
    writer.write("first")
    writer.child.bound_log(1000)
    assert not before.exists()
    writer.child.bound_log(20)
    writer.write("second")

    assert before.read_text() == "of an earlier run\nfirst\n"
    assert log.read_text() == "second\n"
    assert writer.child.log_tail() == "second"

    writer.child.bound_log(5)
    writer.write("third")
    assert (before.read_text(), log.read_text()) == ("second\n", "third\n")
    writer.child.release()


def test_a_log_that_somebody_removed_is_nobodys_trouble(log: Path) -> None:
    writer = Writer(log)
    writer.write("first")
    log.unlink()
    writer.child.bound_log(1)
    writer.child.release()

    assert not log.exists()
