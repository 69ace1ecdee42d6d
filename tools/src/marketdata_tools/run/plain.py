"""What the launcher says where there is no terminal: few lines, each complete in itself.

Pure. A price is told once, when it is first there; after that one line of totals now and then.
"""

from marketdata_tools.run.readings import Price, Reading
from marketdata_tools.run.view import counter_words, decimals, duration

MOST_FIRST_PRICES = 20
MOST_SERIES = 100


def first_prices(before: Reading, now: Reading) -> list[str]:
    """Return a line for each series that has a price now and had none, up to a limit for all."""
    told = len(before.prices)
    known = before.prices.keys()
    fresh = [now.prices[series] for series in now.series if series in now.prices and series not in known]
    lines = [price_line(price) for price in fresh[: max(0, MOST_FIRST_PRICES - told)]]
    hidden = len(fresh) - len(lines)
    if hidden:
        lines.append(f"and {hidden} more")
    return lines


def price_line(price: Price) -> str:
    """Return one price in words."""
    digits = decimals(price.price)
    average = "" if price.average is None else f", average of 5 {price.average:,.{digits}f}"
    state = ", stale" if price.stale else ""
    return (
        f"{price.series.symbol} {price.price:,.{digits}f} ({price.series.provider}, "
        f"{duration(price.age_seconds)} old{average}{state})"
    )


def totals(now: Reading) -> str:
    """Return one line on everything."""
    if now.trouble is not None:
        return now.trouble
    stale = sum(price.stale for price in now.prices.values())
    words = [f"{len(now.prices)} of {min(MOST_SERIES, len(now.series))} series have a price"]
    if len(now.series) > MOST_SERIES:
        words[0] += f" ({len(now.series)} in all)"
    if stale:
        words.append(f"{stale} stale")
    if now.counters is not None:
        words.extend(counter_words(now.counters))
    return ", ".join(words)
