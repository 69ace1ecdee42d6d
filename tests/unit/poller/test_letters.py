"""What becomes of dead letters that cannot go out as they are, and of those behind them."""

import pytest

from marketdata.domain.dead_letter import DeadLetter
from marketdata.messages import topics
from marketdata_poller.letters import AT_ONCE
from support.brokers import size
from support.letter_relay import DLQ, EVENTS, LARGE, REFUSED, World
from support.letters import a_letter


@pytest.mark.parametrize(
    ("letter", "goes_out_as"),
    [
        (a_letter(key=b"k", value=b"v", headers=[("h", b"1")]), (b"k", b"v", b"1")),
        (a_letter(key=b"k", value=LARGE, headers=[("h", b"1")]), (b"k", None, b"1")),
        (a_letter(key=LARGE, value=b"v", headers=[("h", b"1")]), (None, None, None)),
        (a_letter(key=b"k", value=b"v", headers=[("h", LARGE)]), (None, None, None)),
        (a_letter(key=None, value=None, headers=[("h", LARGE)]), (None, None, None)),
    ],
    ids=["small", "value", "key", "headers", "headers alone"],
)
def test_a_letter_goes_out_as_whole_as_its_topic_takes_it_and_is_marked(
    world: World, letter: DeadLetter, goes_out_as: tuple[bytes | None, ...]
) -> None:
    ids = world.letters.keep([letter])

    world.relay.turn()

    (taken,) = world.broker.taken
    headers = dict(taken.headers)
    assert (taken.topic, headers[topics.HEADER_DLQ_ID]) == (DLQ, str(ids[0]).encode())
    assert (taken.key, taken.value, headers.get("h")) == goes_out_as
    assert not world.letters.unforwarded_ids


def test_letters_refused_in_company_only_go_out_whole(world: World) -> None:
    world.broker.in_company = True
    kept = [a_letter(offset, value=b"x" * 300) for offset in range(5)]
    world.letters.keep(kept)

    world.relay.turn()

    assert [message.value for message in world.broker.taken] == [letter.value for letter in kept]
    assert not world.letters.unforwarded_ids


def test_letters_too_large_by_their_headers_hold_up_none_behind_them(world: World) -> None:
    world.letters.keep([a_letter(offset, headers=[("h", LARGE)]) for offset in range(2 * AT_ONCE)])
    small = world.letters.keep([a_letter(1_000 + offset) for offset in range(5)])

    world.turn_for(1)

    assert not world.letters.unforwarded_ids
    assert [dict(message.headers)[topics.HEADER_DLQ_ID] for message in world.broker.taken[-5:]] == [
        str(each).encode() for each in small
    ]


def test_letters_refused_even_as_their_marks_are_set_aside_for_others_with_an_error_and_come_again(
    world: World,
) -> None:
    world.broker.refused = {None}
    refused = world.letters.keep([a_letter(offset, key=None) for offset in range(AT_ONCE)])
    world.letters.keep([a_letter(1_000 + offset) for offset in range(5)])

    world.turn_for(60)

    assert world.letters.unforwarded_ids == set(refused)
    assert [message.key for message in world.broker.taken] == [b"synthetic:AAPL"] * 5
    assert world.said() == [f"error: {REFUSED}"]
    assert world.log.calls[0].kwargs["ids"] == [str(each) for each in refused]

    late = world.letters.keep([a_letter(2_000)])
    world.turn_for(1)
    assert not world.letters.unforwarded_ids & set(late)

    world.broker.refused = set()
    world.turn_for(600)
    assert not world.letters.unforwarded_ids


def test_letters_set_aside_are_asked_of_no_broker_meanwhile(world: World) -> None:
    world.broker.limit = 0
    world.letters.keep([a_letter(offset) for offset in range(3)])
    world.turn_for(1)
    asked = len(world.broker.calls)

    world.turn_for(500)

    assert len(world.broker.calls) == asked


def test_letters_that_are_never_confirmed_hold_up_none_behind_them(world: World) -> None:
    world.broker.unconfirmed = {b"never"}
    never = world.letters.keep([a_letter(offset, key=b"never") for offset in range(AT_ONCE)])
    world.letters.keep([a_letter(1_000)])

    world.turn_for(5)
    assert world.letters.unforwarded_ids == set(never)
    assert world.said()[0] == "warning: dead letters do not go out"

    world.broker.unconfirmed = set()
    world.turn_for(60)
    assert not world.letters.unforwarded_ids


def test_a_missing_topic_is_asked_for_ever_more_seldom_and_said_once_until_it_is_there(world: World) -> None:
    world.broker.missing = {DLQ}
    world.letters.keep([a_letter()])

    world.turn_for(600)

    assert world.said() == ["warning: dead letters do not go out"]
    assert 20 <= world.broker.calls.count(DLQ) <= 30

    world.broker.missing = set()
    world.turn_for(31)
    assert not world.letters.unforwarded_ids
    assert world.said()[1:] == ["info: dead letters go out again"]


def test_a_missing_dead_letter_topic_holds_up_no_replay(world: World) -> None:
    world.broker.missing = {DLQ}
    ids = world.letters.keep([a_letter()])
    world.turn_for(60)
    world.letters.request_replay(ids)

    world.turn_for(1)

    assert [message.topic for message in world.broker.taken] == [EVENTS]
    assert not world.letters.requested_ids


def test_a_replay_that_is_too_large_is_given_up_with_an_error_and_one_too_large_in_company_is_not(
    world: World,
) -> None:
    world.broker.in_company = True
    kept = [a_letter(0, value=b"x" * 600), a_letter(1, value=LARGE), a_letter(2, value=b"y" * 600)]
    ids = world.letters.keep(kept)
    world.letters.unforwarded_ids.clear()
    world.letters.request_replay(ids)

    world.relay.turn()

    assert [(message.topic, message.value) for message in world.broker.taken] == [
        (EVENTS, kept[0].value),
        (EVENTS, kept[2].value),
    ]
    assert not world.letters.requested_ids
    assert world.said() == ["error: dead letters cannot be replayed"]
    assert world.log.calls[0].kwargs["ids"] == [str(ids[1])]


def test_what_the_marks_weigh_fits_wherever_an_event_does(world: World) -> None:
    world.letters.keep([a_letter(2**40, key=LARGE)])

    world.relay.turn()

    assert size(world.broker.taken[0]) < 200
