"""Messages as the broker hands them out, without a broker."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from marketdata.domain.price import PricePoint
from marketdata.messages import price_event
from marketdata.messages.topics import event_key


@dataclass(frozen=True, slots=True)
class AMessage:
    """Fits the consumer's `Message`."""

    body: bytes | None
    at: int = 0
    of: int = 0
    named: bytes | None = None
    extra: Sequence[tuple[str, bytes | None]] = field(default_factory=tuple)
    sent_at: datetime | None = None

    def topic(self) -> str:
        return "price-events"

    def partition(self) -> int:
        return self.of

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes | None:
        return self.named

    def value(self) -> bytes | None:
        return self.body

    def headers(self) -> Sequence[tuple[str, bytes | None]] | None:
        return self.extra or None

    def set_headers(self, value: list[tuple[str, bytes | None]], /) -> None:
        raise AssertionError(f"readable headers stay, not {value}")

    def timestamp(self) -> tuple[int, int]:
        return (0, -1) if self.sent_at is None else (1, int(self.sent_at.timestamp() * 1000))


def messages(points: Sequence[PricePoint], *, start: int = 0, partition: int = 0) -> list[AMessage]:
    """Return the messages of `points`, one after the other."""
    return [
        AMessage(price_event.encode(p), start + i, partition, event_key(p.provider, p.symbol))
        for i, p in enumerate(points)
    ]
