"""Jobs as they are made, shown, changed and removed."""

from dataclasses import replace
from uuid import uuid4

import pytest

from marketdata.domain.job import Slo
from marketdata.errors import Fenced, InvalidInput
from marketdata.storage.job_book import PostgresJobBook
from support.builders import a_job, an_origin
from support.servers import Database


@pytest.fixture
def book(database: Database) -> PostgresJobBook:
    return PostgresJobBook(database.engine)


def test_a_new_job_is_due_at_once_and_comes_back_as_it_was_given(book: PostgresJobBook) -> None:
    wished = a_job("AAPL", "BRK-B", slo=Slo(120, "99.9"), failure_threshold=5)
    made = book.create(wished)
    view = book.get(wished.job_id)

    assert view.job == made
    assert view.due_at == view.created_at
    assert (view.last_poll_at, view.consecutive_failures, view.failing) == (None, 0, {})


def test_an_unknown_job_is_none_everywhere(book: PostgresJobBook) -> None:
    nobody = uuid4()

    assert book.get(nobody) is None
    assert book.set_suspended(nobody, suspended=True) is None
    assert (book.delete(nobody), book.poll_now(nobody)) == (False, False)


def test_a_request_repeated_under_its_key_makes_one_job(book: PostgresJobBook) -> None:
    first = book.create(a_job("AAPL"), idempotency=("key", b"digest"))
    again = book.create(a_job("AAPL"), idempotency=("key", b"digest"))

    assert again == first
    assert len(book.page(limit=10)) == 1
    with pytest.raises(InvalidInput) as caught:
        book.create(a_job("MSFT"), idempotency=("key", b"other"))
    assert caught.value.field == "Idempotency-Key"


def test_a_repeated_request_is_answered_even_after_its_job_is_gone(book: PostgresJobBook) -> None:
    first = book.create(a_job("AAPL", slo=Slo(60, "99")), idempotency=("key", b"digest"))
    book.delete(first.job_id)

    assert book.create(a_job("AAPL"), idempotency=("key", b"digest")) == first
    assert book.page(limit=10) == []


def test_pages_follow_each_other_without_gap_or_repeat(book: PostgresJobBook) -> None:
    made = [book.create(a_job("AAPL")).job_id for _ in range(5)]
    seen, after = [], None
    while page := book.page(limit=2, after=after):
        seen += [view.job.job_id for view in page]
        after = (page[-1].created_at, page[-1].job.job_id)

    assert seen == made


def test_pages_are_filtered(book: PostgresJobBook) -> None:
    asleep = book.create(a_job("AAPL", suspended=True))
    other = book.create(a_job("MSFT", provider="yfinance"))

    assert [view.job.job_id for view in book.page(limit=9, suspended=True)] == [asleep.job_id]
    assert [view.job.job_id for view in book.page(limit=9, provider="yfinance")] == [other.job_id]
    assert [view.job.job_id for view in book.page(limit=9, symbol="MSFT")] == [other.job_id]


def test_suspending_takes_a_job_from_the_schedule_and_resuming_makes_it_due(book: PostgresJobBook) -> None:
    job = book.create(a_job())
    assert book.set_suspended(job.job_id, suspended=True).due_at is None
    assert not book.poll_now(job.job_id)
    assert book.set_suspended(job.job_id, suspended=True).job.suspended
    resumed = book.set_suspended(job.job_id, suspended=False)

    assert resumed.due_at is not None
    assert book.set_suspended(job.job_id, suspended=False).due_at == resumed.due_at


def test_a_job_of_an_object_is_changed_through_the_object_only(book: PostgresJobBook) -> None:
    job = a_job(origin=an_origin("tech"))
    book.sync("demo", [job])

    with pytest.raises(Fenced, match="default/tech"):
        book.delete(job.job_id)
    with pytest.raises(Fenced, match="kubectl"):
        book.set_suspended(job.job_id, suspended=True)
    assert book.poll_now(job.job_id)


def test_a_sync_writes_what_changed_and_leaves_other_releases_alone(book: PostgresJobBook) -> None:
    kept, changed, gone = (a_job("A", origin=an_origin(name)) for name in ("kept", "changed", "gone"))
    foreign = a_job("A", origin=an_origin("kept", release="other"))
    book.sync("other", [foreign])
    assert book.sync("demo", [kept, changed, gone]).created == 3
    again = a_job("A", "B", origin=changed.origin)
    counts = book.sync("demo", [a_job("A", origin=kept.origin), again], retire=[gone.origin.uid])

    assert (counts.created, counts.changed, counts.unchanged, counts.retired) == (0, 1, 1, 1)
    views = {view.job.job_id: view.job for view in book.page(limit=10)}
    assert views.keys() == {kept.job_id, changed.job_id, foreign.job_id}
    assert views[changed.job_id].symbols == ("A", "B")
    assert book.sync("demo", [], retire=[foreign.origin.uid]).retired == 0


@pytest.mark.parametrize("odd", ["\0", "\ud800"], ids=["NUL", "a lone surrogate"])
def test_words_that_postgres_cannot_hold_keep_no_job_out(book: PostgresJobBook, odd: str) -> None:
    origin = replace(an_origin(f"tech{odd}", namespace=f"default{odd}"), poll_now=f"now{odd}")
    asked, other = a_job("A", origin=origin), a_job("A", origin=an_origin("other"))

    assert book.sync("demo", [asked, other]).created == 2
    assert book.sync("demo", [asked, other]).unchanged == 2
    assert book.sync("demo", [a_job("A", origin=replace(origin, poll_now=f"again{odd}"))]).changed == 1


def test_a_sync_can_suspend_and_resume(book: PostgresJobBook) -> None:
    job = a_job("A", origin=an_origin())
    book.sync("demo", [job])
    book.sync("demo", [a_job("A", origin=job.origin, suspended=True)])
    assert book.get(job.job_id).due_at is None
    book.sync("demo", [a_job("A", origin=job.origin)])

    assert book.get(job.job_id).due_at is not None
