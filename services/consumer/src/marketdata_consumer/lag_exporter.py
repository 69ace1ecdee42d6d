"""The lag exporter's loop: ask the brokers, show what they say, and show when they say nothing.

Promises: a lag that is not known is absent, with `marketdata_lag_up` at 0, and never shown as 0 or
as what it was before. Autoscalers then leave the consumers as they are. Where positions are told and
messages cannot be read, or have a time that cannot be, only the lag in seconds is absent.
"""

import threading
from collections.abc import Collection, Mapping
from datetime import datetime

from marketdata.clock import Clock
from marketdata.errors import StreamUnavailable
from marketdata.telemetry import logs
from marketdata.telemetry.health import Heartbeats
from marketdata_consumer.lag import Lag, Unread, lag, unread
from marketdata_consumer.lag_measures import LagMeasures
from marketdata_consumer.ports import GroupLog

_log = logs.get("consumer.lag")

# A record's time stands as long as the position does; looked at again now and then all the same,
# since a topic made anew may have the same position.
_REMEMBER_SECONDS = 60.0
# A leader just elected may not know the end of its log yet, so a position past the end is believed
# at the third look only; so does the consumer.
_LOOKS = 3


class LagExporter:
    """Runs until stopped; used by one thread."""

    def __init__(
        self,
        *,
        log: GroupLog,
        measures: LagMeasures,
        clock: Clock,
        heartbeats: Heartbeats,
        every_seconds: float,
        stop: threading.Event,
    ) -> None:
        self._group_log = log
        self._measures = measures
        self._clock = clock
        self._heartbeats = heartbeats
        self._every = every_seconds
        self._stop = stop
        self._times: dict[int, tuple[int, datetime, float]] = {}  # position, its message's time, read at
        self._past_end = 0
        self._trouble: str | None = None
        self._is_partly_unknown = False

    def run(self) -> None:
        """Ask and show, again and again; no broker that is away ends it."""
        while not self._stop.is_set():
            self._heartbeats.beat("lag")
            self.turn()
            self._clock.wait(self._every, self._stop)
        self._group_log.close()

    def turn(self) -> None:
        """Ask once; whatever the brokers and the messages there tell, it raises nothing."""
        began = self._clock.monotonic()
        try:
            found = self._look()
        except StreamUnavailable as error:
            self._measures.unknown()
            # New clients: passwords and certificates may be others now.
            self._group_log.close()
            if self._trouble != str(error):
                _log.warning("lag_unknown", reason=error.reason, error=str(error))
            self._trouble = str(error)
        else:
            self._measures.show(found, self._clock.monotonic() - began)
            if self._trouble is not None:
                _log.info("lag_known", messages=found.total)
            self._trouble = None

    def _look(self) -> Lag:
        logs_now = self._group_log.partitions()
        if not logs_now:
            raise StreamUnavailable("there is no such topic")
        past_end = [p for p, log in logs_now.items() if log.committed is not None and log.committed > log.end]
        self._past_end = self._past_end + 1 if past_end else 0
        if past_end and self._past_end < _LOOKS:
            raise StreamUnavailable(f"the group's position is past the end of partition {past_end[0]}")
        waiting = {partition: unread(log) for partition, log in logs_now.items()}
        return lag(waiting, self._published_at(waiting), self._clock.now())

    def _published_at(self, waiting: Mapping[int, Unread]) -> dict[int, datetime]:
        now = self._clock.monotonic()
        positions = {partition: each.position for partition, each in waiting.items() if each.messages}
        self._times = {
            partition: known
            for partition, known in self._times.items()
            if positions.get(partition) == known[0] and now - known[2] < _REMEMBER_SECONDS
        }
        asked = {p: position for p, position in positions.items() if p not in self._times}
        told, said = self._group_log.published_at(asked)
        for partition, at in told.items():
            self._times[partition] = (asked[partition], at, now)
        if asked:
            self._note_unread(asked.keys() - told.keys(), said)
        return {partition: at for partition, (_, at, _) in self._times.items()}

    def _note_unread(self, partitions: Collection[int], said: Collection[str]) -> None:
        """Say once that messages cannot be read, and once that they can be again."""
        if partitions and not self._is_partly_unknown:
            _log.warning("lag_partly_unknown", partitions=sorted(partitions), said=sorted(said))
        elif self._is_partly_unknown and not partitions:
            _log.info("lag_wholly_known")
        self._is_partly_unknown = bool(partitions)
