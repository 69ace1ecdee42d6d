"""What is refused, with its origin and the reason; pure."""

from collections.abc import Sequence
from uuid import UUID

from marketdata.domain.dead_letter import DeadLetter
from marketdata.errors import PoisonMessage
from marketdata.messages.topics import HEADER_EVENT_ID
from marketdata_consumer.headers import headers_of
from marketdata_consumer.ports import Message


def dead_letter(message: Message, error: PoisonMessage) -> DeadLetter:
    """Return the letter that keeps `message` whole, but for headers that cannot be read."""
    headers = headers_of(message)
    detail = str(error)
    if headers is None:
        headers, detail = (), f"{detail}; its headers have a name that is not UTF-8 and are not kept"
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None and partition is not None and offset is not None, "a consumed message"  # noqa: PT018
    return DeadLetter(
        event_id=_event_id(headers),
        topic=topic,
        partition=partition,
        offset=offset,
        key=message.key(),
        value=message.value(),
        headers=headers,
        reason=error.reason,
        detail=detail,
    )


def _event_id(headers: Sequence[tuple[str, bytes | None]]) -> UUID | None:
    for name, value in headers:
        if name == HEADER_EVENT_ID and value is not None:
            try:
                return UUID(value.decode("ascii"))
            except ValueError:
                return None
    return None
