"""What tracing costs while it is off: the hot paths as they ship, beside the same without its hooks.

In one process and in CPU time, as a few percent drown in what a machine does beside: the consumer
from messages to the plan of a transaction and to the cache, both of which are stand-ins that cost
nothing, so that the hooks weigh more here than in a real batch; the API from a request's scope to
its answer on a cache hit. The contenders take turns, and the ratio is the median of those of
neighbouring rounds, which met the same of a machine's moods. For 100 rounds of the batch of 5,000 on a
busy machine its standard deviation was 0.016, that of a ratio of each one's quickest rounds 0.037.
"""

import asyncio
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from marketdata.clock import SystemClock
from marketdata.domain.price import PricePoint
from marketdata.domain.series import Series, SeriesState
from marketdata.messages import price_event
from marketdata.messages.latest import render
from marketdata.messages.topics import HEADER_EVENT_ID
from marketdata.telemetry.traces import NO_TRACES
from marketdata_api.edge import Edge
from marketdata_api.latest import LatestPrices
from marketdata_api.outage import Outage
from marketdata_api.telemetry import ApiMetrics
from marketdata_api.tracing import traced
from marketdata_consumer.batch import Batch, Gathering
from marketdata_consumer.origins import Origins
from marketdata_consumer.ports import PriceTransaction
from marketdata_consumer.writer import BatchWriter, Written
from marketdata_tools.bench.grounds import PROVIDER, some_events

Row = dict[str, Any]

ROUNDS = 160
FLOOR = 0.97
BATCHES = {5_000: 1, 500: 10, 10: 200}  # events in a batch: batches in a round
REQUESTS = 1_000


def measure(*, rounds: int = ROUNDS) -> list[Row]:
    """Return the rows of the report; needs no server."""
    rows = [_consumer_row(size, count, rounds) for size, count in BATCHES.items()]
    return [*rows, _api_row(rounds)]


def _consumer_row(size: int, count: int, rounds: int) -> Row:
    messages = [_Message(price_event.encode(event)) for event in some_events(size)]
    cpu = _compare(
        {
            "off": lambda: _consume(messages, count, BatchWriter, Origins(on=NO_TRACES.on)),
            "without": lambda: _consume(messages, count, _Bare, None),
        },
        rounds,
    )
    return _row(
        f"batch of {size:,} events, traces off / no traces in the code", cpu, size * count, "events/s"
    )


def _api_row(rounds: int) -> Row:
    edge = _edge()
    cpu = _compare(
        {"off": lambda: _request(traced(edge, NO_TRACES)), "without": lambda: _request(edge)}, rounds
    )
    return _row(
        "GET latest (hit) in process, traces off / no traces in the code", cpu, REQUESTS, "requests/s"
    )


def _compare(contenders: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Return each contender's CPU seconds, round by round."""
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for turn in range(rounds):
        for name in names if turn % 2 else reversed(names):
            gc.collect()
            before = time.process_time()
            contenders[name]()
            spent[name].append(time.process_time() - before)
    return spent


def _row(name: str, cpu: Mapping[str, Sequence[float]], units: int, unit: str) -> Row:
    # The columns are each contender's own median: they need not divide to the ratio of neighbours.
    off, without = statistics.median(cpu["off"]), statistics.median(cpu["without"])
    ratios = [theirs / ours for ours, theirs in zip(cpu["off"], cpu["without"], strict=True)]
    return {
        "name": name,
        "ours": round(units / off),
        "theirs": round(units / without),
        "unit": unit,
        "ratio": round(statistics.median(ratios), 3),
        "floor": FLOOR,
        "ours_cpu_seconds_per_million": round(off / units * 1e6, 1),
        "theirs_cpu_seconds_per_million": round(without / units * 1e6, 1),
    }


class _Bare(BatchWriter):
    """The writer without its hooks: what `write` was before there were traces."""

    def write(self, account: str, batch: Batch, origins: Sequence[str] = ()) -> Written:  # noqa: ARG002
        plan = self._store.transact(lambda transaction: self._transact(transaction, account, batch))
        self._feed([state.newest for state in plan.states])
        moves = batch.moves.values()
        superseded = sum(move.superseded for move in moves)
        redelivered = sum(move.redelivered for move in moves)
        dead = sum(move.dead for move in moves)
        return Written(batch.size - superseded - redelivered - dead, superseded, redelivered, dead)


class _Message:
    """A message that was received."""

    __slots__ = ("_headers", "_value")

    def __init__(self, value: bytes) -> None:
        self._value = value
        self._headers: list[tuple[str, bytes | None]] = [
            (HEADER_EVENT_ID, b"018f0000-0000-7000-8000-000000000000")
        ]

    def topic(self) -> str | None:
        return "price-events"

    def partition(self) -> int | None:
        return 0

    def offset(self) -> int | None:
        return 0

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Sequence[tuple[str, bytes | None]] | None:
        return self._headers

    def set_headers(self, value: list[tuple[str, bytes | None]], /) -> None:
        self._headers = value

    def timestamp(self) -> tuple[int, int]:
        return 1, 0


class _EmptyStore:
    """A store without a series, that forgets what is written."""

    def transact(self, work: Callable[[PriceTransaction], Any]) -> Any:
        return work(cast("PriceTransaction", self))

    def lock_series(self, series: Sequence[Series]) -> dict[Series, SeriesState]:  # noqa: ARG002
        return {}

    def neighbours(self, questions: Mapping[Series, Any]) -> dict[Series, Any]:  # noqa: ARG002
        return {}

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def _consume(
    messages: Sequence[_Message], count: int, make: type[BatchWriter], origins: Origins | None
) -> None:
    writer = make(store=cast("Any", _EmptyStore()), feed=_nowhere)
    for _ in range(count):
        gathering = Gathering({0: 0})
        gathering.add(0, messages)
        if origins is None:
            writer.write("account", gathering.seal())
        else:
            origins.add(messages)
            writer.write("account", gathering.seal(), origins.take())


def _nowhere(points: list[PricePoint]) -> None:
    """Take prices to no cache."""


class _Cache:
    """A cache that has every price."""

    def __init__(self, rendered: bytes) -> None:
        self._rendered = rendered

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self._rendered for _ in keys]


def _edge() -> Edge:
    cache = _Cache(render(some_events(1)[0]))

    async def ping() -> None:
        """Find the cache there."""

    clock = SystemClock()
    latest = LatestPrices(
        cache=cast("Any", cache),
        cache_outage=Outage("redis", probe=ping, tell=lambda _: None),
        prices=cast("Any", None),
        store=cast("Any", None),
        clock=clock,
    )
    return Edge(
        app=cast("Any", None),
        latest=latest,
        allowed=lambda _: frozenset(),
        metrics=ApiMetrics(),
        clock=clock,
        max_in_work=1_024,
        max_body_bytes=65_536,
        body_seconds=10,
        keys=None,
    )


def _request(app: Any) -> None:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/prices/latest",
        "query_string": f"symbol=SYM0&provider={PROVIDER}".encode(),
        "headers": [(b"host", b"127.0.0.1"), (b"accept", b"*/*")],
    }

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] != 200:
            raise RuntimeError(f"answered with {message['status']}")

    async def ask() -> None:
        for _ in range(REQUESTS):
            await app(scope, None, send)

    asyncio.run(ask())


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
