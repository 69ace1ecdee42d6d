"""A way to Kafka in memory."""

from collections.abc import Sequence

from marketdata.domain.publication import Coordinates
from marketdata.errors import StreamUnavailable
from marketdata.streaming.producer import Delivery, Outgoing, Undelivered


def size(message: Outgoing) -> int:
    headers = sum(len(name) + len(value or b"") for name, value in message.headers)
    return len(message.key or b"") + len(message.value or b"") + headers


class MemoryPublisher:
    """Takes messages up to a limit, of topics that are there and answer.

    Like a broker, it may hold several messages of one call against the limit together: `in_company`.
    """

    def __init__(self, *, limit: int = 2_000_000, in_company: bool = False) -> None:
        self.limit = limit
        self.in_company = in_company
        self.missing: set[str] = set()
        self.refused: set[bytes | None] = set()  # keys whose messages are refused whatever their size
        self.unconfirmed: set[bytes | None] = set()  # keys of messages that are never confirmed
        self.taken: list[Outgoing] = []
        self.calls: list[str] = []  # the topics asked for

    def account(self, topic: str) -> str:
        self.calls.append(topic)
        if topic in self.missing:
            raise StreamUnavailable(f"the cluster has no topic {topic}")
        return "cluster"

    def publish(self, messages: Sequence[Outgoing], *, account: str) -> list[Delivery]:
        together = sum(map(size, messages)) if self.in_company else 0
        return [self._publish(message, max(size(message), together), account) for message in messages]

    def _publish(self, message: Outgoing, weighs: int, account: str) -> Delivery:
        if message.key in self.unconfirmed:
            return Undelivered("not confirmed")
        if weighs > self.limit or message.key in self.refused:
            return Undelivered("too large", is_refused=True)
        self.taken.append(message)
        return Coordinates(account, 0, len(self.taken) - 1)

    def close(self) -> None:
        """There is nothing to let go of."""
