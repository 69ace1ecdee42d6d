"""The live table: from a reading to lines that fit the terminal.

Pure: the same reading and size give the same lines. Everything is fitted to the size first, so
that nothing wraps and nothing scrolls: where the full columns do not hold all the series, two or
three narrower blocks stand side by side, and what still does not fit is counted.
"""

from dataclasses import dataclass
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from marketdata_tools.run.readings import Counters, Price, Reading, Series

_FRAME_LINES = 8  # title, addresses, rule, heading, the line on what is hidden, rule, two of counters
_GUTTER = 2
_STATES = {"REGULAR": "open", "PRE": "pre-market", "POST": "after hours", "CLOSED": "closed"}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


@dataclass(frozen=True, slots=True)
class Heading:
    """What does not come from the API."""

    address: str
    up_seconds: int
    first_price_seconds: float | None
    logs: str


@dataclass(frozen=True, slots=True)
class Columns:
    """How much a block tells of each series."""

    width: int
    has_provider: bool
    has_change: bool  # and the state of the market


FULL = Columns(width=76, has_provider=True, has_change=True)
MEDIUM = Columns(width=52, has_provider=True, has_change=False)
COMPACT = Columns(width=38, has_provider=False, has_change=False)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the series share the terminal."""

    columns: Columns
    blocks: int
    rows: int

    @property
    def capacity(self) -> int:
        """Return how many series are shown."""
        return self.blocks * self.rows


def fit(series: int, *, width: int, height: int) -> Layout:
    """Return the layout that tells most of each series among those that show them all.

    Where none does, it is the one that shows the most series.
    """
    rows = max(1, height - _FRAME_LINES)
    layouts = [
        Layout(columns, max(1, (width + _GUTTER) // (columns.width + _GUTTER)), rows)
        for columns in (FULL, MEDIUM, COMPACT)
    ]
    for layout in layouts:
        if series <= layout.capacity and layout.columns.width <= width:
            return layout
    return layouts[-1]


def render(reading: Reading, heading: Heading, *, width: int, height: int) -> RenderableType:
    """Return the whole screen."""
    layout = fit(len(reading.series), width=width, height=height)
    shown = reading.series[: layout.capacity]
    return Group(
        _title(heading, width),
        Text(f" API {heading.address}   Swagger {heading.address}/docs", style="cyan", no_wrap=True),
        Rule(style="dim"),
        _blocks(shown, reading, layout),
        _notice(len(reading.series) - len(shown), reading),
        Rule(style="dim"),
        _counters(reading.counters, width),
        _last_line(heading),
    )


def _title(heading: Heading, width: int) -> Text:
    name, up = " Market data", f"up {clock(heading.up_seconds)} "
    return Text.assemble((name, "bold"), " " * (width - len(name) - len(up)), (up, "dim"))


def _blocks(shown: tuple[Series, ...], reading: Reading, layout: Layout) -> RenderableType:
    # Filled column by column, evenly, so that the blocks end at the same height.
    rows = -(-len(shown) // layout.blocks) if len(shown) > layout.rows else max(1, len(shown))
    side_by_side = Table.grid(padding=(0, _GUTTER, 0, 0))
    blocks = [
        _block(shown[first : first + rows], reading, layout.columns) for first in range(0, len(shown), rows)
    ]
    side_by_side.add_row(*blocks)
    return side_by_side if blocks else Text(" no polling job yet; POST /prices/poll makes one", style="dim")


def _block(shown: tuple[Series, ...], reading: Reading, columns: Columns) -> Table:
    table = Table(box=None, padding=(0, 0, 0, 1), pad_edge=False, header_style="bold dim")
    table.add_column(" symbol", width=10, no_wrap=True)
    if columns.has_provider:
        table.add_column("provider", width=13, no_wrap=True)
    table.add_column("price", width=11, justify="right", no_wrap=True)
    if columns.has_change:
        table.add_column("change", width=10, justify="right", no_wrap=True)
    table.add_column("average 5", width=11, justify="right", no_wrap=True)
    table.add_column("age", width=4, justify="right", no_wrap=True)
    if columns.has_change:
        table.add_column("market", width=11, no_wrap=True)
    for series in shown:
        table.add_row(*_cells(series, reading.prices.get(series), columns))
    return table


def _cells(series: Series, price: Price | None, columns: Columns) -> list[Text]:
    cells = [Text(f" {series.symbol}", style="bold")]
    if columns.has_provider:
        cells.append(Text(series.provider, style="dim"))
    if price is None:
        return [*cells, Text("waiting", style="dim")]
    digits = decimals(price.price)
    direction = "" if not price.change else "green" if price.change > 0 else "red"
    cells.append(Text(f"{price.price:,.{digits}f}", style=direction))
    if columns.has_change:
        cells.append(Text(_change(price.change, digits), style=direction))
    cells.append(Text("" if price.average is None else f"{price.average:,.{digits}f}"))
    quiet = "red" if price.stale else "dim"
    cells.append(Text(duration(price.age_seconds), style=quiet))
    if columns.has_change:
        cells.append(Text(_state(price), style=quiet))
    return cells


def _state(price: Price) -> str:
    return "stale" if price.stale else _STATES.get(price.market_state or "", "")


def _notice(hidden: int, reading: Reading) -> Text:
    if reading.trouble is not None:
        return Text(f" {reading.trouble}", style="yellow", no_wrap=True)
    if hidden:
        return Text(f" and {hidden} more: a larger terminal shows them", style="dim", no_wrap=True)
    return Text("")


def _counters(counters: Counters | None, width: int) -> Text:
    if counters is None:
        return Text(" no counters yet", style="dim")
    line = Text(" ", no_wrap=True)
    for words in counter_words(counters):
        if line.cell_len + len(words) + 3 <= width:
            line.append(("" if line.cell_len == 1 else " · ") + words)
    line.append(" ")
    return line


def counter_words(counters: Counters) -> list[str]:
    """Return the counters in words, the most telling first."""
    words = [
        f"ledger {'balanced' if counters.is_balanced else 'NOT balanced'}",
        f"{counters.stored:,} stored",
        f"{counters.outbox_open:,} open in the outbox",
        f"{counters.polls:,} polls",
        f"{counters.redelivered:,} redelivered",
    ]
    if counters.failed:
        words.append(f"{counters.failed:,} failed")
    if counters.dead:
        words.append(f"{counters.dead:,} dead")
    return words


def _last_line(heading: Heading) -> Text:
    first = heading.first_price_seconds
    words = "waiting for the first price" if first is None else f"first price after {first:.1f} s"
    line = f" {words} · logs in {heading.logs} · Ctrl-C ends"
    return Text(line, style="dim", no_wrap=True, overflow="ellipsis")


def decimals(price: Decimal) -> int:
    """Return how many decimals make a change visible: 2 for indices, 4 for currencies."""
    worth = abs(price)
    return 2 if worth >= 10 else 4 if worth >= 1 else 6


def _change(change: Decimal, digits: int) -> str:
    return "" if not change else f"{'▲' if change > 0 else '▼'} {abs(change):,.{digits}f}"


def duration(seconds: float) -> str:
    """Return at most four characters: 0s, 59s, 12m, 5h, 400d."""
    for unit, letter in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if seconds >= unit:
            return f"{int(seconds // unit)}{letter}"
    return f"{int(seconds)}s"


def clock(seconds: int) -> str:
    """Return hours, minutes and seconds: 0:01:07."""
    return f"{seconds // _HOUR}:{seconds % _HOUR // _MINUTE:02}:{seconds % _MINUTE:02}"
