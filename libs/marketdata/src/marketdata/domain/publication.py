"""An observation on its way to be an event in Kafka, and where it was put."""

from dataclasses import dataclass
from uuid import UUID

from marketdata.domain.price import PricePoint


@dataclass(frozen=True, slots=True)
class Observation:
    """A price read from an answer, about to become the event `event_id` (a UUIDv7)."""

    event_id: UUID
    point: PricePoint
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Coordinates:
    """One place in one log; the account names the log (see `streaming.accounts`)."""

    account: str
    partition: int
    offset: int
