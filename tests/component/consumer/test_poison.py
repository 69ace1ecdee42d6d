"""Messages that can never become points end as dead letters, and the good ones around go through."""

import hashlib
import os
import re
import tracemalloc
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from confluent_kafka import Producer

from marketdata.domain.dead_letter import DeadLetter
from marketdata.domain.price import PricePoint
from marketdata.domain.publication import Coordinates
from marketdata.messages import price_event
from marketdata.storage import dead_letters
from marketdata.storage.dead_letter_relay import PostgresDeadLetterRelay
from marketdata.storage.dead_letters import PostgresDeadLetters, StoredLetter
from marketdata.storage.engine import transaction
from support.builders import NOON
from support.consuming import Pipeline, prices
from support.odd_headers import send_with_header
from support.servers import Database
from support.tables import check_tables, counts
from support.waiting import eventually

pytestmark = pytest.mark.kafka

ID = "019ab000-0000-7000-8000-000000000000"
_TIME = '"2026-03-02T12:00:00Z"'


def _event(**fields: str) -> bytes:
    body = {
        "symbol": '"AAPL"',
        "price": "1",
        "timestamp": _TIME,
        "source": '"synthetic"',
        "raw_response_id": f'"{ID}"',
        **fields,
    }
    return ("{" + ",".join(f'"{name}":{value}' for name, value in body.items() if value) + "}").encode()


POISON = {
    "empty": b"",
    "no value": None,
    "not JSON": b"\x00\xff garbage",
    "cut off": _event()[:-5],
    "two documents": _event() + _event(),
    "an array": b"[1, 2, 3]",
    "deeply nested": b'{"x":' * 50_000,
    "a bare NaN": _event(price="NaN"),
    "a quoted NaN": _event(price='"NaN"'),
    "infinity": _event(price='"Infinity"'),
    "a price in words": _event(price='"dear"'),
    "a price beyond the column": _event(price="1e300"),
    "a price beyond decimal's arithmetic": _event(price="1e1000000"),
    "zero with a huge exponent": _event(price="0e99999"),
    "no price": _event(price=""),
    "no symbol": _event(symbol=""),
    "a symbol of the wrong type": _event(symbol="5"),
    "a symbol outside the grammar": _event(symbol='"A B"'),
    "a NUL in a name": _event(symbol='"A\\u0000"'),
    "the reserved provider": _event(source='"any"'),
    "no time zone": _event(timestamp='"2026-03-02T12:00:00"'),
    "a time before time": _event(timestamp='"0001-01-01T00:00:00+01:00"'),
    "a time that was never set": _event(timestamp='"0001-01-01T00:00:00Z"'),
    "an answer from far ahead": _event(fetched_at='"9999-12-31T23:59:59Z"'),
    "a time far ahead": _event(timestamp='"2199-03-02T12:00:00Z"'),
    "no such id": _event(raw_response_id='"12"'),
    "a version to come": _event(version="2"),
    "a version that never was": _event(version="0"),
    "a currency with a NUL": _event(currency='"\\u0000"'),
    "a currency with a line end": _event(currency='"USD\\n"'),
    "a market state with a tab": _event(market_state='"REGULAR\\t"'),
    "an interval beyond 32 bits": _event(interval="9999999999"),
    "one megabyte": b"x" * 1_000_000,
}


def test_every_kind_of_poison_is_kept_whole_among_good_messages(pipeline: Pipeline) -> None:
    good = prices(2 * len(POISON))
    events = {name: uuid.uuid4() for name in POISON}
    for i, (name, value) in enumerate(POISON.items()):
        pipeline.publish(good[2 * i : 2 * i + 1], partition=1)
        pipeline.send(
            [(value, [("event_id", str(events[name]).encode()), ("other", b"\xff\x00")])],
            keys=[b"synthetic:AAPL"],
            partition=1,
        )
        pipeline.publish(good[2 * i + 1 : 2 * i + 2], partition=1)
    pipeline.start()
    pipeline.await_consumed(3 * len(POISON))
    check_tables(pipeline.database.engine, good)
    assert counts(pipeline.database.engine)["dead"] == len(POISON)
    with PostgresDeadLetterRelay(pipeline.database.engine).unforwarded(100) as batch:
        kept_letters = batch.letters
    letters = {kept.letter.event_id: kept.letter for kept in kept_letters}
    for i, (name, value) in enumerate(POISON.items()):
        letter = letters[events[name]]
        assert letter.value == value, name
        assert letter.key == b"synthetic:AAPL"
        assert list(letter.headers) == [("event_id", str(events[name]).encode()), ("other", b"\xff\x00")]
        assert (letter.topic, letter.partition, letter.offset) == (pipeline.kafka.topic, 1, 3 * i + 1), name
        assert letter.reason == "poison_message"
        assert letter.detail
    with pipeline.database.engine.connect() as connection:
        digests = set(connection.execute(sa.text("select digest from dead_letters")).scalars())
    assert {bytes(d) for d in digests} == {hashlib.sha256(v or b"").digest() for v in POISON.values()}


@pytest.mark.parametrize("milliseconds", [-(2**62), -(10**14), 1])
def test_a_message_whose_own_time_is_none_is_refused_and_stops_nothing(
    pipeline: Pipeline, milliseconds: int
) -> None:
    # A producer may say any 64 bits; datetime and timedelta hold a few thousand years.
    producer = Producer({"bootstrap.servers": pipeline.kafka.bootstrap, "log_level": 0})
    producer.produce(pipeline.kafka.topic, _event(), partition=1, timestamp=milliseconds)
    assert producer.flush(20) == 0
    good = prices(3)
    pipeline.publish(good, partition=1)
    pipeline.start()
    pipeline.await_consumed(4)
    check_tables(pipeline.database.engine, good)
    (kept,) = _unforwarded(pipeline, 1)
    assert "more than two hours after" in kept.letter.detail


def test_a_header_whose_name_is_no_text_is_told_and_stops_nothing(pipeline: Pipeline) -> None:
    poison = PricePoint("synthetic", "AAPL", NOON, Decimal(7), "USD", NOON, UUID(ID))
    send_with_header(pipeline.kafka, b"\xff\xfe", b"{", partition=1)
    send_with_header(pipeline.kafka, b"\xff\xfe", price_event.encode(poison), partition=1)
    good = prices(3, symbols=1)
    pipeline.publish(good, partition=1)
    # Traces read headers of good messages too; nothing listens there, and nothing waits for it.
    pipeline.set(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9").start()
    pipeline.await_consumed(5)
    check_tables(pipeline.database.engine, [poison, *good])
    (kept,) = _unforwarded(pipeline, 1)
    assert kept.letter.value == b"{"
    assert "not UTF-8" in kept.letter.detail


@pytest.mark.parametrize("place", ["key", "value", "headers"])
def test_letters_take_a_few_times_their_page_s_memory_however_many_there_are(
    database: Database, place: str
) -> None:
    big = os.urandom(900_000)
    parts: dict[str, Any] = {place: [("h", big)] if place == "headers" else big}
    letter = DeadLetter(None, "price-events", 0, 0, None, None, (), reason="poison_message", detail="-")
    letters = [(uuid.uuid4(), replace(letter, offset=offset, **parts)) for offset in range(40)]
    with transaction(database.engine) as connection, closing(connection.connection.cursor()) as cursor:
        dead_letters.insert(cursor, "log", letters[:1])  # type: ignore[arg-type]  # SQLAlchemy types it as any driver's
        tracemalloc.start()
        try:
            dead_letters.insert(cursor, "log", letters)  # type: ignore[arg-type]  # as above
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    with database.engine.connect() as connection:
        assert connection.execute(sa.text("select count(*) from dead_letters")).scalar() == 40
    assert most < 45_000_000  # all at once: 72 MB as text alone


@pytest.mark.real_kafka
@pytest.mark.parametrize("place", ["key", "value", "headers"])
def test_memory_is_bounded_however_much_poison_there_is(pipeline: Pipeline, place: str) -> None:
    big = os.urandom(900_000)
    poison: dict[str, Any] = {"value": b"{", place: [("h", big)] if place == "headers" else big}
    producer = Producer({"bootstrap.servers": pipeline.kafka.bootstrap, "log_level": 0})
    for _ in range(300):
        producer.produce(pipeline.kafka.topic, partition=1, **poison)
        while len(producer) > 20:
            producer.poll(0.1)
    assert producer.flush(30) == 0
    process = pipeline.start()
    pipeline.await_consumed(300, within=90)
    status = Path(f"/proc/{process.pid}/status").read_text()
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    # What a consumer takes by itself is 100 MB, its client's queue and two batches of letters beside it.
    assert int(peak) < 300_000


def test_a_batch_of_nothing_but_poison_passes_and_what_follows_goes_through(pipeline: Pipeline) -> None:
    # 3 MB in all: the embedded broker forgets what a partition holds over 5 MB, and one may get them all.
    pipeline.send([(b"x" * 200_000, [])] * 15 + [(b"{", [])] * 300)
    process = pipeline.start()
    pipeline.await_consumed(315)
    assert pipeline.scalar("select count(*) from dead_letters") == 315
    good = prices(5)
    pipeline.publish(good)
    pipeline.await_tables(good)
    process.terminate()
    assert process.wait() == 0


def test_a_replay_is_asked_for_once_and_marked_when_done(pipeline: Pipeline) -> None:
    pipeline.send([(b"{", []), (b"[", [])])
    pipeline.start()
    letters = PostgresDeadLetters(pipeline.database.engine)
    relay = PostgresDeadLetterRelay(pipeline.database.engine)
    first, second = eventually(lambda: _unforwarded(pipeline, 2), within=40)
    assert letters.request_replay(identifiers=[first.id]) == 1
    assert letters.request_replay(reason="poison_message") == 1
    assert letters.request_replay() == 0
    with relay.requested(10) as batch:
        assert {kept.id for kept in batch.letters} == {first.id, second.id}
        batch.mark_replayed([(first, Coordinates("cluster", 0, 2))])
    with relay.requested(10) as batch:
        assert [kept.id for kept in batch.letters] == [second.id]
    assert letters.request_replay(identifiers=[first.id]) == 1
    with relay.unforwarded(10) as batch:
        batch.mark_forwarded([first.id])
    assert [kept.id for kept in _unforwarded(pipeline, 1)] == [second.id]


def _unforwarded(pipeline: Pipeline, count: int) -> Sequence[StoredLetter]:
    with PostgresDeadLetterRelay(pipeline.database.engine).unforwarded(100) as batch:
        assert len(batch.letters) == count
        return batch.letters
