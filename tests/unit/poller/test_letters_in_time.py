"""That every dead letter has its turn however slow a broker is, and comes again when the log says."""

from contextlib import AbstractContextManager
from uuid import UUID

import pytest

from marketdata_poller.letters import AT_ONCE
from support.letter_relay import DLQ, EVENTS, LARGE, LIMIT, REFUSED, World
from support.letters import MemoryLetterBatch, a_letter


def test_letters_too_large_for_a_slow_way_are_all_shortened_over_the_turns_it_takes(world: World) -> None:
    world.broker.bytes_a_second = 9 * LIMIT
    world.letters.keep([a_letter(offset, value=LARGE) for offset in range(AT_ONCE)])

    world.turn_for(60)

    assert not world.letters.unforwarded_ids
    assert [message.value for message in world.broker.taken] == [None] * AT_ONCE
    assert world.said() == []


def test_a_letter_that_is_committed_after_others_with_higher_ids_went_out_goes_out_too(world: World) -> None:
    late, _ = world.letters.keep([a_letter(0), a_letter(1)])
    world.letters.unforwarded_ids.discard(late)
    world.turn_for(1)

    world.letters.unforwarded_ids.add(late)
    world.turn_for(1)

    assert not world.letters.unforwarded_ids


def test_a_letter_is_tried_alone_in_all_its_forms_however_slow_the_way_is(world: World) -> None:
    world.broker.seconds_a_call = 6
    world.letters.keep([a_letter(offset, key=LARGE) for offset in range(3)])

    world.relay.turn()
    assert len(world.broker.taken) == 1

    world.turn_for(120)
    assert not world.letters.unforwarded_ids
    assert world.said() == []


def test_letters_refused_only_in_company_go_out_though_those_before_them_take_all_the_time(
    world: World,
) -> None:
    world.broker.seconds_a_call = 0.045
    world.broker.is_compacted = True
    refused = world.letters.keep([a_letter(offset, key=None) for offset in range(45)])
    world.letters.keep([a_letter(1_000 + offset) for offset in range(5)])

    world.turn_for(60)

    assert world.letters.unforwarded_ids == set(refused)
    assert [message.key for message in world.broker.taken] == [b"synthetic:AAPL"] * 5
    said = world.refusals_said()
    assert len(world.said()) == len(said)  # nothing else was said
    assert [each for line in said for each in line["ids"]] == [str(each) for each in refused]

    world.turn_for(520)
    assert world.refusals_said() == said  # and not again before its time


def test_a_replay_that_got_no_time_alone_is_neither_given_up_nor_trouble_and_goes_out_soon(
    world: World,
) -> None:
    world.broker.seconds_a_call = 6
    world.broker.in_company = True
    ids = world.letters.keep([a_letter(offset, value=b"x" * 600) for offset in range(3)])
    world.letters.unforwarded_ids.clear()
    world.letters.request_replay(ids)

    assert world.relay.turn()
    assert world.letters.requested_ids == set(ids[1:])

    world.turn_for(60)
    assert not world.letters.requested_ids
    assert len(world.broker.taken) == 3
    assert world.said() == []


def test_letters_that_are_all_refused_are_not_said_to_go_out_again(world: World) -> None:
    world.broker.missing = {DLQ}
    world.broker.refused = {None}
    world.letters.keep([a_letter(offset, key=None) for offset in range(3)])
    world.turn_for(5)

    world.broker.missing = set()
    world.turn_for(60)
    assert world.said() == ["warning: dead letters do not go out", f"error: {REFUSED}"]

    world.letters.keep([a_letter(1_000)])
    world.turn_for(1)
    assert world.said()[2:] == ["info: dead letters go out again"]


def test_replays_that_are_all_given_up_are_not_said_to_go_out_again(world: World) -> None:
    world.broker.missing = {EVENTS}
    ids = world.letters.keep([a_letter(value=LARGE)])
    world.letters.unforwarded_ids.clear()
    world.letters.request_replay(ids)
    world.turn_for(5)

    world.broker.missing = set()
    world.turn_for(60)

    assert world.said() == [
        "warning: dead letters do not go out",
        "error: dead letters cannot be replayed",
    ]


@pytest.mark.parametrize("never_first", [True, False])
def test_refused_letters_come_again_when_their_log_line_says_whatever_is_not_confirmed_beside_them(
    world: World, never_first: bool
) -> None:
    never = [a_letter(1, key=b"never")]
    large = [a_letter(10 + offset, key=None) for offset in range(AT_ONCE + 3)]
    world.broker.refused = {None}
    world.broker.unconfirmed = {b"never"}
    world.letters.keep([*never, *large] if never_first else [*large, *never])

    world.turn_for(590)
    first = world.refusals_said()
    assert sum(len(each["ids"]) for each in first) == len(large)
    assert {each["again_in_seconds"] for each in first} == {600}
    assert {str(each["said"]) for each in first} == {"['too large']"}

    world.turn_for(80)
    assert len(world.refusals_said()) == 2 * len(first)


def test_letters_refused_late_are_said_to_come_again_when_those_before_them_do(world: World) -> None:
    world.broker.refused = {None}
    world.letters.keep([a_letter(0, key=None)])
    world.turn_for(400)
    world.letters.keep([a_letter(1, key=None)])
    world.turn_for(1)

    late = world.refusals_said()[1]["again_in_seconds"]
    assert late == pytest.approx(200, abs=2)

    world.turn_for(190)
    assert len(world.refusals_said()) == 2
    world.turn_for(20)
    assert len(world.refusals_said()) == 3


def test_a_letter_not_confirmed_after_the_pass_comes_again_soon_though_refused_ones_wait(
    world: World,
) -> None:
    world.broker.refused = {None}
    refused = world.letters.keep([a_letter(0, key=None)])
    world.turn_for(60)
    world.broker.unconfirmed = {b"not yet"}
    world.letters.keep([a_letter(1, key=b"not yet")])
    world.turn_for(1)

    world.broker.unconfirmed = set()
    world.turn_for(31)

    assert world.letters.unforwarded_ids == set(refused)


def test_a_turn_over_a_slow_broker_and_a_slow_store_beats_often_enough_for_the_smallest_limit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    late: list[dict[str, float]] = []
    claim = world.letters.unforwarded

    def claim_slowly(limit: int, *, after: UUID) -> AbstractContextManager[MemoryLetterBatch]:
        world.clock.advance(11)
        late.append(world.heartbeats.late())
        return claim(limit, after=after)

    monkeypatch.setattr(world.letters, "unforwarded", claim_slowly)
    world.broker.on_time_gone = lambda: late.append(world.heartbeats.late())
    world.broker.seconds_a_call = 10.5
    ids = world.letters.keep([a_letter(0, key=LARGE), a_letter(1, value=LARGE)])
    world.letters.request_replay(ids)

    world.turn_for(300)

    assert not world.letters.unforwarded_ids
    assert not world.letters.requested_ids
    assert len(late) > 5
    assert not any(late)
