"""How far a relay is in going over all letters that wait, and when it goes over those again that stayed.

Promises: every letter has its turn before any comes a second time; what was refused waits for a time of its
own, however soon others come again. Reads no clock and says nothing.
"""

from collections.abc import Collection
from uuid import UUID

# A broker may be well again soon; a topic's limit is raised by people.
UNCONFIRMED_AGAIN_SECONDS = 30.0
REFUSED_AGAIN_SECONDS = 600.0
# Some 15 MB. Those refused over it are tried in each pass, which costs work and loses nothing.
_REMEMBERED_AT_MOST = 100_000
_BEGINNING = UUID(int=0)


class LetterPass:
    """One pass after the other over the letters in the order of their ids; times are monotonic seconds."""

    def __init__(self) -> None:
        self.after = _BEGINNING  # those up to here had their turn
        self._leaves_unconfirmed = False
        self._leaves_refused = False
        self._refused: set[UUID] = set()
        self._unconfirmed_again_at: float | None = None
        self._refused_again_at: float | None = None

    def is_set_aside(self, letter: UUID) -> bool:
        """Tell whether `letter` was refused and its time has not come."""
        return letter in self._refused

    def go_on(self, after: UUID) -> None:
        """Note that those up to `after` had their turn."""
        self.after = after

    def leave(self, *, refused: Collection[UUID], is_unconfirmed: bool) -> None:
        """Note what stays of those that had their turn: `refused`, and others where `is_unconfirmed`."""
        self._leaves_unconfirmed |= is_unconfirmed
        self._leaves_refused |= bool(refused)
        if len(self._refused) < _REMEMBERED_AT_MOST:
            self._refused.update(refused)

    def refused_again_in(self, now: float) -> float:
        """Return after how many seconds what is refused now comes again, at the soonest."""
        return REFUSED_AGAIN_SECONDS if self._refused_again_at is None else self._refused_again_at - now

    def end(self, now: float) -> None:
        """Note that all had their turn; what stayed comes again a while after the first time this is said."""
        if self._leaves_unconfirmed and self._unconfirmed_again_at is None:
            self._unconfirmed_again_at = now + UNCONFIRMED_AGAIN_SECONDS
        if self._leaves_refused and self._refused_again_at is None:
            self._refused_again_at = now + REFUSED_AGAIN_SECONDS

    def begin_again(self, now: float) -> None:
        """Begin another pass where the time of something that stayed has come."""
        refused_are_due = self._refused_again_at is not None and now >= self._refused_again_at
        unconfirmed_are_due = self._unconfirmed_again_at is not None and now >= self._unconfirmed_again_at
        if refused_are_due:
            self._refused.clear()
            self._leaves_refused, self._refused_again_at = False, None
        if refused_are_due or unconfirmed_are_due:
            self.after = _BEGINNING
            self._leaves_unconfirmed, self._unconfirmed_again_at = False, None
