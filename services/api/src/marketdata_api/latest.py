"""GET /prices/latest: the read rule, and the shortest way from a request to its bytes.

Redis first, and where it has nothing, or is away, Postgres; what Postgres said then fills the
cache unless somebody was faster. Both hold and give one rendering, so an answer does not tell
where it came from but for X-Cache. All requests of one turn of the event loop share one MGET, and
those that miss one SELECT.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from hashlib import blake2b
from typing import Literal, NamedTuple, TypeVar, get_args
from urllib.parse import parse_qs

from marketdata.cache.reader import latest_key
from marketdata.clock import Clock
from marketdata.domain.staleness import interval_seconds
from marketdata.domain.symbol import parse_provider, parse_symbol
from marketdata.errors import CacheUnavailable, InvalidInput
from marketdata.messages import latest
from marketdata.storage.price_reader import Series
from marketdata.telemetry import logs
from marketdata_api.gathering import Gathering
from marketdata_api.outage import Outage
from marketdata_api.ports import LatestCache, PriceBook
from marketdata_api.problems import NO_DATA_YET, UNKNOWN_SYMBOL, Problem
from marketdata_api.store import StoreCalls

NOT_FOUND_DETAIL = "Price point not found"  # the seed's words

Source = Literal["HIT", "MISS", "BYPASS"]
Headers = list[tuple[bytes, bytes]]

_SOURCE_HEADERS: Mapping[Source, tuple[bytes, bytes]] = {
    source: (b"x-cache", source.encode()) for source in get_args(Source)
}
_JSON = (b"content-type", b"application/json")

_LONGEST_MAX_AGE_SECONDS = 60
_REMEMBERED = 8_192
_LONGEST_REMEMBERED_BYTES = 128  # symbol, provider and their names fit; padding is not kept
_MOST_QUERY_FIELDS = 32
# Microseconds before the year 10000 are rounded into it, and no date can say that.
_LAST_SECOND = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()

Kept = TypeVar("Kept")

_log = logs.get("latest")


class Wanted(NamedTuple):
    """What a query asks for, with the cache's key for it."""

    series: Series
    key: bytes


class Reply(NamedTuple):
    """An answer ready to be sent; `source` is where it came from."""

    status: int
    headers: Headers
    body: bytes
    source: Source


@dataclass(frozen=True, slots=True)
class Prepared:
    """A rendering with the headers that do not move."""

    body: latest.Body
    tags: tuple[bytes, bytes]
    last_modified: bytes
    next_fetch_at: float

    def max_age(self, now: float) -> int:
        """Return how long the answer may be kept: until the next poll is expected, at most 60 s."""
        return max(0, min(_LONGEST_MAX_AGE_SECONDS, int(self.next_fetch_at - now)))


def prepare(rendered: bytes) -> Prepared:
    """Return what can be known of a rendering before it is asked for; ValueError if it is none.

    The tags, fresh and stale, cover all but the age; they are weak because the age moves.
    """
    body = latest.read(rendered)
    try:
        float(body.stale_after_seconds)
    except OverflowError:
        raise ValueError("not a rendering of a latest price: its staleness is beyond all times") from None
    interval = interval_seconds(body.stale_after_seconds) or 0
    digest = blake2b(rendered, digest_size=12).hexdigest()
    return Prepared(
        body=body,
        tags=(f'W/"{digest}-0"'.encode(), f'W/"{digest}-1"'.encode()),
        last_modified=formatdate(min(body.fetched_at, _LAST_SECOND), usegmt=True).encode(),
        next_fetch_at=body.fetched_at + interval,
    )


def wish(symbol: str, provider: str | None) -> Wanted:
    """Return what asks for a series that is known to be well named."""
    return Wanted((symbol, provider), latest_key(symbol, provider))


def parse_query(query: bytes) -> Wanted:
    """Return what `query` asks for; raises InvalidInput. Parameters that are not known are ignored."""
    try:
        fields = parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_QUERY_FIELDS)
    except ValueError:
        raise InvalidInput("the query has too many parameters") from None
    for field in ("symbol", "provider"):
        if len(fields.get(field, ())) > 1:
            raise InvalidInput(f"{field} is there more than once; give it once", field=field)
    if "symbol" not in fields:
        raise InvalidInput("symbol is missing; give ?symbol=AAPL", field="symbol")
    symbol = parse_symbol(fields["symbol"][-1])
    name = fields.get("provider", [""])[-1]
    provider = parse_provider(name) if name else None
    return wish(symbol, provider)


def matches(if_none_match: bytes, tag: bytes) -> bool:
    """Tell whether a client's tags name `tag`, by the weak comparison of RFC 9110 13.1.2."""
    if if_none_match == tag:
        return True
    opaque = tag.removeprefix(b"W/")
    names = (name.strip() for name in if_none_match.split(b","))
    return any(name == b"*" or name.removeprefix(b"W/") == opaque for name in names)


class LatestPrices:
    """Finds latest prices, and answers requests for them."""

    def __init__(
        self, *, cache: LatestCache, cache_outage: Outage, prices: PriceBook, store: StoreCalls, clock: Clock
    ) -> None:
        self._cache = cache
        self._outage = cache_outage
        self._prices = prices
        self._store = store
        self._clock = clock
        self._cached: Gathering[bytes, bytes] = Gathering(self._from_cache)
        self._stored: Gathering[Wanted, bytes] = Gathering(self._from_store)
        self._wanted: dict[bytes, Wanted] = {}
        self._prepared: dict[bytes, Prepared] = {}
        self._fills: set[asyncio.Task[None]] = set()

    async def answer(self, query: bytes, if_none_match: bytes | None) -> Reply:
        """Return the answer to a request; raises InvalidInput, StoreUnavailable and Problem."""
        wanted = self._wanted.get(query)
        if wanted is None:
            wanted = parse_query(query)
            if len(query) <= _LONGEST_REMEMBERED_BYTES:
                _remember(self._wanted, query, wanted)
        found, source = await self.find(wanted)
        if found is None:
            raise await self.absence(wanted)
        now = self._clock.now().timestamp()
        tag = found.tags[found.body.is_stale(now)]
        headers = [
            (b"etag", tag),
            (b"last-modified", found.last_modified),
            (b"cache-control", b"private, max-age=%d" % found.max_age(now)),
            _SOURCE_HEADERS[source],
        ]
        if if_none_match is not None and matches(if_none_match, tag):
            return Reply(304, headers, b"", source)
        body = found.body.at(now)
        headers.append(_JSON)
        headers.append((b"content-length", b"%d" % len(body)))
        return Reply(200, headers, body, source)

    async def find(self, wanted: Wanted) -> tuple[Prepared | None, Source]:
        """Return the price and where it came from; raises StoreUnavailable."""
        source: Source = "BYPASS"
        if not self._outage.on:
            try:
                rendered = await self._cached.ask(wanted.key)
            except CacheUnavailable as error:
                self._outage.begin(error)
            else:
                source = "MISS"
                known = self._known(rendered) if rendered is not None else None
                if known is not None:
                    return known, "HIT"
        stored = await self._stored.ask(wanted)
        # One that could not be prepared would be a defect, and no absence of a price.
        return (self._prepare(stored) if stored is not None else None), source

    async def absence(self, wanted: Wanted) -> Problem:
        """Return why there is no price: a job covers the symbol and none has come yet, or none does."""
        return (await self.absences([wanted]))[0]

    async def absences(self, wanted: Sequence[Wanted]) -> list[Problem]:
        """Return the absence of each of `wanted`, in order, found out with one question."""
        intervals = await self._store.run(
            lambda: self._prices.covering_intervals([one.series for one in wanted])
        )
        return [_absence(intervals.get(one.series)) for one in wanted]

    async def close(self) -> None:
        """Wait for the fills under way."""
        await asyncio.gather(*self._fills)

    def _known(self, rendered: bytes) -> Prepared | None:
        known = self._prepared.get(rendered)
        if known is not None:
            return known
        try:
            return self._prepare(rendered)
        except ValueError:
            # Somebody else's bytes under our key: Postgres knows better, and the consumer
            # replaces them with its next write.
            _log.warning("cached price unreadable", size=len(rendered))
            return None

    def _prepare(self, rendered: bytes) -> Prepared:
        prepared = self._prepared.get(rendered)
        if prepared is None:
            prepared = prepare(rendered)
            _remember(self._prepared, rendered, prepared)
        return prepared

    async def _from_cache(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        values = await self._cache.get_many(keys)
        return {key: value for key, value in zip(keys, values, strict=True) if value is not None}

    async def _from_store(self, wanted: Sequence[Wanted]) -> Mapping[Wanted, bytes]:
        points = await self._store.run(lambda: self._prices.latest_many([one.series for one in wanted]))
        found = {one: latest.render(points[one.series]) for one in wanted if one.series in points}
        if found and not self._outage.on:
            fill = asyncio.get_running_loop().create_task(
                self._fill({one.key: rendered for one, rendered in found.items()})
            )
            self._fills.add(fill)
            fill.add_done_callback(self._fills.discard)
        return found

    async def _fill(self, entries: Mapping[bytes, bytes]) -> None:
        try:
            await self._cache.fill(entries)
        except CacheUnavailable as error:
            self._outage.begin(error)


def _absence(covering_interval_seconds: int | None) -> Problem:
    if covering_interval_seconds is None:
        return Problem(UNKNOWN_SYMBOL, NOT_FOUND_DETAIL)
    retry_after = timedelta(seconds=min(covering_interval_seconds, 5))
    return Problem(NO_DATA_YET, NOT_FOUND_DETAIL, retry_after=retry_after)


def _remember(memory: dict[bytes, Kept], key: bytes, value: Kept) -> None:
    # Emptied when full: cheaper than order kept at each read, and refilled within a moment.
    if len(memory) >= _REMEMBERED:
        memory.clear()
    memory[key] = value
