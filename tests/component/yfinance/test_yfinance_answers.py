"""What the provider asks for, and what it makes of good answers."""

import hashlib
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from marketdata_poller.ports import Provider
from support.yahoo import Yahoo
from support.yfinance_provider import BATCH, a_provider, fetch


def test_five_hundred_symbols_cost_six_requests(warm: Provider, yahoo: Yahoo) -> None:
    symbols = [f"SYM{number:03}" for number in range(1, 501)]
    size = warm.capabilities.max_symbols_per_request

    answers = [fetch(warm, *symbols[start : start + size]) for start in range(0, 500, size)]

    assert yahoo.counts() == {"quote": 6}
    assert sum(len(answer.quotes) for answer in answers) == 500


def test_a_cold_start_costs_one_cookie_and_one_crumb(provider: Provider, yahoo: Yahoo) -> None:
    fetch(provider, "AAPL")
    fetch(provider, "AAPL")

    assert yahoo.counts() == {"cookie": 1, "crumb": 1, "quote": 2}


def test_a_cookie_survives_a_restart_in_the_cache_folder(yahoo: Yahoo, tmp_path: Path) -> None:
    for _ in range(2):
        started = a_provider(yahoo, tmp_path / "cache")
        assert set(fetch(started, "AAPL").quotes) == {"AAPL"}
        started.close()

    assert yahoo.counts() == {"cookie": 1, "crumb": 2, "quote": 2}


def test_prices_and_times_are_those_the_stand_in_lists(warm: Provider, yahoo: Yahoo) -> None:
    answer = fetch(warm, "AAPL", "^GSPC", "CL=F", "SYM001")

    (given,) = yahoo.answers()
    assert {(quote.symbol, quote.price, quote.observed_at) for quote, _ in answer.quotes.values()} == {
        (symbol, Decimal(price), datetime.fromtimestamp(at, UTC)) for symbol, price, at in given.quotes
    }


def test_bytes_are_recorded_as_they_were_sent(warm: Provider, yahoo: Yahoo) -> None:
    raws = [*fetch(warm, *BATCH).raws, *fetch(warm, "AAPL", "ZZZZ").raws]

    assert [
        (raw.headers["x-yahoo-request-id"], hashlib.sha256(raw.body).hexdigest(), raw.status) for raw in raws
    ] == [(str(given.number), given.sha256, given.status) for given in yahoo.answers()]
    assert [raw.status for raw in raws] == [200, 200, 404]


def test_crumbs_and_cookies_are_in_nothing_that_is_kept(provider: Provider, yahoo: Yahoo) -> None:
    raws = fetch(provider, "AAPL").raws

    (quote,) = (given for given in yahoo.answers() if given.endpoint == "quote")
    crumb = quote.path.partition("crumb=")[2]
    assert crumb
    assert all(crumb not in raw.url and "crumb=REDACTED" in raw.url for raw in raws)
    assert all("cookie" not in name for raw in raws for name in raw.headers)


def test_prices_in_hundredths_become_whole_units(warm: Provider, yahoo: Yahoo) -> None:
    answer = fetch(warm, "VOD.L", "NPN.JO", "TEVA.TA")

    listed = {symbol: Decimal(price) for given in yahoo.answers() for symbol, price, _ in given.quotes}
    assert {symbol: (quote.currency, quote.price) for symbol, (quote, _) in answer.quotes.items()} == {
        "VOD.L": ("GBP", listed["VOD.L"] / 100),
        "NPN.JO": ("ZAR", listed["NPN.JO"] / 100),
        "TEVA.TA": ("ILS", listed["TEVA.TA"] / 100),
    }
