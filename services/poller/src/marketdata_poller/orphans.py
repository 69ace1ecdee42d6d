"""Jobs of providers that nobody has installed: they fail with that reason, rather than never.

A poller may have only some providers, and a rollout may bring a new one to some pollers first, so
a provider counts as nobody's only when no poller has named it for UNSEEN and this one has missed it
for as long: in a new database, and after all were away, nobody has named any, and the first poller
to start must not speak for those that start behind it. Until then its jobs wait, and the log says so.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta

from marketdata.clock import Clock
from marketdata.errors import UnknownProvider
from marketdata.steps import StepObserver
from marketdata.storage.budget import PostgresBudget
from marketdata.storage.job_queue import PostgresJobQueue
from marketdata.telemetry import logs
from marketdata_poller.absent import AbsentProvider
from marketdata_poller.cycle import PollCycle
from marketdata_poller.ports import Provider
from marketdata_poller.steps import PollerStep

UNSEEN = timedelta(minutes=5)

_log = logs.get("orphans")


class Orphans:
    """Names the providers of this poller and completes the due jobs of absent ones; used by one thread."""

    def __init__(
        self,
        *,
        providers: Sequence[str],
        budget: PostgresBudget,
        queue: PostgresJobQueue,
        cycle: Callable[[Provider], PollCycle],
        clock: Clock,
        on_step: StepObserver,
    ) -> None:
        self._providers = list(providers)
        self._budget = budget
        self._queue = queue
        self._cycle = cycle
        self._clock = clock
        self._on_step = on_step
        self._missed_since: dict[str, float] = {}

    def turn(self) -> bool:
        """Fail what is due of every absent provider and return False. Raises StoreUnavailable."""
        # 1. Died here: the providers are known to be installed for UNSEEN more.
        self._budget.register(self._providers)
        self._on_step(PollerStep.REGISTERED)
        # 2. Died here: the leases end by themselves and the next poller fails the jobs.
        for name in self._queue.orphaned(unseen=UNSEEN):
            if not self._missed_long(name):
                continue
            reason = UnknownProvider(f"no poller has a provider named {name}")
            cycle = self._cycle(AbsentProvider(name, reason))
            while cycle.turn():
                pass
        return False

    def _missed_long(self, name: str) -> bool:
        # Never forgotten: once a poller names it, the database's own UNSEEN begins anew.
        now = self._clock.monotonic()
        if name not in self._missed_since:
            self._missed_since[name] = now
            _log.warning(
                "jobs wait for a provider that no poller has, and fail if none brings it",
                provider=name,
                seconds=UNSEEN.total_seconds(),
            )
        return now - self._missed_since[name] >= UNSEEN.total_seconds()
