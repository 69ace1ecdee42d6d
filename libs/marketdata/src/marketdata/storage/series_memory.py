"""Series states this process wrote itself, believed only while their rows are as it left them.

The locked row is the truth. A state is taken from here only if the row still has the very version
this process gave it: the transaction that wrote it (xmin) and when that began (stored_at). Both,
because a server that came back, or a replica put in its place, may give a lost transaction's number
again, but not in the same microsecond. What a rolled-back transaction remembered is on no row.
"""

from collections.abc import Iterable

from marketdata.domain.series import Series, SeriesState

Version = tuple[str, str]

_LIMIT = 100_000


class SeriesMemory:
    """Used by one thread. Bounded: emptied when it is full."""

    def __init__(self, *, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._states: dict[Series, tuple[Version, SeriesState]] = {}

    def knows_all(self, series: Iterable[Series]) -> bool:
        """Tell whether each of `series` had a row when it was last seen."""
        return all(map(self._states.__contains__, series))

    def recall(self, series: Series, version: Version) -> SeriesState | None:
        """Return the state of a row of that version, None where it is not known."""
        known = self._states.get(series)
        return known[1] if known is not None and known[0] == version else None

    def remember(self, states: Iterable[SeriesState], version: Version) -> None:
        """Keep what is now written under `version`, before it is known whether it commits."""
        if len(self._states) >= self._limit:
            self._states.clear()
        for state in states:
            self._states[state.newest.provider, state.newest.symbol] = (version, state)
