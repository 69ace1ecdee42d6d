"""Events made, published, stored and swept by hand, one step at a time."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from marketdata.clock import SystemClock
from marketdata.domain.price import PricePoint
from marketdata.domain.publication import Coordinates, Observation
from marketdata.identifiers import uuid7
from marketdata.storage.job_book import PostgresJobBook
from marketdata.storage.job_queue import PostgresJobQueue
from marketdata.storage.ledger import EventLedgerRow, PostgresLedger
from marketdata.storage.outbox import PostgresOutbox
from marketdata.storage.outcomes import PostgresOutcomes, Recording
from marketdata.storage.settlement import PostgresSettlement
from support.builders import a_job, a_price, a_raw

the_time = SystemClock().now

ACCOUNT = "cluster:topic"


class Pipeline:
    """Makes events and plays the consumer by hand."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.book = PostgresJobBook(engine)
        self.queue = PostgresJobQueue(engine, owner="tests", lease=timedelta(hours=1))
        self.outcomes = PostgresOutcomes(engine, poller="tests", lease=timedelta(hours=1))
        self.outbox = PostgresOutbox(engine)
        self.settlement = PostgresSettlement(engine)
        self.job = self.book.create(a_job("A"))
        self.outbox.enter_account(ACCOUNT, "price-events")
        self._fetched_at = the_time()

    def execute(self, statement: str, **values: object) -> sa.CursorResult[Any]:
        with self.engine.begin() as connection:
            return connection.execute(sa.text(statement), values)

    def an_event(self, price: str = "1", observed_at: datetime | None = None) -> Observation:
        self.book.poll_now(self.job.job_id)
        claim = self.queue.claim("synthetic")
        assert claim is not None
        # In order, and of one day, whatever the time of day is: the ledger has a row for each.
        fetched = self._fetched_at = self._fetched_at + timedelta(milliseconds=1)
        raw = a_raw(("A",), fetched_at=fetched)
        point = a_price(
            symbol="A",
            price=price,
            observed_at=observed_at or fetched,
            fetched_at=fetched,
            raw_response_id=raw.raw_response_id,
        )
        event = Observation(uuid7(fetched), point)
        self.outcomes.record(
            Recording("synthetic", claim.claimed_at, claim.jobs, {}, raws=(raw,), observations=(event,))
        )
        return event

    def publish(self, *, offset: int = 0, account: str = ACCOUNT) -> int:
        with self.outbox.claimed(100) as batch:
            batch.mark_published(
                [
                    (event.event_id, Coordinates(account, 0, offset + i))
                    for i, event in enumerate(batch.events)
                ]
            )
            return len(batch.events)

    def store(self, point: PricePoint) -> None:
        self.execute(
            """insert into price_points (provider, symbol, observed_at, price, raw_response_id, fetched_at)
            values (:provider, :symbol, :observed_at, :price, :raw, :fetched_at)
            on conflict (provider, symbol, observed_at) do update
            set raw_response_id = excluded.raw_response_id, fetched_at = excluded.fetched_at""",
            provider=point.provider,
            symbol=point.symbol,
            observed_at=point.observed_at,
            price=point.price,
            raw=point.raw_response_id,
            fetched_at=point.fetched_at,
        )

    def open_position(self, next_offset: int, *, opened: str = "-infinity") -> None:
        self.execute(
            """insert into consumer_offsets (account, "partition", next_offset, opened_at)
            values (:account, 0, :next, :opened) on conflict (account, "partition")
            do update set next_offset = excluded.next_offset, opened_at = excluded.opened_at""",
            account=ACCOUNT,
            next=next_offset,
            opened=opened,
        )

    def dead_letter(self, event: UUID | None, offset: int = 0) -> UUID:
        identifier = uuid7(the_time())
        self.execute(
            """insert into dead_letters (id, event_id, account, topic, "partition", "offset", key, value,
              headers, digest, reason, detail)
            values (:id, :event, :account, 'price-events', 0, :offset, 'k', 'v', '[["event_id", "AA=="]]',
              'd', 'poison_message', 'broken')""",
            id=identifier,
            event=event,
            account=ACCOUNT,
            offset=offset,
        )
        return identifier

    def sweep(self) -> dict[str, int]:
        swept = self.settlement.sweep()
        assert swept is not None
        return {verdict: count for verdict, count in swept.verdicts.items() if count}

    def ledger(self) -> EventLedgerRow:
        now = the_time()
        (row,) = PostgresLedger(self.engine).events(now - timedelta(days=2), now + timedelta(days=1))
        assert row.imbalance == 0
        return row
