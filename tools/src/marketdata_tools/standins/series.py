"""Real price history, carried by packages, told again as if it happened now.

Daily closes of the S&P 500, the NASDAQ Composite, WTI crude (1986 to 2018 and later) and the VIX
come with `arch`; weekly closes of six stocks, relative to their level on 2018-01-01, come with
`plotly` and are shown as an index of 100. Only the files are read: importing `arch` would cost a
second and pandas.

A symbol walks its series to the end and back again, one real close a step, so that neighbouring
prices are always neighbours in history. SYM001 to SYM999 are the same series begun elsewhere, for
load.
"""

import csv
import gzip
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

LOAD_SYMBOLS = 999


@dataclass(frozen=True, slots=True)
class Listing:
    """One tradable thing: how an upstream describes it, and its closes in order."""

    symbol: str
    name: str
    kind: str
    currency: str
    exchange: str
    closes: tuple[Decimal, ...]
    start: int = 0

    def close_at(self, step: int) -> Decimal:
        """Return the close `step` steps into the walk; any integer is in range."""
        last = len(self.closes) - 1
        position = (self.start + step) % (2 * last)
        return self.closes[position if position <= last else 2 * last - position]


def load() -> dict[str, Listing]:
    """Return every listing by symbol, read from the installed packages."""
    listings = [*_indices(), *_stocks()]
    known = {listing.symbol: listing for listing in listings}
    known |= {listing.symbol: listing for listing in _foreign(known)}
    return known | {listing.symbol: listing for listing in _made_for_load(known["^GSPC"])}


_INDICES = (
    ("^GSPC", "S&P 500", "INDEX", "SNP", "data/sp500/sp500.csv.gz", "Close"),
    ("^IXIC", "NASDAQ Composite", "INDEX", "NIM", "data/nasdaq/nasdaq.csv.gz", "Close"),
    ("^VIX", "CBOE Volatility Index", "INDEX", "CXI", "data/vix/vix.csv.gz", "vix"),
    ("CL=F", "Crude Oil", "FUTURE", "NYM", "data/wti/wti.csv.gz", "DCOILWTICO"),
)


def _indices() -> Iterator[Listing]:
    for symbol, name, kind, exchange, path, column in _INDICES:
        yield Listing(symbol, name, kind, "USD", exchange, _closes("arch", path, column))


_STOCKS = {
    "AAPL": ("AAPL", "Apple Inc."),
    "MSFT": ("MSFT", "Microsoft Corporation"),
    "AMZN": ("AMZN", "Amazon.com, Inc."),
    "GOOG": ("GOOG", "Alphabet Inc."),
    "META": ("FB", "Meta Platforms, Inc."),
    "NFLX": ("NFLX", "Netflix, Inc."),
}


def _stocks() -> Iterator[Listing]:
    for symbol, (column, name) in _STOCKS.items():
        relative = _closes("plotly", "package_data/datasets/stocks.csv.gz", column)
        hundred = tuple((close * 100).quantize(Decimal("0.0001")) for close in relative)
        yield Listing(symbol, name, "EQUITY", "USD", "NMS", hundred)


def _foreign(known: dict[str, Listing]) -> Iterator[Listing]:
    """Quoted in hundredths of their currency, as London, Johannesburg and Tel Aviv do."""
    for symbol, name, currency, exchange, model in (
        ("VOD.L", "Vodafone Group", "GBp", "LSE", "MSFT"),
        ("NPN.JO", "Naspers", "ZAc", "JNB", "AMZN"),
        ("TEVA.TA", "Teva Pharmaceutical", "ILA", "TLV", "NFLX"),
    ):
        yield Listing(symbol, name, "EQUITY", currency, exchange, known[model].closes)


def _made_for_load(model: Listing) -> Iterator[Listing]:
    for number in range(1, LOAD_SYMBOLS + 1):
        yield Listing(
            f"SYM{number:03}", f"Load symbol {number}", "EQUITY", "USD", "NMS", model.closes, number * 7
        )


def _closes(package: str, path: str, column: str) -> tuple[Decimal, ...]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        message = f"package {package} is not installed; it carries the price history"
        raise ModuleNotFoundError(message)
    with gzip.open(Path(spec.submodule_search_locations[0]) / path, "rt", encoding="utf-8-sig") as lines:
        texts = (row[column] for row in csv.DictReader(lines))
        return tuple(Decimal(text) for text in texts if text and text != ".")
