"""Which polls a batch's events come from, as far as traces are on.

A batch may hold thousands of events of thousands of polls, so some messages of each take are looked
at and some traces kept: what is left out is a link on a span, and no event.
"""

from collections.abc import Sequence

from marketdata.messages.topics import HEADER_TRACEPARENT
from marketdata.telemetry.traces import MAX_LINKS, distinct
from marketdata_consumer.headers import headers_of
from marketdata_consumer.ports import Message

LOOKED_AT = 64  # messages of one take of one partition; reading a message's headers costs 1 µs


class Origins:
    """The traceparents of the next batch; `add` while it is gathered, then `take`."""

    def __init__(self, *, on: bool) -> None:
        self.on = on
        self._found: list[str] = []

    def add(self, messages: Sequence[Message]) -> None:
        """Look at some of `messages`; raises nothing for what their headers hold."""
        if self.on and len(self._found) < MAX_LINKS:
            some = messages[:: -(-len(messages) // LOOKED_AT) or 1]
            self._found = distinct([*self._found, *map(_traceparent, some)])

    def take(self) -> Sequence[str]:
        """Return what was found, at most MAX_LINKS, and begin anew."""
        found, self._found = self._found, []
        return found


def _traceparent(message: Message) -> str | None:
    for name, value in headers_of(message) or ():
        if name == HEADER_TRACEPARENT and value is not None:
            return value.decode("ascii", "replace")
    return None
