"""What the API needs of others, said by the API.

The stores' methods block and are called through `store.StoreCalls` only; they raise
StoreUnavailable where the database is out of reach. The cache's are coroutines.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from marketdata.domain.answer import RawResponse
from marketdata.domain.job import PollingJob
from marketdata.domain.price import PricePoint
from marketdata.storage.job_book import JobView
from marketdata.storage.ledger import Counters, EventLedgerRow, PollLedgerRow
from marketdata.storage.price_reader import AveragePoint, Series, StoredPoint


class LatestCache(Protocol):
    """Rendered latest prices; every failure is CacheUnavailable, within one deadline."""

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the value of each key in order, None where there is none."""

    async def fill(self, entries: Mapping[bytes, bytes]) -> None:
        """Store each entry unless its key exists."""

    async def ping(self) -> None:
        """Return if the cache answers."""

    async def close(self) -> None:
        """Let go of the connections; idempotent."""


class PriceBook(Protocol):
    """Prices and averages as Postgres has them."""

    def ping(self) -> None:
        """Return if the database answers."""

    def latest_many(self, wanted: Sequence[Series]) -> dict[Series, PricePoint]:
        """Return the newest point of each series that has one."""

    def history(
        self,
        *,
        symbol: str,
        provider: str | None,
        start: datetime | None,
        end: datetime | None,
        newest_first: bool,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> list[StoredPoint]:
        """Return up to `limit` points past `after` = (observed_at, provider)."""

    def averages(
        self, *, symbol: str, provider: str | None, window: int, before: datetime | None, limit: int
    ) -> list[AveragePoint]:
        """Return the averages at up to `limit` points earlier than `before`, newest first."""

    def covering_intervals(self, wanted: Sequence[Series]) -> dict[Series, int]:
        """Return the shortest interval of the running jobs that ask for each series, if any does."""


class JobBook(Protocol):
    """The polling jobs. Changing a job that a PollingJob object owns raises Fenced."""

    def create(self, job: PollingJob, *, idempotency: tuple[str, bytes] | None = None) -> PollingJob:
        """Store the job, due at once.

        A key known with the same digest returns the job of then, with
        another digest it raises InvalidInput of the field Idempotency-Key.
        """

    def get(self, job_id: UUID) -> JobView | None:
        """Return the job and how it fares."""

    def page(
        self,
        *,
        limit: int,
        after: tuple[datetime, UUID] | None,
        provider: str | None,
        symbol: str | None,
        suspended: bool | None,
    ) -> list[JobView]:
        """Return up to `limit` jobs past `after`, oldest first."""

    def delete(self, job_id: UUID) -> bool:
        """Remove the job; False where there is none."""

    def set_suspended(self, job_id: UUID, suspended: bool) -> JobView | None:  # noqa: FBT001 - agreed with its users
        """Stop or resume the job; None where there is none. Idempotent."""

    def poll_now(self, job_id: UUID) -> bool:
        """Make the job due now; False where it is not there or suspended. Idempotent."""


class Ledger(Protocol):
    """What was asked and created, and what became of it."""

    def polls(self, job_id: UUID | None, start: datetime, end: datetime) -> list[PollLedgerRow]:
        """Return asked = fresh + unchanged + failed + skipped, by job and hour."""

    def events(self, start: datetime, end: datetime) -> list[EventLedgerRow]:
        """Return created = open + stored + superseded + dead, by provider and day."""

    def counters(self) -> Counters:
        """Return what is counted beside the equations."""


class RawArchive(Protocol):
    """Provider answers exactly as received."""

    def get(self, raw_response_id: UUID) -> RawResponse | None:
        """Return the answer, or None where it is not there."""

    def dropped_before(self) -> datetime | None:
        """Return until when answers have been dropped, or None where none were."""
