"""Stored answers, told again as points of provider `replay`.

Each fetch gives, for each symbol, the next stored answer of the replayed provider that has a price
for it, in the order they were fetched, beginning MARKETDATA_REPLAY_HOURS before the provider was
made; after the last one there is no data until another is stored. The stored bytes are read by
the provider they came from. Prices keep their observed_at, so a replay told twice, after a
restart or by two pollers, ends in the same points.

Every answer told again is stored again, under an id of its own: its headers say what it repeats.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from marketdata.clock import Clock, SystemClock
from marketdata.domain.answer import Answer, Parsed, RawResponse
from marketdata.errors import BadResponse, MarketDataError, Misconfigured, NoData
from marketdata.identifiers import lower_bound, time_of, uuid7
from marketdata.settings import PostgresSettings
from marketdata.storage.engine import create_engine
from marketdata.storage.raw_archive import PostgresRawArchive
from marketdata_poller.ports import Capabilities, RequestGate
from marketdata_poller.providers import settings
from marketdata_poller.providers.answers import combine, said
from marketdata_poller.providers.registry import InstalledProviders
from marketdata_poller.providers.settings import ReplaySettings

NAME = "replay"
ENDPOINT = "archive"
REPEATS = "x-replay-of"
FIRST_FETCHED_AT = "x-replay-fetched-at"
_LOOK_AHEAD = 64  # answers read in one fetch; a symbol without prices is passed over at this pace


class RawArchive(Protocol):
    """Where stored answers are."""

    def find(
        self, provider: str, symbols: Sequence[str], start: datetime, end: datetime, limit: int
    ) -> Iterable[RawResponse]:
        """Return at most `limit` answers of `provider` about any of `symbols`, oldest first.

        `start` ≤ fetched_at < `end`, to the millisecond. Blocks; raises StoreUnavailable.
        """


class Reader(Protocol):
    """What understands the stored bytes: the provider they came from."""

    def parse(self, raw: RawResponse) -> Parsed:
        """Return what `raw` says; pure."""


class ReplayProvider:
    """The archive as a provider."""

    name = NAME

    def __init__(
        self,
        *,
        archive: RawArchive,
        reader: Reader,
        original: str,
        start: datetime,
        requests_per_minute: float,
        clock: Clock,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        """Tell answers of provider `original`, read by `reader`, from `start` on."""
        self.capabilities = Capabilities(
            max_symbols_per_request=500,
            requests_per_minute=requests_per_minute,
            burst=max(1, int(requests_per_minute // 10)),
            deadline_seconds=15.0,
        )
        self._archive = archive
        self._reader = reader
        self._original = original
        self._start = lower_bound(start)
        self._clock = clock
        self._on_close = on_close
        self._told: dict[str, UUID] = {}

    def fetch(self, symbols: Sequence[str], *, gate: RequestGate) -> Answer:
        """Return each symbol's next stored price."""
        try:
            gate.take(ENDPOINT)
        except MarketDataError as error:
            return combine(symbols, (), self.parse, unanswered=error)
        try:
            raws = self._next(symbols)
        except MarketDataError as error:
            gate.failed(ENDPOINT, error)
            return combine(symbols, (), self.parse, unanswered=error)
        gate.succeeded(ENDPOINT)
        finished = NoData(f"no stored {self._original} answer with a price is left to replay")
        return combine(symbols, raws, self.parse, unanswered=finished)

    def parse(self, raw: RawResponse) -> Parsed:
        """Read `raw` as the provider it came from read it then, for the symbols it is told for."""
        if FIRST_FETCHED_AT not in raw.headers:
            return Parsed(failures=dict.fromkeys(raw.symbols, BadResponse("not an answer told again")))
        said = self._reader.parse(_as_first_told(raw, self._original))
        return Parsed(
            quotes={symbol: said.quotes[symbol] for symbol in raw.symbols if symbol in said.quotes},
            failures={symbol: said.failures[symbol] for symbol in raw.symbols if symbol in said.failures},
        )

    def close(self) -> None:
        """Close the archive's connections; a later fetch opens new ones."""
        self._on_close()

    def _next(self, symbols: Sequence[str]) -> list[RawResponse]:
        """Return the answers to tell now, each for the symbols whose turn it is, and move on.

        Symbols that stand at the same place, as those of one batch do, are looked up together.
        """
        now = self._clock.now()
        told: list[RawResponse] = []
        moved: dict[str, UUID] = {}
        places: dict[UUID, list[str]] = {}
        for symbol in symbols:
            places.setdefault(self._told.get(symbol, self._start), []).append(symbol)
        for place, group in places.items():
            waiting = set(group)
            for stored in self._archive.find(self._original, group, time_of(place), now, _LOOK_AHEAD):
                if stored.raw_response_id <= place:
                    continue
                moved |= dict.fromkeys(waiting, stored.raw_response_id)
                quotes = said(stored, self._reader.parse).quotes
                priced = [symbol for symbol in group if symbol in waiting and symbol in quotes]
                if priced:
                    told.append(_told_again(stored, priced, now))
                    waiting.difference_update(priced)
                if not waiting:
                    break
        self._told |= moved
        return told


def _told_again(stored: RawResponse, symbols: Sequence[str], now: datetime) -> RawResponse:
    return replace(
        stored,
        raw_response_id=uuid7(now),
        provider=NAME,
        headers={
            **stored.headers,
            REPEATS: str(stored.raw_response_id),
            FIRST_FETCHED_AT: stored.fetched_at.isoformat(),
        },
        symbols=tuple(symbols),
        fetched_at=now,
    )


def _as_first_told(raw: RawResponse, original: str) -> RawResponse:
    """Return the stored answer that `raw` repeats: what it says may depend on when it was fetched."""
    return replace(raw, provider=original, fetched_at=datetime.fromisoformat(raw.headers[FIRST_FETCHED_AT]))


def create(environ: Mapping[str, str]) -> ReplayProvider:
    """Return the provider over the archive of DATABASE_URL; connects at the first fetch.

    Raises Misconfigured where DATABASE_URL is missing or the replayed provider cannot be made.
    """
    values = settings.read(NAME, ReplaySettings, environ)
    if values.provider == NAME:
        raise Misconfigured("MARKETDATA_REPLAY_PROVIDER is replay; name the provider to replay")
    postgres = settings.read("postgres", PostgresSettings, environ)
    providers = InstalledProviders(environ=environ)
    reader = providers.get(values.provider)
    clock = SystemClock()
    engine = create_engine(postgres, application="marketdata-replay")

    def close() -> None:
        engine.dispose()
        providers.close()

    return ReplayProvider(
        archive=PostgresRawArchive(engine),
        reader=reader,
        original=values.provider,
        start=clock.now() - timedelta(hours=values.hours),
        requests_per_minute=values.requests_per_minute,
        clock=clock,
        on_close=close,
    )
