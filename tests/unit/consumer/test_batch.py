"""Which messages a batch refuses for their time."""

import gc
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from marketdata.messages import price_event
from marketdata_consumer.batch import Batch, Gathering
from support.builders import NOON, a_price
from support.messages import AMessage

TWO_HOURS = timedelta(hours=2)
_ANSWER = UUID("019ab000-0000-7000-8000-000000000000")


def foreign(observed_at: datetime, *, sent_at: datetime | None, offset: int = 0) -> AMessage:
    """Return a message whose `fetched_at` is as far ahead as its timestamp."""
    point = a_price(observed_at=observed_at, fetched_at=observed_at)
    return AMessage(price_event.encode(point), offset, sent_at=sent_at)


def gathered(*messages: AMessage) -> Batch:
    gathering = Gathering({0: 0})
    gathering.add(0, messages)
    return gathering.seal()


def test_a_price_far_ahead_of_its_message_is_dead_and_those_around_it_go_through() -> None:
    batch = gathered(
        foreign(NOON, sent_at=NOON, offset=0),
        foreign(NOON + timedelta(days=365), sent_at=NOON, offset=1),
        foreign(NOON + timedelta(minutes=1), sent_at=NOON, offset=2),
    )

    (letter,) = batch.dead_letters
    assert (letter.offset, letter.reason) == (1, "poison_message")
    assert "two hours after" in letter.detail
    assert [point.observed_at for point in batch.series["synthetic", "AAPL"]] == [
        NOON,
        NOON + timedelta(minutes=1),
    ]
    assert batch.moves[0].next_offset == 3


@pytest.mark.parametrize(("beyond", "dead"), [(timedelta(0), 0), (timedelta(milliseconds=1), 1)])
def test_clocks_may_differ_by_two_hours_in_all(beyond: timedelta, dead: int) -> None:
    assert len(gathered(foreign(NOON + TWO_HOURS + beyond, sent_at=NOON)).dead_letters) == dead


def test_a_message_without_a_time_of_its_own_is_believed() -> None:
    assert not gathered(foreign(NOON + timedelta(days=365), sent_at=None)).dead_letters


def test_an_old_price_sent_late_is_no_poison() -> None:
    assert not gathered(foreign(NOON, sent_at=NOON + timedelta(days=30))).dead_letters


@pytest.mark.parametrize(("beyond", "dead"), [(timedelta(0), 0), (timedelta(milliseconds=1), 1)])
def test_an_answer_from_the_future_would_outrank_all_later_ones_and_is_dead(
    beyond: timedelta, dead: int
) -> None:
    point = a_price(observed_at=NOON, fetched_at=NOON + TWO_HOURS + beyond)

    batch = gathered(AMessage(price_event.encode(point), 0, sent_at=NOON))

    assert len(batch.dead_letters) == dead
    assert all(letter.detail.startswith("fetched_at is") for letter in batch.dead_letters)


@dataclass(frozen=True)
class Timed(AMessage):
    """A message of any time that a producer may give it, in milliseconds."""

    milliseconds: int = 0

    def timestamp(self) -> tuple[int, int]:
        return 1, self.milliseconds


@example(-(2**62), datetime(2026, 3, 2))  # noqa: DTZ001 - as below
@example(2**62, datetime(2026, 3, 2))  # noqa: DTZ001 - as below
@given(st.integers(-(2**63), 2**63 - 1), st.datetimes(min_value=datetime(1900, 1, 1)))  # noqa: DTZ001 - naive bound
def test_no_time_of_a_message_ends_in_an_error(milliseconds: int, naive: datetime) -> None:
    at = naive.replace(tzinfo=UTC)
    body = price_event.encode(a_price(observed_at=at, fetched_at=at, raw_response_id=_ANSWER))
    beside = price_event.encode(a_price())

    batch = gathered(Timed(body, 0, milliseconds=milliseconds), AMessage(beside, 1, sent_at=NOON))

    assert batch.moves[0].next_offset == 2
    ahead = (at - NOON) // timedelta(milliseconds=1) + int(NOON.timestamp()) * 1000 - milliseconds
    assert bool(batch.dead_letters) == (ahead > TWO_HOURS // timedelta(milliseconds=1))
    assert all(0 <= published <= 2**63 for published in batch.published)


@dataclass(frozen=True)
class Unreadable(AMessage):
    """A message whose headers confluent-kafka cannot tell."""

    error: Exception = field(default_factory=lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"))

    def headers(self) -> Sequence[tuple[str, bytes | None]] | None:
        raise self.error

    def set_headers(self, value: list[tuple[str, bytes | None]], /) -> None:
        assert value == []


@pytest.mark.parametrize("error", [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), SystemError()])
def test_a_letter_whose_headers_cannot_be_read_says_so_and_keeps_the_rest(error: Exception) -> None:
    (letter,) = gathered(Unreadable(b"{", 0, named=b"key", error=error)).dead_letters

    assert (letter.key, letter.value, letter.headers, letter.event_id) == (b"key", b"{", (), None)
    assert "not UTF-8" in letter.detail


def test_what_was_refused_is_let_go_with_its_letter() -> None:
    gathering = Gathering({0: 0})
    gc.disable()  # it comes by the number of objects, and would hide here what a few large ones cost there
    tracemalloc.start()
    try:
        for offset in range(20):
            gathering.add(0, [AMessage(b"{" * 1_000_000, offset)])
            gathering.seal()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()

    assert held < 2_000_000


@pytest.mark.parametrize("place", ["body", "named", "extra"])
def test_letters_are_heavy_by_all_that_is_kept_of_them(place: str) -> None:
    big = bytes(9 * 2**20)
    gathering = Gathering({0: 0})
    gathering.add(0, [AMessage(b"{", 0)])
    assert not gathering.is_heavy

    given = {"body": b"{", place: [("h", big)] if place == "extra" else big}
    gathering.add(0, [AMessage(at=1, **given)])  # type: ignore[arg-type]

    assert gathering.is_heavy
