"""The relay of dead letters between a table in memory and a broker that may be slow, by a manual clock."""

from collections.abc import Callable, Sequence
from typing import Any

import structlog

from marketdata.clock import ManualClock
from marketdata.steps import unobserved
from marketdata.streaming.producer import Delivery, Outgoing, Undelivered
from marketdata.telemetry.health import Heartbeats
from marketdata.telemetry.metrics import Metrics
from marketdata_poller import measures
from marketdata_poller.letters import LetterRelay
from marketdata_poller.measures import RelayMeasures
from support.brokers import MemoryPublisher, size
from support.letters import MemoryLetters

DLQ, EVENTS = "dead-letters", "price-events"
LIMIT = 1_000
LARGE = b"x" * LIMIT
REFUSED = "dead letters are refused by their topic and stay in the table"


class SlowPublisher(MemoryPublisher):
    """Takes its time for each call and for the bytes in it, and may be that of a compacted topic."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(limit=LIMIT)
        self.seconds_a_call = 0.0
        self.bytes_a_second = float("inf")
        self.is_compacted = False  # refuses all of a call that has a message without a key
        self.calls_of: list[int] = []  # how many messages each call had
        self.on_time_gone: Callable[[], None] = lambda: None
        self._clock = clock

    def account(self, topic: str) -> str:
        self._take(self.seconds_a_call)
        return super().account(topic)

    def publish(self, messages: Sequence[Outgoing], *, account: str) -> list[Delivery]:
        self.calls_of.append(len(messages))
        self._take(self.seconds_a_call + sum(map(size, messages)) / self.bytes_a_second)
        if self.is_compacted and any(message.key is None for message in messages):
            return [Undelivered("invalid record", is_refused=True) for _ in messages]
        return super().publish(messages, account=account)

    def _take(self, seconds: float) -> None:
        self._clock.advance(seconds)
        self.on_time_gone()


class World:
    def __init__(self) -> None:
        self.letters = MemoryLetters()
        self.clock = ManualClock()
        self.broker = SlowPublisher(self.clock)
        self.heartbeats = Heartbeats(self.clock, limit_seconds=20)
        self.log = structlog.testing.CapturingLogger()
        self.relay = LetterRelay(
            letters=self.letters,
            publisher=self.broker,
            topic=EVENTS,
            dead_letter_topic=DLQ,
            clock=self.clock,
            measures=RelayMeasures(Metrics(measures.PREFIXES)),
            on_step=unobserved,
            beat=lambda: self.heartbeats.beat("letters"),
        )

    def turn_for(self, seconds: float) -> None:
        """Turn as the loop does: at once where there is more, else ten times a second."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self.heartbeats.beat("letters")
            if not self.relay.turn():
                self.clock.advance(0.1)

    def said(self) -> list[str]:
        return [f"{line.method_name}: {line.args[0]}" for line in self.log.calls]

    def refusals_said(self) -> list[dict[str, Any]]:
        return [line.kwargs for line in self.log.calls if line.args[0] == REFUSED]
