"""What every provider owes the poller, asked of all of them.

yfinance runs against the stand-in as a real process, Alpha Vantage against a server, the others
against nothing but their own data.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from marketdata.clock import ManualClock, SystemClock
from marketdata.domain.answer import Answer, RawResponse
from marketdata.domain.price import parse_price
from marketdata.errors import BreakerOpen, BudgetExhausted, MarketDataError, StoreUnavailable, UnknownSymbol
from marketdata.identifiers import time_of
from marketdata_poller.ports import Provider
from marketdata_poller.providers.registry import InstalledProviders
from marketdata_poller.providers.replay import ReplayProvider
from marketdata_poller.providers.settings import SyntheticSettings
from marketdata_poller.providers.synthetic import SyntheticProvider
from support import alpha_vantage
from support.archive import MemoryRawArchive
from support.providers import OpenGate, ScriptedProvider, ShutGate, essence
from support.yahoo import Yahoo
from support.yfinance_provider import a_provider


@dataclass(frozen=True)
class Subject:
    """A provider, symbols it has prices for, one it does not know, and its upstream's own count."""

    provider: Provider
    known: tuple[str, ...]
    unknown: str
    requests: Callable[[], int] | None = None


def _synthetic() -> SyntheticProvider:
    return SyntheticProvider(values=SyntheticSettings.model_construct(), clock=ManualClock())


@pytest.fixture
def synthetic() -> Subject:
    return Subject(_synthetic(), ("AAPL", "MSFT", "^GSPC"), "NOSUCH")


@pytest.fixture
def scripted() -> Subject:
    provider = ScriptedProvider()
    provider.price("AAPL", "231.5")
    provider.price("MSFT", "402.25")
    provider.fail("GONE", UnknownSymbol("not there"))
    return Subject(provider, ("AAPL", "MSFT"), "GONE")


@pytest.fixture
def replay() -> Subject:
    archive, clock, source = MemoryRawArchive(), ManualClock(), _synthetic()
    symbols = ("AAPL", "MSFT")
    archive.keep(*source.fetch(symbols, gate=OpenGate()).raws)
    start = clock.now() - timedelta(hours=1)
    clock.advance(60)
    provider = ReplayProvider(
        archive=archive, reader=source, original="synthetic", start=start, requests_per_minute=60, clock=clock
    )
    return Subject(provider, symbols, "NEVER")


@pytest.fixture
def alpha() -> Iterator[Subject]:
    with alpha_vantage.serving() as server:
        provider = InstalledProviders(
            environ={
                "MARKETDATA_ALPHA_VANTAGE_BASE_URL": server.url,
                "ALPHA_VANTAGE_API_KEY": alpha_vantage.KEY,
            }
        ).get("alpha_vantage")
        yield Subject(provider, ("IBM",), alpha_vantage.UNKNOWN, lambda: len(server.asked))
        provider.close()


@pytest.fixture
def yfinance(yahoo: Yahoo, tmp_path: Path) -> Iterator[Subject]:
    provider = a_provider(yahoo, tmp_path / "cache")
    yield Subject(provider, ("AAPL", "MSFT", "VOD.L"), "ZZZZ", lambda: sum(yahoo.counts().values()))
    provider.close()


@pytest.fixture(params=["synthetic", "scripted", "replay", "alpha", "yfinance"])
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.getfixturevalue(request.param)
    return found


def _chunks(subject: Subject, symbols: tuple[str, ...]) -> list[tuple[str, ...]]:
    size = subject.provider.capabilities.max_symbols_per_request
    return [symbols[start : start + size] for start in range(0, len(symbols), size)]


def _said(provider: Provider, raw: RawResponse) -> object:
    parsed = provider.parse(raw)
    return dict(parsed.quotes), {symbol: essence(error) for symbol, error in parsed.failures.items()}


def _assert_whole(answer: Answer, symbols: tuple[str, ...]) -> None:
    assert set(answer.quotes) | set(answer.failures) == set(symbols)
    assert set(answer.quotes).isdisjoint(answer.failures)


def test_every_symbol_asked_ends_in_exactly_one_of_quotes_and_failures(subject: Subject) -> None:
    for chunk in _chunks(subject, (*subject.known, subject.unknown)):
        _assert_whole(subject.provider.fetch(chunk, gate=OpenGate()), chunk)


def test_a_symbol_that_does_not_exist_fails_alone(subject: Subject) -> None:
    quotes: set[str] = set()
    failures: set[str] = set()
    for chunk in _chunks(subject, (*subject.known, subject.unknown)):
        answer = subject.provider.fetch(chunk, gate=OpenGate())
        quotes |= set(answer.quotes)
        failures |= set(answer.failures)

    assert quotes == set(subject.known)
    assert failures == {subject.unknown}


def test_what_a_fetch_says_of_a_symbol_is_what_its_raw_answer_says(subject: Subject) -> None:
    for chunk in _chunks(subject, subject.known):
        answer = subject.provider.fetch(chunk, gate=OpenGate())

        raws = {raw.raw_response_id: raw for raw in answer.raws}
        for symbol, (quote, raw_response_id) in answer.quotes.items():
            assert subject.provider.parse(raws[raw_response_id]).quotes[symbol] == quote


def test_reading_an_answer_twice_says_the_same_and_leaves_it_unchanged(subject: Subject) -> None:
    for chunk in _chunks(subject, (*subject.known, subject.unknown)):
        for raw in subject.provider.fetch(chunk, gate=OpenGate()).raws:
            before = replace(raw, headers=dict(raw.headers))
            assert _said(subject.provider, raw) == _said(subject.provider, raw)
            assert raw == before


def test_prices_can_be_stored_and_times_are_aware(subject: Subject) -> None:
    for chunk in _chunks(subject, subject.known):
        for quote, _ in subject.provider.fetch(chunk, gate=OpenGate()).quotes.values():
            assert parse_price(quote.price) == quote.price
            assert quote.observed_at.utcoffset() == timedelta()


def test_raw_answers_carry_the_provider_and_an_id_of_their_own_time(subject: Subject) -> None:
    seen: set[object] = set()
    for chunk in _chunks(subject, subject.known):
        for raw in subject.provider.fetch(chunk, gate=OpenGate()).raws:
            assert raw.provider == subject.provider.name
            assert abs(time_of(raw.raw_response_id) - raw.fetched_at) < timedelta(milliseconds=1)
            assert set(raw.symbols) <= set(chunk)
            assert all(name == name.lower() for name in raw.headers)
            assert raw.raw_response_id not in seen
            seen.add(raw.raw_response_id)


def test_the_gate_is_asked_before_every_upstream_request_and_told_of_its_end(subject: Subject) -> None:
    gate = OpenGate()
    for chunk in _chunks(subject, (*subject.known, subject.unknown)):
        subject.provider.fetch(chunk, gate=gate)

    assert gate.passed
    assert [endpoint for endpoint, _ in gate.told] == gate.passed
    if subject.requests is not None:
        assert len(gate.passed) == subject.requests()


@pytest.mark.parametrize("error", [BreakerOpen(), BudgetExhausted(), StoreUnavailable()])
def test_a_shut_gate_fails_every_symbol_with_its_reason_and_sends_nothing(
    subject: Subject, error: MarketDataError
) -> None:
    before = subject.requests() if subject.requests else 0
    for chunk in _chunks(subject, subject.known):
        answer = subject.provider.fetch(chunk, gate=ShutGate(error))

        assert {symbol: failure.reason for symbol, failure in answer.failures.items()} == dict.fromkeys(
            chunk, error.reason
        )
        assert answer.raws == ()
    assert (subject.requests() if subject.requests else 0) == before


def test_closing_twice_is_harmless(subject: Subject) -> None:
    subject.provider.close()
    subject.provider.close()


def test_capabilities_are_positive(subject: Subject) -> None:
    capabilities = subject.provider.capabilities

    assert 1 <= capabilities.max_symbols_per_request <= 500
    assert capabilities.requests_per_minute > 0
    assert capabilities.burst >= 1
    assert capabilities.deadline_seconds > 0


def test_the_clock_of_a_provider_is_the_system_s() -> None:
    provider = InstalledProviders(environ={}).get("synthetic")
    before = SystemClock().now()

    (raw,) = provider.fetch(("AAPL",), gate=OpenGate()).raws

    assert before <= raw.fetched_at <= SystemClock().now()
