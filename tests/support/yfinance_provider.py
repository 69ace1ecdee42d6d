"""The yfinance provider as tests use it, pointed at a stand-in."""

from pathlib import Path

from marketdata.domain.answer import Answer
from marketdata_poller.ports import Provider
from marketdata_poller.providers.registry import InstalledProviders
from support.providers import OpenGate
from support.yahoo import Yahoo

PATIENCE = 30.0  # of a fetch, in seconds: longer than any takes that does not hang
BATCH = tuple(f"SYM{number:03}" for number in range(1, 91))


def a_provider(yahoo: Yahoo, cache: Path, **variables: str) -> Provider:
    return InstalledProviders(
        environ={
            "MARKETDATA_YFINANCE_BASE_URL": yahoo.url,
            "MARKETDATA_YFINANCE_CACHE_DIR": str(cache),
            "MARKETDATA_YFINANCE_DEADLINE_SECONDS": str(PATIENCE),
            **variables,
        }
    ).get("yfinance")


def fetch(provider: Provider, *symbols: str) -> Answer:
    """Fetch, and assert what holds of every answer."""
    gate = OpenGate()
    answer = provider.fetch(symbols, gate=gate)
    assert set(answer.quotes) | set(answer.failures) == set(symbols)
    assert set(answer.quotes).isdisjoint(answer.failures)
    assert [endpoint for endpoint, _ in gate.told] == gate.passed
    return answer


def reasons(answer: Answer) -> set[str]:
    return {error.reason for error in answer.failures.values()}
