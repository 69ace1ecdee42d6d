"""The settlement sweep as a loop: batch after batch, round after round."""

from uuid import UUID

from marketdata.steps import StepObserver
from marketdata.storage.settlement import PostgresSettlement
from marketdata.telemetry import logs
from marketdata_poller.measures import RelayMeasures
from marketdata_poller.steps import SweepStep

_log = logs.get("sweep")


class Sweep:
    """Goes over the open events; used by one thread. Any poller may be the one that sweeps."""

    def __init__(
        self, *, settlement: PostgresSettlement, measures: RelayMeasures, on_step: StepObserver
    ) -> None:
        self._settlement = settlement
        self._measures = measures
        self._on_step = on_step
        self._after = UUID(int=0)

    def turn(self) -> bool:
        """Judge one batch; return whether the round goes on. Raises StoreUnavailable."""
        # One transaction. Died here: verdicts and their counts are committed, both or neither.
        swept = self._settlement.sweep(after=self._after)
        if swept is None:
            return False
        if swept.seen:
            self._on_step(SweepStep.SWEPT)
        self._after = swept.cursor
        self._measures.swept(swept.verdicts)
        if swept.verdicts["lost"]:
            _log.warning("events were lost by the log and go out again", events=swept.verdicts["lost"])
        return swept.cursor.int != 0
