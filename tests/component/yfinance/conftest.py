"""Providers of each test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from marketdata_poller.ports import Provider
from support.providers import OpenGate
from support.yahoo import Yahoo
from support.yfinance_provider import a_provider


@pytest.fixture
def provider(yahoo: Yahoo, tmp_path: Path) -> Iterator[Provider]:
    made = a_provider(yahoo, tmp_path / "cache")
    yield made
    made.close()


@pytest.fixture
def warm(provider: Provider, yahoo: Yahoo) -> Provider:
    """A provider that has its cookie and its crumb."""
    provider.fetch(("AAPL",), gate=OpenGate())
    yahoo.reset()
    return provider
