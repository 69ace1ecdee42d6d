"""What becomes of events: settled, left open, or lost and published again."""

from uuid import uuid4

import pytest
import sqlalchemy as sa

from marketdata.domain.publication import Coordinates
from marketdata.storage.dead_letter_relay import PostgresDeadLetterRelay
from marketdata.storage.dead_letters import PostgresDeadLetters
from support.servers import Database
from support.settling import ACCOUNT, Pipeline, the_time


@pytest.fixture
def pipeline(database: Database) -> Pipeline:
    return Pipeline(database.engine)


def test_a_backlog_alone_publishes_nothing_again(pipeline: Pipeline) -> None:
    pipeline.an_event()
    pipeline.publish()
    pipeline.open_position(0)

    assert pipeline.sweep() == {"open": 1}
    assert pipeline.publish() == 0
    assert pipeline.ledger().open == 1


def test_a_backlog_that_is_looked_at_is_not_written_to(pipeline: Pipeline) -> None:
    pipeline.an_event()
    pipeline.publish()
    pipeline.open_position(0)
    version = "select cast(xmin as text), cast(xmax as text) from outbox"
    before = pipeline.execute(version).one()

    assert pipeline.sweep() == {"open": 1}
    assert pipeline.execute(version).one() == before


def test_an_event_with_its_point_is_stored_and_an_outranked_one_superseded(pipeline: Pipeline) -> None:
    at = the_time()
    pipeline.an_event(observed_at=at)
    second = pipeline.an_event(observed_at=at)
    pipeline.publish()
    pipeline.store(second.point)

    assert pipeline.sweep() == {"stored": 1, "superseded": 1}
    assert pipeline.sweep() == {}
    assert (pipeline.ledger().stored, pipeline.ledger().superseded) == (1, 1)


def test_a_point_of_lower_rank_settles_nothing(pipeline: Pipeline) -> None:
    at = the_time()
    first = pipeline.an_event(observed_at=at)
    pipeline.an_event(observed_at=at)
    pipeline.publish()
    pipeline.store(first.point)

    assert pipeline.sweep() == {"stored": 1, "open": 1}


def test_an_event_that_the_position_passed_without_a_trace_is_lost_and_goes_out_again(
    pipeline: Pipeline,
) -> None:
    pipeline.an_event()
    pipeline.publish(offset=7)
    pipeline.open_position(7)
    assert pipeline.sweep() == {"open": 1}

    pipeline.open_position(8)
    assert pipeline.sweep() == {"lost": 1}
    assert pipeline.ledger().republished == 1
    assert pipeline.publish(offset=9) == 1
    assert pipeline.sweep() == {"open": 1}


def test_a_passed_event_with_its_point_is_not_lost(pipeline: Pipeline) -> None:
    event = pipeline.an_event()
    pipeline.publish(offset=7)
    pipeline.store(event.point)
    pipeline.open_position(8)

    assert pipeline.sweep() == {"stored": 1}


def test_everything_open_in_a_closed_log_is_lost(pipeline: Pipeline) -> None:
    pipeline.an_event()
    pipeline.publish()
    pipeline.execute("update consumer_accounts set closed_at = now()")

    assert pipeline.sweep() == {"lost": 1}


def test_what_was_published_before_its_position_was_reopened_is_lost(pipeline: Pipeline) -> None:
    pipeline.an_event()
    pipeline.publish(offset=5)
    pipeline.open_position(0, opened="now")

    assert pipeline.sweep() == {"lost": 1}


def test_an_event_published_and_consumed_but_never_marked_is_settled_all_the_same(pipeline: Pipeline) -> None:
    event = pipeline.an_event()
    pipeline.store(event.point)

    assert pipeline.sweep() == {"stored": 1}
    assert pipeline.publish() == 0


def test_only_one_process_sweeps_at_a_time(pipeline: Pipeline) -> None:
    with pipeline.engine.begin() as other:
        other.execute(sa.text("select pg_advisory_xact_lock(hashtext('settlement'))"))
        assert pipeline.settlement.sweep() is None


def test_rounds_go_over_all_open_events_in_batches(pipeline: Pipeline) -> None:
    for _ in range(5):
        pipeline.an_event()
    first = pipeline.settlement.sweep(limit=3)
    second = pipeline.settlement.sweep(after=first.cursor, limit=3)

    assert (first.seen, second.seen, second.cursor.int) == (3, 2, 0)


def test_a_dead_letter_settles_its_event_and_a_replay_opens_it_again(pipeline: Pipeline) -> None:
    event = pipeline.an_event()
    pipeline.publish()
    pipeline.dead_letter(event.event_id)
    assert pipeline.sweep() == {"dead": 1}
    assert pipeline.ledger().dead == 1

    assert PostgresDeadLetters(pipeline.engine).request_replay(reason="poison_message") == 1
    with PostgresDeadLetterRelay(pipeline.engine).requested(10) as batch:
        batch.mark_replayed([(batch.letters[0], Coordinates(ACCOUNT, 0, 4))])
    assert (pipeline.ledger().dead, pipeline.ledger().open) == (0, 1)
    assert pipeline.sweep() == {"open": 1}

    pipeline.store(event.point)
    assert pipeline.sweep() == {"stored": 1}


def test_an_event_whose_replay_is_being_committed_is_not_settled_dead(pipeline: Pipeline) -> None:
    event = pipeline.an_event()
    pipeline.publish()
    pipeline.dead_letter(event.event_id)
    PostgresDeadLetters(pipeline.engine).request_replay()
    with PostgresDeadLetterRelay(pipeline.engine).requested(10) as batch:
        batch.mark_replayed([(batch.letters[0], Coordinates(ACCOUNT, 0, 4))])
        assert pipeline.sweep() == {"open": 1}

    assert pipeline.sweep() == {"open": 1}
    assert (pipeline.ledger().dead, pipeline.ledger().open) == (0, 1)


def test_a_replay_that_fails_again_is_dead_again(pipeline: Pipeline) -> None:
    event = pipeline.an_event()
    pipeline.publish()
    pipeline.dead_letter(event.event_id)
    pipeline.sweep()
    PostgresDeadLetters(pipeline.engine).request_replay()
    with PostgresDeadLetterRelay(pipeline.engine).requested(10) as batch:
        batch.mark_replayed([(batch.letters[0], Coordinates(ACCOUNT, 0, 4))])
    pipeline.dead_letter(event.event_id, offset=4)

    assert pipeline.sweep() == {"dead": 1}
    assert pipeline.ledger().dead == 1


def test_a_letter_that_was_replayed_is_asked_for_again_by_its_id_only(pipeline: Pipeline) -> None:
    event = pipeline.an_event()
    pipeline.publish()
    pipeline.dead_letter(event.event_id)
    letters = PostgresDeadLetters(pipeline.engine)
    letters.request_replay()
    with PostgresDeadLetterRelay(pipeline.engine).requested(10) as batch:
        replayed = batch.letters[0].id
        batch.mark_replayed([(batch.letters[0], Coordinates(ACCOUNT, 0, 4))])
    pipeline.dead_letter(event.event_id, offset=4)

    assert letters.request_replay() == 1
    assert letters.request_replay(reason="poison_message") == 0
    assert letters.request_replay(identifiers=[replayed]) == 1


def test_a_replay_asked_for_before_the_sweep_saw_the_letter_counts_nothing_twice(pipeline: Pipeline) -> None:
    event = pipeline.an_event()
    pipeline.publish()
    pipeline.dead_letter(event.event_id)
    PostgresDeadLetters(pipeline.engine).request_replay()
    with PostgresDeadLetterRelay(pipeline.engine).requested(10) as batch:
        batch.mark_replayed([(batch.letters[0], Coordinates(ACCOUNT, 0, 4))])

    assert pipeline.ledger().open == 1


def test_a_foreign_dead_letter_is_replayed_without_an_event(pipeline: Pipeline) -> None:
    pipeline.dead_letter(None)
    PostgresDeadLetters(pipeline.engine).request_replay()
    relay = PostgresDeadLetterRelay(pipeline.engine)
    assert relay.has_waiting()
    with relay.requested(10) as batch:
        batch.mark_replayed([(batch.letters[0], Coordinates(ACCOUNT, 0, 4))])
    with relay.unforwarded(10) as batch:
        batch.mark_forwarded([batch.letters[0].id])

    assert not relay.has_waiting()


def test_a_replay_that_is_given_up_waits_no_longer_and_may_be_asked_for_again(pipeline: Pipeline) -> None:
    event = pipeline.an_event()
    pipeline.publish()
    pipeline.dead_letter(event.event_id)
    assert PostgresDeadLetters(pipeline.engine).request_replay() == 1
    relay = PostgresDeadLetterRelay(pipeline.engine)
    with relay.unforwarded(10) as batch:
        batch.mark_forwarded([batch.letters[0].id])
    with relay.requested(10) as batch:
        batch.give_up([batch.letters[0].id])

    assert not relay.has_waiting()
    assert pipeline.sweep() == {"dead": 1}
    assert PostgresDeadLetters(pipeline.engine).request_replay() == 1


def test_two_relays_never_hold_the_same_event(pipeline: Pipeline) -> None:
    pipeline.an_event()
    with pipeline.outbox.claimed(10) as mine, pipeline.outbox.claimed(10) as theirs:
        assert (len(mine.events), len(theirs.events)) == (1, 0)


def test_an_undelivered_event_stays_unpublished(pipeline: Pipeline) -> None:
    pipeline.an_event()
    with pipeline.outbox.claimed(10) as batch:
        batch.mark_published([])

    assert pipeline.outbox.has_unpublished()
    depth = pipeline.outbox.depth()
    assert (depth.unpublished, depth.open) == (1, 1)


def test_an_event_of_an_unknown_kind_of_id_is_nobodys(pipeline: Pipeline) -> None:
    pipeline.an_event()
    pipeline.publish()
    pipeline.dead_letter(uuid4())

    assert pipeline.sweep() == {"open": 1}
