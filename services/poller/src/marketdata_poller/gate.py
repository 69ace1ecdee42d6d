"""The gate in front of every upstream request: breaker first, then budget.

One object per fetch. Promises: what is refused or not granted in time was not counted as sent; the
time spent waiting is known, so that a deadline can leave it out; after `close` nothing passes.
"""

import threading
from collections.abc import Callable

from marketdata.clock import Clock
from marketdata.errors import BudgetExhausted, MarketDataError, StoreUnavailable
from marketdata.steps import StepObserver
from marketdata.storage.breakers import PostgresBreakers
from marketdata.storage.budget import Bucket, PostgresBudget
from marketdata.telemetry import logs
from marketdata_poller.ports import Capabilities
from marketdata_poller.steps import PollerStep

_log = logs.get("gate")


class SharedGate:
    """RequestGate on the budget and the breakers that all pollers share."""

    def __init__(
        self,
        *,
        provider: str,
        capabilities: Capabilities,
        budget: PostgresBudget,
        breakers: PostgresBreakers,
        clock: Clock,
        longest_wait_seconds: float,
        on_request: Callable[[str, float], None],
        on_step: StepObserver,
    ) -> None:
        """`on_request` is told the endpoint and the budget left; waits are `longest_wait_seconds` at most."""
        self._provider = provider
        self._bucket = Bucket(per_second=capabilities.requests_per_minute / 60, burst=capabilities.burst)
        self._budget = budget
        self._breakers = breakers
        self._clock = clock
        self._longest_wait = longest_wait_seconds
        self._on_request = on_request
        self._on_step = on_step
        self._closed = threading.Event()
        self.waited_seconds = 0.0

    def take(self, endpoint: str) -> None:
        """Return when one request to `endpoint` may be sent; see RequestGate."""
        self._breakers.admit(self._provider, endpoint)
        patience = self._longest_wait
        while not self._closed.is_set():
            taken = self._budget.take(self._provider, self._bucket)
            if taken.granted:
                self._on_request(endpoint, taken.left)
                # Died here: a token is gone and no request was sent; the bucket refills.
                self._on_step(PollerStep.ADMITTED)
                return
            if taken.wait_seconds > patience:
                break
            patience -= taken.wait_seconds
            self.waited_seconds += taken.wait_seconds
            self._clock.wait(taken.wait_seconds, self._closed)
        self._breakers.give_up_probe(self._provider, endpoint)
        raise BudgetExhausted

    def succeeded(self, endpoint: str) -> None:
        """Note an answer; where the store is away nothing is noted, and the breaker stays as it is."""
        try:
            self._breakers.succeeded(self._provider, endpoint)
        except StoreUnavailable:
            _log.warning("breaker not updated", provider=self._provider, endpoint=endpoint)

    def failed(self, endpoint: str, error: MarketDataError) -> None:
        """Note a failure; where the store is away the schedule alone spares the provider."""
        try:
            self._breakers.failed(self._provider, endpoint, error)
        except StoreUnavailable:
            _log.warning("breaker not updated", provider=self._provider, endpoint=endpoint)

    def close(self) -> None:
        """Let nothing pass any more, and end a wait; idempotent."""
        self._closed.set()
