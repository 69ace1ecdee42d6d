"""What keeps the deployment going beside its data path: partitions, retention, what is shown."""

from datetime import timedelta

from marketdata.clock import Clock
from marketdata.steps import StepObserver
from marketdata.storage.expiry import Expiry, PostgresExpiry
from marketdata.storage.partitions import PostgresPartitions, Retention
from marketdata.telemetry import logs
from marketdata_poller.standing import Standing
from marketdata_poller.steps import MaintenanceStep

_log = logs.get("maintenance")

_DAYS_AHEAD = 3  # a long weekend without any poller still finds its partitions
_HOUSEKEEPING_SECONDS = 600.0


class Maintenance:
    """Runs every few seconds; idempotent, so every poller does it."""

    def __init__(
        self,
        *,
        partitions: PostgresPartitions,
        retention: Retention,
        rows: PostgresExpiry,
        expiry: Expiry,
        standing: Standing,
        clock: Clock,
        on_step: StepObserver,
    ) -> None:
        self._partitions = partitions
        self._retention = retention
        self._rows = rows
        self._expiry = expiry
        self._standing = standing
        self._clock = clock
        self._on_step = on_step
        self._kept_house_at = float("-inf")

    def turn(self) -> bool:
        """Do what is due and return False: there is never more at once. Raises StoreUnavailable."""
        try:
            self._standing.look()
        finally:
            # Whatever cannot be read: without partitions no answer is recorded either.
            if self._clock.monotonic() - self._kept_house_at > _HOUSEKEEPING_SECONDS:
                self._keep_house()
                self._kept_house_at = self._clock.monotonic()
        return False

    def _keep_house(self) -> None:
        today = self._partitions.today()
        self._partitions.ensure(today + timedelta(days=ahead) for ahead in range(-1, _DAYS_AHEAD + 1))
        # Died here: partitions made; nothing depends on how many.
        self._on_step(MaintenanceStep.ENSURED)
        dropped = self._partitions.drop_old(self._retention)
        if dropped:
            # Died here: `retention` was written first, so what is missing is known to be gone.
            self._on_step(MaintenanceStep.DROPPED)
            _log.info("old partitions dropped", partitions=dropped)
        deleted = self._rows.delete_old(self._expiry)
        if deleted:
            # Died here: the rest goes in the next round.
            self._on_step(MaintenanceStep.EXPIRED)
            _log.info("old rows deleted", **deleted)
