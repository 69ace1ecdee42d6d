"""What the broker says of the log, asked every few seconds beside the loop.

Two questions: is the topic still the same log (it may have been deleted and made again, or the
broker be another), and where does each partition end. A slow broker delays the answers here and
nothing else. A defect is logged whole, and the next look is made all the same: whoever asks for the
last answer sees it grow old, and the loop goes on storing prices meanwhile.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from marketdata.clock import Clock
from marketdata.errors import StreamUnavailable
from marketdata.telemetry import logs
from marketdata_consumer.ports import LogDirectory

_log = logs.get("consumer.logwatch")

# An answer older than this many turns says that the broker does not answer.
_FRESH_TURNS = 5


@dataclass(frozen=True, slots=True)
class LogSight:
    """What was asked for at `at` (monotonic seconds): the account, None for no such topic; the ends."""

    at: float
    account: str | None
    ends: Mapping[int, int]

    def lag(self, positions: Mapping[int, int]) -> int:
        """Return how many messages wait behind `positions`."""
        return sum(max(0, self.ends.get(p, 0) - position) for p, position in positions.items())


NOTHING_SEEN = LogSight(float("-inf"), None, {})


class LogWatch:
    """Asks in a thread of its own; `sight` is the last answer."""

    def __init__(self, *, directory: LogDirectory, topic: str, clock: Clock, every_seconds: float) -> None:
        self._directory = directory
        self._topic = topic
        self._clock = clock
        self._every = every_seconds
        self._stop = threading.Event()
        self._trouble: str | None = None  # the defect logged last, until a look succeeds
        self.sight: LogSight | None = None

    def start(self) -> None:
        """Begin asking."""
        threading.Thread(target=self._run, name="logwatch", daemon=True).start()

    def stop(self) -> None:
        """Ask no more; does not wait."""
        self._stop.set()

    def answers(self) -> bool:
        """Tell whether the broker answered lately."""
        return self.fresh() is not None

    def fresh(self) -> LogSight | None:
        """Return the last answer where the broker answered lately."""
        sight = self.sight
        is_fresh = sight is not None and self._clock.monotonic() - sight.at < _FRESH_TURNS * self._every
        return sight if is_fresh else None

    def look(self) -> None:
        """Ask once, and keep the answer where one comes; raises nothing."""
        began = self._clock.monotonic()
        try:
            account = self._directory.account(self._topic)
            self.sight = LogSight(began, account, self._directory.ends(self._topic) if account else {})
        except StreamUnavailable as error:
            _log.debug("log_not_seen", error=str(error))
        except Exception as error:  # noqa: BLE001 - without this thread no stall is seen, nor another log
            if self._trouble != repr(error):
                _log.exception("log_watch_failed")
            self._trouble = repr(error)
        else:
            self._trouble = None

    def _run(self) -> None:
        while not self._clock.wait(self._every, self._stop):
            self.look()
