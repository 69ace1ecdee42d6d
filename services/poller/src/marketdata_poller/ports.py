"""What the poller needs of others, said by the poller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from marketdata.domain.answer import Answer, Parsed, RawResponse
from marketdata.errors import MarketDataError
from marketdata.streaming.producer import Delivery, Outgoing


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do and what it owes its upstream.

    `requests_per_minute` and `burst` fill the deployment-wide token bucket; `deadline_seconds`
    bounds one fetch of one chunk, all of its upstream requests together.
    """

    max_symbols_per_request: int
    requests_per_minute: float
    burst: int
    deadline_seconds: float


class RequestGate(Protocol):
    """Stands in front of every single upstream request of a provider, hidden ones included."""

    def take(self, endpoint: str) -> None:
        """Return when one request to `endpoint` may be sent; may block for a while.

        Raises BreakerOpen at once where the endpoint's breaker is open, BudgetExhausted where no
        token becomes free in time, StoreUnavailable where nobody can say. Each return is one
        request counted; not idempotent.
        """

    def succeeded(self, endpoint: str) -> None:
        """Say that the request was answered sensibly: a half-open breaker closes. Idempotent."""

    def failed(self, endpoint: str, error: MarketDataError) -> None:
        """Say how the request failed.

        RateLimited and Blocked open the breaker of `endpoint` for at least `error.retry_after`;
        other errors count towards it.
        """


class Provider(Protocol):
    """A source of prices. One object per process; `fetch` is called from one thread at a time."""

    name: str
    capabilities: Capabilities

    def fetch(self, symbols: Sequence[str], *, gate: RequestGate) -> Answer:
        """Ask for `symbols`, at most max_symbols_per_request of them, canonical and without repeats.

        Blocks up to the deadline. Calls `gate` around every upstream request. Never raises for
        what an upstream does: each symbol asked ends in `quotes` or in `failures`, and every
        answer received, errors included, is in `raws`. Repeating a fetch is harmless and costs
        requests.
        """

    def parse(self, raw: RawResponse) -> Parsed:
        """Return what `raw` says; pure, so that stored answers can be read again years later."""

    def close(self) -> None:
        """Let go of connections; idempotent."""


class ProviderFactory(Protocol):
    """What the entry point group `marketdata.providers` names."""

    def __call__(self, environ: Mapping[str, str]) -> Provider:
        """Return the provider, configured from the environment variables given.

        Raises Misconfigured naming the variable; opens no connection.
        """


class EventPublisher(Protocol):
    """A way to Kafka."""

    def account(self, topic: str) -> str:
        """Return the account of the topic's log, having heard from the broker just now.

        May block for seconds. Raises StreamUnavailable.
        """

    def publish(self, messages: Sequence[Outgoing], *, account: str) -> list[Delivery]:
        """Publish and return, in order, where each message is or why it is not there.

        Blocks until every one is confirmed or given up, below the store's idle-transaction limit.
        Coordinates prove that all in-sync replicas have the message; their lack proves nothing.
        Not idempotent: what is given again is published again.
        """

    def close(self) -> None:
        """Let go of the connections; idempotent."""
