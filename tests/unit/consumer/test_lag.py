"""What counts as unread, and what the exporter makes of brokers that do not answer."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
import structlog

from marketdata.clock import ManualClock
from marketdata.errors import StreamUnavailable
from marketdata.telemetry.health import Heartbeats
from marketdata.telemetry.metrics import Metrics
from marketdata_consumer import lag_exporter
from marketdata_consumer.lag import Unread, unread
from marketdata_consumer.lag_exporter import LagExporter
from marketdata_consumer.lag_measures import LagMeasures


@dataclass(frozen=True)
class Log:
    start: int
    end: int
    committed: int | None


@pytest.mark.parametrize(
    ("log", "found"),
    [
        (Log(0, 10, 4), Unread(4, 6)),
        (Log(0, 10, 10), Unread(10, 0)),
        (Log(3, 10, None), Unread(3, 7)),
        (Log(5, 10, 2), Unread(5, 5)),
        (Log(0, 10, 11), Unread(0, 10)),
        (Log(7, 7, None), Unread(7, 0)),
    ],
)
def test_what_is_unread_begins_where_a_consumer_would_go_on(log: Log, found: Unread) -> None:
    assert unread(log) == found


@dataclass
class MemoryGroupLog:
    """Answers from memory, or not at all."""

    logs: Mapping[int, Log] = field(default_factory=dict)
    times: Mapping[int, datetime] = field(default_factory=dict)
    asked: list[Mapping[int, int]] = field(default_factory=list)
    refusal: str | None = None
    is_away: bool = False

    def partitions(self) -> Mapping[int, Log]:
        if self.is_away:
            raise StreamUnavailable("away")
        return self.logs

    def published_at(self, positions: Mapping[int, int]) -> tuple[Mapping[int, datetime], frozenset[str]]:
        self.asked.append(positions)
        told = {p: self.times[p] for p in positions if p in self.times}
        refusal, self.refusal = self.refusal, None  # librdkafka says it once
        return told, frozenset([refusal] if refusal else [])

    def close(self) -> None:
        """There is nothing to let go of."""


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = MemoryGroupLog()
        self.metrics = Metrics(("marketdata_lag_round",))
        self.exporter = LagExporter(
            log=self.log,
            measures=LagMeasures(self.metrics, group="g", topic="t"),
            clock=self.clock,
            heartbeats=Heartbeats(self.clock, limit_seconds=90),
            every_seconds=5,
            stop=threading.Event(),
        )

    def tells(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            f"marketdata_lag_{name}", {"consumergroup": "g", "topic": "t", **labels}
        )


def test_the_lag_is_told_in_messages_and_seconds() -> None:
    world = World()
    world.log.logs = {0: Log(0, 10, 4), 1: Log(0, 5, 5)}
    world.log.times = {0: world.clock.now() - timedelta(seconds=30)}

    world.exporter.turn()

    assert (world.tells("up"), world.tells("sum_messages"), world.tells("partitions")) == (1, 6, 2)
    assert world.tells("seconds", partition="0") == 30
    assert world.tells("seconds", partition="1") == 0
    assert world.tells("longest_seconds") == 30


def test_a_record_is_read_once_while_the_position_stands_and_its_age_grows() -> None:
    world = World()
    world.log.logs = {0: Log(0, 10, 4)}
    world.log.times = {0: world.clock.now()}

    world.exporter.turn()
    world.clock.advance(5)
    world.exporter.turn()

    assert world.log.asked == [{0: 4}, {}]
    assert world.tells("longest_seconds") == 5

    world.log.logs = {0: Log(0, 10, 6)}
    world.exporter.turn()

    assert world.log.asked[-1] == {0: 6}


def test_what_was_known_is_absent_once_the_brokers_are_silent() -> None:
    world = World()
    world.log.logs = {0: Log(0, 10, 4)}
    world.exporter.turn()
    assert world.tells("sum_messages") == 6

    world.log.is_away = True
    world.exporter.turn()

    assert world.tells("up") == 0
    assert world.tells("sum_messages") is None
    assert world.tells("messages", partition="0") is None


def test_seconds_that_are_not_known_are_absent_beside_messages_that_are() -> None:
    world = World()
    world.log.logs = {0: Log(0, 10, 4), 1: Log(0, 5, 5)}

    world.exporter.turn()

    assert world.tells("sum_messages") == 6
    assert world.tells("seconds", partition="0") is None
    assert world.tells("longest_seconds") is None


def test_messages_that_cannot_be_read_are_said_once_and_so_is_their_return(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = structlog.testing.CapturingLogger()
    monkeypatch.setattr(lag_exporter, "_log", log)
    world = World()
    world.log.refusal = "Topic authorization failed"
    for logs in ({0: Log(0, 10, 4)}, {0: Log(0, 10, 10)}, {0: Log(0, 20, 10), 1: Log(0, 9, 5)}):
        world.log.logs = logs
        world.exporter.turn()
    (line,) = log.calls
    assert line.args == ("lag_partly_unknown",)
    assert line.kwargs == {"partitions": [0], "said": ["Topic authorization failed"]}

    world.log.times = {0: world.clock.now(), 1: world.clock.now()}
    world.exporter.turn()
    world.exporter.turn()

    assert [line.args for line in log.calls[1:]] == [("lag_wholly_known",)]


def test_a_position_past_the_end_is_believed_at_the_third_look_only() -> None:
    world = World()
    world.log.logs = {0: Log(0, 10, 50)}

    told = []
    for _ in range(3):
        world.exporter.turn()
        told.append(world.tells("sum_messages"))

    assert told == [None, None, 10]
