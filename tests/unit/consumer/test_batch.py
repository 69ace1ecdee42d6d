"""Which messages a batch refuses for their time."""

from datetime import datetime, timedelta

import pytest

from marketdata.messages import price_event
from marketdata_consumer.batch import Batch, Gathering
from support.builders import NOON, a_price
from support.messages import AMessage

TWO_HOURS = timedelta(hours=2)


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
