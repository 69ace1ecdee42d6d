"""Recording an answer: what is stored, what is counted, and what a lost lease keeps out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from marketdata.clock import SystemClock
from marketdata.domain.poll import Outcome, outcome_of
from marketdata.domain.publication import Observation
from marketdata.errors import BreakerOpen, UnknownSymbol
from marketdata.identifiers import uuid7
from marketdata.messages import price_event
from marketdata.storage.job_book import PostgresJobBook
from marketdata.storage.job_queue import PostgresJobQueue
from marketdata.storage.ledger import PostgresLedger
from marketdata.storage.outcomes import PostgresOutcomes, Recorded, Recording
from marketdata.storage.raw_archive import PostgresRawArchive
from support.builders import a_job, a_price, a_raw
from support.servers import Database

the_time = SystemClock().now

LEASE = timedelta(hours=1)


@pytest.fixture
def book(database: Database) -> PostgresJobBook:
    return PostgresJobBook(database.engine)


@pytest.fixture
def queue(database: Database) -> PostgresJobQueue:
    return PostgresJobQueue(database.engine, owner="tests", lease=LEASE)


@pytest.fixture
def outcomes(database: Database) -> PostgresOutcomes:
    return PostgresOutcomes(database.engine, poller="tests", lease=LEASE)


def scalar(database: Database, statement: str, **values: object) -> Any:
    with database.engine.begin() as connection:
        return connection.execute(sa.text(statement), values).scalar_one()


def answered(
    *symbols: str,
    price: str = "1.5",
    fetched_at: datetime | None = None,
    observed_at: datetime | None = None,
    body: bytes = b"{}",
) -> dict[str, Any]:
    fetched = fetched_at or the_time()
    raw = a_raw(symbols, fetched_at=fetched, body=body)
    points = [
        a_price(
            symbol=symbol,
            price=price,
            observed_at=observed_at or fetched,
            fetched_at=fetched,
            raw_response_id=raw.raw_response_id,
        )
        for symbol in symbols
    ]
    return {"raws": (raw,), "observations": tuple(Observation(uuid7(fetched), point) for point in points)}


def poll(queue: PostgresJobQueue, outcomes: PostgresOutcomes, **answer: Any) -> Recorded:
    claim = queue.claim("synthetic")
    return outcomes.record(Recording("synthetic", claim.claimed_at, claim.jobs, claim.known, **answer))


def test_an_answer_leaves_its_bytes_its_events_and_a_completed_poll(
    database: Database, book: PostgresJobBook, queue: PostgresJobQueue, outcomes: PostgresOutcomes
) -> None:
    job = book.create(a_job("AAPL", "MSFT"))
    answer = answered("AAPL", "MSFT", body=b"\x00\xff exactly")
    asked_at = the_time()
    recorded = poll(queue, outcomes, **answer)

    assert recorded.completed.keys() == {job.job_id}
    (raw,) = answer["raws"]
    assert PostgresRawArchive(database.engine).get(raw.raw_response_id) == raw
    with database.engine.begin() as connection:
        payloads = connection.scalars(sa.text("select payload from outbox order by symbol")).all()
    assert [price_event.decode(bytes(value)) for value in payloads] == [
        each.point for each in answer["observations"]
    ]
    view = book.get(job.job_id)
    assert view.last_success_at is not None
    assert view.due_at > asked_at
    assert view.failing == {}


def test_the_same_price_at_the_same_time_is_unchanged_and_still_an_event(
    database: Database, book: PostgresJobBook, queue: PostgresJobQueue, outcomes: PostgresOutcomes
) -> None:
    job = book.create(a_job("AAPL"))
    at = the_time()
    first = poll(queue, outcomes, **answered("AAPL", observed_at=at))
    book.poll_now(job.job_id)
    second = poll(queue, outcomes, **answered("AAPL", observed_at=at))
    book.poll_now(job.job_id)
    third = poll(queue, outcomes, **answered("AAPL", observed_at=at, price="1.6"))

    assert [each.outcomes["AAPL"].outcome for each in (first, second, third)] == [
        Outcome.FRESH,
        Outcome.UNCHANGED,
        Outcome.FRESH,
    ]
    assert scalar(database, "select count(*) from outbox") == 3


def test_one_bad_symbol_fails_alone_and_is_named(
    book: PostgresJobBook, queue: PostgresJobQueue, outcomes: PostgresOutcomes
) -> None:
    job = book.create(a_job("AAPL", "NOPE"))
    claim = queue.claim("synthetic")
    missed = {"NOPE": outcome_of(UnknownSymbol("no such symbol"), claim.claimed_at)}
    outcomes.record(
        Recording("synthetic", claim.claimed_at, claim.jobs, {}, missed=missed, **answered("AAPL"))
    )
    view = book.get(job.job_id)

    assert view.consecutive_failures == 0
    assert view.last_reason == "unknown_symbol"
    assert view.failing["NOPE"]["message"] == "no such symbol"


def test_since_when_a_symbol_fails_is_kept_over_later_failures(
    book: PostgresJobBook, queue: PostgresJobQueue, outcomes: PostgresOutcomes
) -> None:
    job = book.create(a_job("NOPE"))
    since = []
    for _ in range(2):
        book.poll_now(job.job_id)
        claim = queue.claim("synthetic")
        missed = {"NOPE": outcome_of(UnknownSymbol(), claim.claimed_at)}
        outcomes.record(Recording("synthetic", claim.claimed_at, claim.jobs, {}, missed=missed))
        since.append(book.get(job.job_id).failing["NOPE"]["since"])

    assert since[0] == since[1]
    assert book.get(job.job_id).consecutive_failures == 2


def test_a_skipped_symbol_completes_the_poll_and_is_not_remembered_as_asked(
    database: Database, book: PostgresJobBook, queue: PostgresJobQueue, outcomes: PostgresOutcomes
) -> None:
    job = book.create(a_job("AAPL"))
    claim = queue.claim("synthetic")
    missed = {"AAPL": outcome_of(BreakerOpen(), claim.claimed_at)}
    recorded = outcomes.record(Recording("synthetic", claim.claimed_at, claim.jobs, {}, missed=missed))

    assert recorded.completed[job.job_id].skipped == {"breaker_open": 1}
    assert scalar(database, "select count(*) from symbol_states") == 0
    (row,) = PostgresLedger(database.engine).polls(
        job.job_id, the_time() - timedelta(hours=2), the_time() + timedelta(hours=1)
    )
    assert (row.asked, row.skipped, row.imbalance) == (1, {"breaker_open": 1}, 0)


def test_a_job_over_several_requests_survives_a_crash_between_them(
    database: Database, book: PostgresJobBook, queue: PostgresJobQueue, outcomes: PostgresOutcomes
) -> None:
    job = book.create(a_job("A", "B"))
    first = queue.claim("synthetic")
    outcomes.record(Recording("synthetic", first.claimed_at, first.jobs, {}, **answered("A")))
    with database.engine.begin() as connection:
        connection.execute(sa.text("update polling_schedule set lease_until = now()"))
    second = queue.claim("synthetic")

    assert second.known.keys() == {"A"}
    recorded = outcomes.record(
        Recording("synthetic", second.claimed_at, second.jobs, second.known, **answered("B"))
    )
    assert recorded.completed[job.job_id].fresh == 2


def test_an_answer_under_a_lost_lease_is_kept_as_raw_only(
    database: Database, book: PostgresJobBook, queue: PostgresJobQueue, outcomes: PostgresOutcomes
) -> None:
    book.create(a_job("A"))
    lost = queue.claim("synthetic")
    with database.engine.begin() as connection:
        connection.execute(sa.text("update polling_schedule set lease_until = now()"))
    taken = queue.claim("synthetic")
    late = outcomes.record(Recording("synthetic", lost.claimed_at, lost.jobs, {}, **answered("A")))
    kept = outcomes.record(Recording("synthetic", taken.claimed_at, taken.jobs, {}, **answered("A")))

    assert (late.completed, late.events, len(late.lost)) == ({}, 0, 1)
    assert (len(kept.completed), kept.events) == (1, 1)
    assert scalar(database, "select count(*) from raw_market_data where fenced") == 1
    assert scalar(database, "select count(*) from polls") == 1


def test_jobs_completed_by_a_commit_that_was_not_heard_of_are_not_lost(
    book: PostgresJobBook, queue: PostgresJobQueue, outcomes: PostgresOutcomes
) -> None:
    job = book.create(a_job("A"))
    claim = queue.claim("synthetic")
    recording = Recording("synthetic", claim.claimed_at, claim.jobs, {}, **answered("A"))
    outcomes.record(recording)
    again = outcomes.record(recording)

    assert again.recorded_before == {job.job_id}
    assert (len(again.lost), again.events) == (0, 0)


def test_what_postgres_cannot_hold_is_escaped_in_messages_and_headers(
    database: Database, book: PostgresJobBook, queue: PostgresJobQueue, outcomes: PostgresOutcomes
) -> None:
    book.create(a_job("A"))
    claim = queue.claim("synthetic")
    raw = replace(a_raw(("A",), fetched_at=the_time()), headers={"x-\0": "a\0b\ud800"})
    missed = {"A": outcome_of(UnknownSymbol("no \0 such"), claim.claimed_at)}
    recorded = outcomes.record(
        Recording("synthetic", claim.claimed_at, claim.jobs, {}, raws=(raw,), missed=missed)
    )

    assert len(recorded.completed) == 1
    assert scalar(database, "select message from symbol_states") == "no \\0 such"
    kept = PostgresRawArchive(database.engine).get(raw.raw_response_id)
    assert kept is not None
    assert dict(kept.headers) == {"x-\\0": "a\\0b\\ud800"}


def test_a_day_without_a_partition_is_mended_on_the_way(
    database: Database, book: PostgresJobBook, queue: PostgresJobQueue, outcomes: PostgresOutcomes
) -> None:
    book.create(a_job("A"))
    strange = datetime(2031, 5, 6, 7, 8, tzinfo=UTC)
    recorded = poll(queue, outcomes, **answered("A", fetched_at=strange, observed_at=strange))

    assert len(recorded.completed) == 1
    assert scalar(database, "select count(*) from raw_market_data_20310506") == 1
    assert scalar(database, "select count(*) from outbox_20310506") == 1


def test_an_older_answer_recorded_late_does_not_replace_what_is_known(
    database: Database, book: PostgresJobBook, queue: PostgresJobQueue, outcomes: PostgresOutcomes
) -> None:
    book.create(a_job("A"))
    book.create(a_job("A", interval_seconds=30))
    claim = queue.claim("synthetic")
    slow, quick = claim.jobs
    outcomes.record(Recording("synthetic", claim.claimed_at, [quick], {}, **answered("A", price="2")))
    outcomes.record(
        Recording(
            "synthetic", claim.claimed_at - timedelta(seconds=9), [slow], {}, **answered("A", price="1")
        )
    )

    assert scalar(database, "select price from symbol_states") == 2
