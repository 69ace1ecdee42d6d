"""A message that can never become a price point, kept whole."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The bytes as received, where they were, and why they were refused.

    `event_id` is the header's, so that even an unreadable body is accounted for; None where there
    is no readable one. `reason` is a name of the error tree, `detail` a sentence.
    """

    event_id: UUID | None
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    reason: str
    detail: str

    @property
    def size(self) -> int:
        """Bytes of key, value and headers: what it takes to hold it."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers

    @property
    def digest(self) -> bytes:
        """SHA-256 of the value: with the coordinates, what makes a letter the same letter."""
        return hashlib.sha256(self.value or b"").digest()
