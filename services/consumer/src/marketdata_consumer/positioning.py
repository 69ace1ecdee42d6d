"""From an assigned partition to one that flows: which log, which position, is it there still.

Run by the loop, never in a rebalance callback: it asks the broker and the database, and either
may be away for long.
"""

from collections.abc import Iterable

from marketdata.clock import Clock
from marketdata.errors import Fenced
from marketdata.steps import StepObserver, unobserved
from marketdata.telemetry import logs
from marketdata.telemetry.metrics import Metrics
from marketdata_consumer.ports import EventStream, LogDirectory, Positions
from marketdata_consumer.steps import ConsumerStep

_log = logs.get("consumer.positioning")

# A leader just elected may not know the end of its log yet, so a position past the end is believed
# at the third look only; one before the start at once.
_LOOKS = 3


class Positioner:
    """Knows the account, and finds positions in it. Used by the loop's thread."""

    def __init__(
        self,
        *,
        positions: Positions,
        directory: LogDirectory,
        topic: str,
        clock: Clock,
        metrics: Metrics,
        on_step: StepObserver = unobserved,
    ) -> None:
        self._positions = positions
        self._directory = directory
        self._clock = clock
        self._topic = topic
        self._gaps = metrics.counter("marketdata_consumer_gaps_total")
        self._on_step = on_step
        self._past_end: dict[int, int] = {}
        self.account: str | None = None
        self.account_since = 0.0

    def forget_account(self) -> None:
        """Look the account up again: it was closed, or the log is another."""
        self.account = None
        self._past_end.clear()

    def find(self, stream: EventStream, partitions: Iterable[int]) -> dict[int, int]:
        """Return where to go on, for those of `partitions` of which it is certain.

        Dying anywhere leaves a position that was opened or not; each part may be done again.
        Raises StreamUnavailable and StoreUnavailable: try again later.
        """
        # 1. The account of the log that is there now. Others of the topic are closed by that, and
        #    what they held and nobody read is published again.
        if self.account is None:
            began = self._clock.monotonic()
            account = self._directory.account(self._topic)
            if account is None:
                return {}
            if self._positions.open_account(account, self._topic):
                _log.info("account_opened", account=account, topic=self._topic)
                self._on_step(ConsumerStep.ACCOUNT_OPENED)
            self.account, self.account_since = account, began
        # 2. Positions; those of partitions never seen are opened at the log's start.
        bounds = {partition: stream.bounds(partition) for partition in sorted(partitions)}
        try:
            found = self._positions.read(self.account, {p: low for p, (low, _) in bounds.items()})
        except Fenced:
            _log.warning("account_closed", account=self.account)
            self.forget_account()
            return {}
        self._on_step(ConsumerStep.POSITIONS_READ)
        # 3. Positions outside the log start again at its start; the gap is counted in the same
        #    transaction, so it is neither missed nor counted twice.
        return {
            partition: start
            for partition, (low, high) in bounds.items()
            if (start := self._inside(partition, found[partition], low, high)) is not None
        }

    def _inside(self, partition: int, position: int, low: int, high: int) -> int | None:
        if low <= position <= high:
            self._past_end.pop(partition, None)
            return position
        if position > high:
            self._past_end[partition] = looks = self._past_end.get(partition, 0) + 1
            if looks < _LOOKS:
                return None
        self._past_end.pop(partition, None)
        assert self.account is not None, "find looked it up"
        reason = "before_log_start" if position < low else "past_log_end"
        if not self._positions.reopen(
            self.account, partition, position=position, log_start=low, log_end=high, reason=reason
        ):
            return None
        self._gaps.inc()
        _log.warning(
            "gap_found", partition=partition, position=position, log_start=low, log_end=high, reason=reason
        )
        self._on_step(ConsumerStep.GAP_REOPENED)
        return low
