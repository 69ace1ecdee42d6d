"""The two faces of a running launcher: a live table on a terminal, lines anywhere else."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live

from marketdata_tools.run import plain, view
from marketdata_tools.run.readings import Reading

_TOTALS_EVERY_SECONDS = 10.0


class Screen(Protocol):
    """Shows readings."""

    def most(self) -> int:
        """Return how many series can be shown now."""

    def show(self, reading: Reading) -> None:
        """Show one reading."""

    def close(self) -> None:
        """Leave the terminal as it was; idempotent."""


class LiveTable:
    """The table on the terminal's other screen: what was printed before comes back at the end."""

    def __init__(self, console: Console, heading: Callable[[], view.Heading]) -> None:
        """`heading` is asked at each reading."""
        self._console = console
        self._heading = heading
        self._live = Live(console=console, screen=True, auto_refresh=False)
        self._live.start()

    def most(self) -> int:
        """Return what the smallest columns hold."""
        width, height = self._console.size
        return view.fit(10**9, width=width, height=height).capacity

    def show(self, reading: Reading) -> None:
        """Draw the whole screen."""
        width, height = self._console.size
        self._live.update(view.render(reading, self._heading(), width=width, height=height), refresh=True)

    def close(self) -> None:
        """Return to the screen of before."""
        self._live.stop()


class PlainLines:
    """First prices as they come, then totals now and then."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """`say` prints one line."""
        self._say = say
        self._before = Reading()
        self._totals_at = monotonic() + _TOTALS_EVERY_SECONDS / 2

    def most(self) -> int:
        """Return a bound for the sake of the API."""
        return plain.MOST_SERIES

    def show(self, reading: Reading) -> None:
        """Say what is new."""
        for line in plain.first_prices(self._before, reading):
            self._say(line)
        self._before = reading
        if monotonic() >= self._totals_at:
            self._say(plain.totals(reading))
            self._totals_at = monotonic() + _TOTALS_EVERY_SECONDS

    def close(self) -> None:
        """Nothing to leave behind."""


def can_be_live(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether `stream` is a terminal that can be drawn on."""
    return stream.isatty() and environ.get("TERM", "") not in {"", "dumb"}


def shown_path(path: Path) -> str:
    """Return the path as a person would type it from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return os.fspath(path)
