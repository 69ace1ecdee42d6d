"""Spans as the services see them: begun, told a few facts, ended; and nothing at all when off.

A span's place in its trace travels as a W3C traceparent, the text that an outbox row and a Kafka
header carry. Promises: no method raises or waits, whatever the collector does; a span that is not
sampled has no traceparent, so whoever comes after it makes none either. Refuses events as units:
a batch has one span, with links to at most MAX_LINKS others.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import MappingProxyType
from typing import Literal, Protocol

import structlog

from marketdata.errors import MarketDataError

MAX_LINKS = 32
Kind = Literal["internal", "server", "producer", "consumer"]
Attribute = str | int | float | bool
NONE: Mapping[str, Attribute] = MappingProxyType({})


class Span(Protocol):
    """One piece of work; `end` may be called in another thread than `begin` was, once."""

    @property
    def traceparent(self) -> str | None:
        """The place of what this span causes; None where nothing is recorded."""

    @property
    def trace_id(self) -> str | None:
        """32 hex digits, None where the trace is not known."""

    def name(self, text: str) -> None:
        """Call it `text`, which has no symbol, id or address in it."""

    def tell(self, conventional: Mapping[str, Attribute] = NONE, /, **ours: Attribute) -> None:
        """Add attributes: `conventional` ones, and ours with `marketdata.` before each name.

        Never a secret, never an address.
        """

    def fail(self, reason: str) -> None:
        """Mark it as failed: with a reason, never an exception's text."""

    def end(self) -> None:
        """End it; what is told later is lost."""


class Traces(Protocol):
    """Where spans begin."""

    @property
    def on(self) -> bool:
        """Whether spans may be recorded: else the work of preparing them is spared."""

    def begin(
        self, name: str, *, kind: Kind = "internal", parent: str | None = None, links: Sequence[str] = ()
    ) -> Span:
        """Return a span under `parent`, or the first of a new trace; traceparents that are none are none."""

    def close(self, *, within_seconds: float) -> None:
        """Send what is left, for so long at most; idempotent."""


class Unrecorded:
    """The span of nothing."""

    traceparent: str | None = None
    trace_id: str | None = None

    def name(self, text: str) -> None: ...

    def tell(self, conventional: Mapping[str, Attribute] = NONE, /, **ours: Attribute) -> None: ...

    def fail(self, reason: str) -> None: ...

    def end(self) -> None: ...


UNRECORDED = Unrecorded()


class NoTraces:
    """Traces that are off."""

    on = False

    def begin(
        self,
        name: str,  # noqa: ARG002 - the port's signature
        *,
        kind: Kind = "internal",  # noqa: ARG002
        parent: str | None = None,  # noqa: ARG002
        links: Sequence[str] = (),  # noqa: ARG002
    ) -> Span:
        return UNRECORDED

    def close(self, *, within_seconds: float) -> None: ...


NO_TRACES = NoTraces()


_NOWHERE = nullcontext()


def within(*spans: Span) -> AbstractContextManager[None]:
    """Do a piece of work in `spans`: they end with it, and its log lines carry the first one's trace id."""
    return _NOWHERE if not spans or spans[0] is UNRECORDED else _within(spans)


@contextmanager
def _within(spans: Sequence[Span]) -> Iterator[None]:
    trace_id = spans[0].trace_id
    tokens = structlog.contextvars.bind_contextvars(trace_id=trace_id) if trace_id else {}
    failure: str | None = None
    try:
        yield
    except BaseException as error:
        failure = error.reason if isinstance(error, MarketDataError) else type(error).__name__
        raise
    finally:
        for span in spans:
            if failure is not None:
                span.fail(failure)
            span.end()
        structlog.contextvars.reset_contextvars(**tokens)


def distinct(traceparents: Iterable[str | None]) -> list[str]:
    """Return the first MAX_LINKS different ones, in order, that are sampled."""
    found: dict[str, None] = {}
    for each in traceparents:
        if each is not None and each not in found and is_sampled(each):
            found[each] = None
            if len(found) == MAX_LINKS:
                break
    return list(found)


def is_sampled(traceparent: str) -> bool:
    """Tell whether who wrote it records its trace."""
    try:
        return len(traceparent) >= 55 and bool(int(traceparent[53:55], 16) & 1)
    except ValueError:
        return False
