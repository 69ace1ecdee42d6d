"""A provider that cannot be used, as a provider: its jobs fail with the reason instead of waiting."""

from collections.abc import Sequence

from marketdata.domain.answer import Answer, Parsed, RawResponse
from marketdata.errors import MarketDataError
from marketdata_poller.fetching import failed
from marketdata_poller.ports import Capabilities, RequestGate


class AbsentProvider:
    """Answers every symbol with the reason why it cannot be asked."""

    def __init__(self, name: str, reason: MarketDataError) -> None:
        self.name = name
        self.capabilities = Capabilities(
            max_symbols_per_request=10_000, requests_per_minute=1e6, burst=1, deadline_seconds=1.0
        )
        self._reason = reason

    def fetch(self, symbols: Sequence[str], *, gate: RequestGate) -> Answer:  # noqa: ARG002 - nothing is sent
        """Return the reason for each symbol; sends nothing."""
        return failed(symbols, self._reason)

    def parse(self, raw: RawResponse) -> Parsed:  # noqa: ARG002 - there is nothing to read
        """Return nothing."""
        return Parsed()

    def close(self) -> None:
        """Nothing is open."""
