"""A fetch that cannot hold up its caller: in a thread of its own, under a deadline.

Promises: `fetch` returns within the provider's deadline, the time its gate waited for budget, and
GRACE_SECONDS; a provider that hangs is given up, counted, and not asked again while more than
MAX_STUCK of its threads hang; what it answers late is handed over as late, not dropped.
"""

import contextvars
import threading
from collections.abc import Callable, Sequence

from marketdata.domain.answer import Answer, RawResponse
from marketdata.errors import MarketDataError, UpstreamTimeout, UpstreamUnavailable
from marketdata.telemetry import logs
from marketdata_poller.contract import breach
from marketdata_poller.gate import SharedGate
from marketdata_poller.ports import Provider

_log = logs.get("fetch")

GRACE_SECONDS = 2.0
MAX_STUCK = 3
STOPPING_SECONDS = 4.0
_LOOK_SECONDS = 0.25


class _Attempt:
    """One call of a provider in a daemon thread: nothing waits for it at the end of the process."""

    def __init__(self, provider: Provider, symbols: Sequence[str], gate: SharedGate) -> None:
        self.answer: Answer | None = None
        self.done = threading.Event()
        self._provider, self._symbols, self._gate = provider, tuple(symbols), gate
        # A new thread begins with an empty context; the fields of its log lines live there.
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run, args=(self._run,), name=f"fetch-{provider.name}", daemon=True
        ).start()

    def _run(self) -> None:
        try:
            answer = self._provider.fetch(self._symbols, gate=self._gate)
            what = breach(answer)
            if what is None:
                self.answer = answer
            else:
                _log.error("provider broke its contract", provider=self._provider.name, what=what)
                self.answer = failed(self._symbols, _defect(what))
        except MarketDataError as error:
            self.answer = failed(self._symbols, error)
        except Exception as error:  # noqa: BLE001 - the boundary to plug-ins, whose defects are theirs alone
            _log.exception("provider raised", provider=self._provider.name)
            self.answer = failed(self._symbols, _defect(type(error).__name__))
        finally:
            self.done.set()


class BoundedFetcher:
    """Fetches from one provider; used by one thread."""

    def __init__(self, *, provider: Callable[[], Provider], monotonic: Callable[[], float]) -> None:
        """Fetch from the object that `provider` gives at each call."""
        self._provider = provider
        self._monotonic = monotonic
        self._stuck: list[_Attempt] = []

    def fetch(
        self,
        symbols: Sequence[str],
        *,
        gate: SharedGate,
        stop: threading.Event,
        while_waiting: Callable[[], None],
    ) -> Answer | None:
        """Return the answer for `symbols`, each with an outcome; raises nothing for what providers do.

        `while_waiting` is called several times a second. Once `stop` is set the fetch has
        STOPPING_SECONDS left, as an answer paid for is worth a short wait; without one it is None.
        """
        provider = self._provider()
        if len(self._stuck) >= MAX_STUCK:
            return failed(symbols, UpstreamTimeout("earlier requests to the provider still hang"))
        attempt = _Attempt(provider, symbols, gate)
        started = self._monotonic()
        last_call: float | None = None
        while not attempt.done.wait(_LOOK_SECONDS):
            now = self._monotonic()
            if stop.is_set() and last_call is None:
                last_call = now + STOPPING_SECONDS
            spent = now - started - gate.waited_seconds
            is_late = spent > provider.capabilities.deadline_seconds + GRACE_SECONDS
            is_over = last_call is not None and now > last_call
            if is_late or is_over:
                gate.close()
                self._stuck.append(attempt)
                _log.warning("fetch given up", provider=provider.name, symbols=len(symbols))
                if is_over:
                    return None
                return failed(symbols, UpstreamTimeout("no complete answer within the deadline"))
            while_waiting()
        assert attempt.answer is not None
        return attempt.answer

    def late(self) -> tuple[RawResponse, ...]:
        """Return the raw answers of fetches given up that came after all, each once."""
        finished: list[_Attempt] = []
        stuck: list[_Attempt] = []
        for attempt in self._stuck:  # one look at each: it may end at any time
            (finished if attempt.done.is_set() else stuck).append(attempt)
        self._stuck = stuck
        return tuple(raw for attempt in finished if attempt.answer for raw in attempt.answer.raws)


def _defect(what: str) -> UpstreamUnavailable:
    return UpstreamUnavailable(f"the provider plug-in failed: {what}")


def failed(symbols: Sequence[str], error: MarketDataError) -> Answer:
    """Return the answer that says `error` of every symbol."""
    return Answer(raws=(), quotes={}, failures=dict.fromkeys(symbols, error))
