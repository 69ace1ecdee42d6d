"""What the tests of the letters' relay share."""

import pytest

from marketdata_poller import letters
from support.letter_relay import World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(letters, "_log", made.log)
    return made
