import hashlib
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from marketdata.clock import ManualClock
from marketdata_api.keys import KeyRing
from marketdata_api.problems import Problem


class Ring:
    """A key ring on a file that the test writes, with what it told."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.clock = ManualClock()
        self.told: list[float] = []
        self.write("old")
        self.keys = KeyRing(file, clock=self.clock, tell=self.told.append)

    def write(self, *keys: str, more: str = "") -> None:
        lines = [f"{hashlib.sha256(key.encode()).hexdigest()} prices:read {key}\n" for key in keys]
        self.file.write_text("".join(lines) + more)

    def takes(self, key: str) -> bool:
        """Tell whether `key` is taken once the file was looked at again."""
        self.clock.advance(6)
        try:
            self.keys.check([(b"x-api-key", key.encode())], method="GET", path="/prices/latest")
        except Problem:
            return False
        return True


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    return Ring(tmp_path / "keys")


def test_keys_come_and_go_with_their_file(ring: Ring) -> None:
    assert (ring.takes("old"), ring.takes("new")) == (True, False)

    ring.write("new")

    assert (ring.takes("old"), ring.takes("new")) == (False, True)
    assert ring.told == [0]


@pytest.mark.parametrize("fault", ["missing", "broken"])
def test_while_the_file_cannot_be_read_those_known_stay_valid_and_it_is_told_once(
    ring: Ring, fault: str
) -> None:
    with capture_logs() as logs:
        if fault == "missing":
            ring.file.unlink()
        else:
            ring.write("new", more="not a key\n")
        during = [ring.takes(key) for key in ("old", "old", "new")]
        ring.write("new")
        after = [ring.takes(key) for key in ("old", "new")]

    assert (during, after) == ([True, True, False], [False, True])
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("API keys unreadable, those known stay valid", "warning"),
        ("API keys read again", "info"),
    ]
    assert "MARKETDATA_API_KEYS_FILE" in logs[0]["reason"]
    assert ring.told == [0, 1, 0]


def test_a_broken_file_that_is_taken_back_is_no_longer_told_as_broken(ring: Ring, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    ring.file.rename(kept)
    assert ring.takes("old")

    kept.rename(ring.file)  # with the time it had

    assert ring.takes("old")
    assert ring.told == [0, 1, 0]
