"""Judging the promises about the age of prices: stretch after stretch, by one poller at a time."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import timedelta

from marketdata.clock import Clock
from marketdata.domain.promise import PromiseState
from marketdata.errors import StoreUnavailable
from marketdata.steps import StepObserver
from marketdata.storage.promises import PostgresPromises, ProviderJudgement
from marketdata.telemetry.metrics import Metrics
from marketdata_poller.steps import PromiseStep

# An age is known to about this much, so a promise shorter than that is still judged by what it says.
STRETCH = timedelta(seconds=10)
_STATES_SECONDS = 60.0  # reads 30 days of every promise, in every poller


class PromiseMeasures:
    """Counts of promises."""

    def __init__(self, metrics: Metrics) -> None:
        self._seconds = metrics.table("marketdata_poller_promise_seconds_total")
        self._budget = metrics.table("marketdata_poller_promise_budget_seconds_total")
        self._jobs = metrics.table("marketdata_poller_promises")
        self._judged: dict[tuple[str, ...], float] = defaultdict(float)
        self._allowed: dict[tuple[str, ...], float] = defaultdict(float)

    def judged(self, found: Sequence[ProviderJudgement]) -> None:
        for each in found:
            self._judged[each.provider, "kept"] += max(0.0, each.kept)
            self._judged[each.provider, "broken"] += max(0.0, each.broken)
            self._allowed[each.provider,] += each.allowed
        self._budget.show(self._allowed)
        self._seconds.show(self._judged)

    def states(self, states: Counter[PromiseState] | None) -> None:
        """Show how many promises stand how; None is that it is not known."""
        self._jobs.show({} if states is None else {(state.value,): states[state] for state in PromiseState})


class Promises:
    """Used by one thread; every poller with the maintain role has one, and the clock picks who judges."""

    def __init__(
        self,
        *,
        promises: PostgresPromises,
        measures: PromiseMeasures,
        clock: Clock,
        on_step: StepObserver,
    ) -> None:
        self._promises = promises
        self._measures = measures
        self._clock = clock
        self._on_step = on_step
        self._counted_at = float("-inf")

    def turn(self) -> bool:
        """Judge what is not judged yet and return False. Raises StoreUnavailable."""
        try:
            self._judge()
            if self._clock.monotonic() - self._counted_at > _STATES_SECONDS:
                self._measures.states(self._promises.states())
                self._counted_at = self._clock.monotonic()
        except StoreUnavailable:
            self._measures.states(None)
            self._counted_at = float("-inf")
            raise
        return False

    def _judge(self) -> None:
        # One transaction. Died here: the stretch is judged and never again; its metrics are lost.
        found = self._promises.judge(at_least=STRETCH)
        if found is not None:
            self._on_step(PromiseStep.JUDGED)
            self._measures.judged(found)
