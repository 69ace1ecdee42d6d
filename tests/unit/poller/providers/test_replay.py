"""Stored answers told again."""

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest

from marketdata.clock import ManualClock
from marketdata.domain.answer import RawResponse
from marketdata.errors import Misconfigured, StoreUnavailable
from marketdata.identifiers import uuid7
from marketdata_poller.providers import replay
from marketdata_poller.providers.replay import REPEATS, ReplayProvider
from support.archive import MemoryRawArchive
from support.builders import NOON, at
from support.providers import OpenGate, ScriptedProvider


class Story:
    """A scripted provider whose answers are kept, and a replay of them."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOON)
        self.original = ScriptedProvider(name="original", clock=self.clock)
        self.archive = MemoryRawArchive()
        self.replay = self.another_replay()

    def another_replay(self) -> ReplayProvider:
        return ReplayProvider(
            archive=self.archive,
            reader=self.original,
            original="original",
            start=NOON,
            requests_per_minute=60,
            clock=self.clock,
        )

    def happens(self, *symbols: str, **prices: str) -> RawResponse:
        """Let a second pass and keep an answer about `symbols` with these prices."""
        self.clock.advance(1)
        for symbol, price in prices.items():
            self.original.price(symbol, price)
        (raw,) = self.original.fetch(symbols or tuple(prices), gate=OpenGate()).raws
        self.archive.keep(raw)
        self.clock.advance(1)
        return raw

    def tells(self, *symbols: str, by: ReplayProvider | None = None) -> dict[str, str]:
        """Return what a fetch says: prices, and the reasons of failures."""
        answer = (by or self.replay).fetch(symbols, gate=OpenGate())
        prices = {symbol: str(quote.price) for symbol, (quote, _) in answer.quotes.items()}
        return prices | {symbol: error.reason for symbol, error in answer.failures.items()}


@pytest.fixture
def story() -> Story:
    return Story()


def test_each_fetch_tells_the_next_stored_price_in_order(story: Story) -> None:
    for price in ("1", "2", "3"):
        story.happens(A=price)

    assert [story.tells("A")["A"] for _ in range(4)] == ["1", "2", "3", "no_data"]


def test_a_stored_answer_that_its_reader_cannot_take_is_passed_over(story: Story) -> None:
    raw = story.happens(A="1")
    story.archive.keep(replace(raw, raw_response_id=uuid7(story.clock.now()), body=b"{}"))
    story.clock.advance(1)
    story.happens(A="2")

    assert [story.tells("A")["A"] for _ in range(3)] == ["1", "2", "no_data"]


def test_a_price_keeps_the_time_it_was_observed_at(story: Story) -> None:
    story.happens(A="1")
    story.clock.advance(3600)

    ((quote, _),) = story.replay.fetch(("A",), gate=OpenGate()).quotes.values()

    assert quote.observed_at == at(1)


def test_a_replay_told_twice_tells_the_same_points(story: Story) -> None:
    for price in ("1", "2"):
        story.happens("A", "B", A=price, B=price)

    again = story.another_replay()

    for _ in range(2):
        told, repeated = (
            [
                (quote.symbol, quote.observed_at, quote.price)
                for quote, _ in one.fetch(("A", "B"), gate=OpenGate()).quotes.values()
            ]
            for one in (story.replay, again)
        )
        assert len(told) == 2
        assert told == repeated


def test_symbols_of_different_answers_are_told_side_by_side(story: Story) -> None:
    story.happens("A", A="1")
    story.happens("B", B="10")
    story.happens("A", A="2")

    assert [story.tells("A", "B") for _ in range(2)] == [{"A": "1", "B": "10"}, {"A": "2", "B": "no_data"}]


def test_answers_without_a_price_are_passed_over(story: Story) -> None:
    story.original.fail_all(StoreUnavailable())
    story.happens("A")
    story.original.recover()
    story.happens("A", A="5")

    assert story.tells("A") == {"A": "5"}


def test_a_replay_goes_on_where_new_answers_are_stored(story: Story) -> None:
    story.happens(A="1")
    story.tells("A")
    assert story.tells("A") == {"A": "no_data"}

    story.happens(A="2")

    assert story.tells("A") == {"A": "2"}


def test_answers_from_before_the_start_are_left_alone(story: Story) -> None:
    early = ScriptedProvider(name="original", clock=ManualClock(at(-5)))
    early.price("A", "0")
    story.archive.keep(*early.fetch(("A",), gate=OpenGate()).raws)
    story.happens(A="1")

    assert story.tells("A") == {"A": "1"}


def test_a_symbol_never_stored_does_not_hold_up_the_others(story: Story) -> None:
    for price in range(200):
        story.happens("A", "NEVER", A=str(price))

    told = [story.tells("A", "NEVER") for _ in range(200)]

    assert told == [{"A": str(price), "NEVER": "no_data"} for price in range(200)]


def test_a_symbol_asked_for_late_begins_at_the_start_without_stopping_the_others(story: Story) -> None:
    for price in range(100):
        story.happens("A", "B", A=str(price), B=str(price))
    for _ in range(98):
        story.tells("A")

    assert [story.tells("A", "B") for _ in range(3)] == [
        {"A": "98", "B": "0"},
        {"A": "99", "B": "1"},
        {"A": "no_data", "B": "2"},
    ]


def test_an_answer_told_again_is_the_stored_bytes_under_an_id_of_its_own(story: Story) -> None:
    stored = story.happens(A="1")

    (raw,) = story.replay.fetch(("A",), gate=OpenGate()).raws

    assert (raw.body, raw.status, raw.url) == (stored.body, stored.status, stored.url)
    assert raw.provider == "replay"
    assert raw.raw_response_id != stored.raw_response_id
    assert uuid.UUID(raw.headers[REPEATS]) == stored.raw_response_id


def test_an_archive_that_is_away_fails_every_symbol_and_loses_no_place(story: Story) -> None:
    class AwayArchive(MemoryRawArchive):
        def find(self, *_: object) -> list[RawResponse]:
            raise StoreUnavailable

    story.happens(A="1")
    away = ReplayProvider(
        archive=AwayArchive(),
        reader=story.original,
        original="original",
        start=NOON - timedelta(hours=1),
        requests_per_minute=60,
        clock=story.clock,
    )

    assert story.tells("A", "B", by=away) == {"A": "store_unavailable", "B": "store_unavailable"}


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({}, "DATABASE_URL"),
        ({"MARKETDATA_REPLAY_PROVIDER": "replay"}, "MARKETDATA_REPLAY_PROVIDER is replay"),
        ({"MARKETDATA_REPLAY_PROVIDER": "No Such"}, "MARKETDATA_REPLAY_PROVIDER"),
        ({"MARKETDATA_REPLAY_PROVIDER": "alpha_vantage"}, "ALPHA_VANTAGE_API_KEY"),
        ({"MARKETDATA_REPLAY_HOURS": "0"}, "MARKETDATA_REPLAY_HOURS"),
    ],
)
def test_a_replay_that_cannot_work_is_refused(variables: dict[str, str], named: str) -> None:
    database = {} if named == "DATABASE_URL" else {"DATABASE_URL": "postgresql://u:p@127.0.0.1/none"}

    with pytest.raises(Misconfigured, match=named):
        replay.create({**database, **variables})
