"""`make bench`: measure beside the alternatives, show a table, write build/bench.json.

Exits 1 where a ratio is below its floor. The parts named are measured, all of them where none is.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from marketdata_tools import bench

PARTS = ("consumer", "freshness", "claims", "api", "tracing")
_REPORT = Path("build/bench.json")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the parts asked for and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m marketdata_tools.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"one of {', '.join(PARTS)}")
    parts = parser.parse_args(argv).parts or PARTS
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"{unknown[0]} is no part of the benchmark; there are {', '.join(PARTS)}")
    console = Console(stderr=True)
    rows: list[Mapping[str, Any]] = []
    for part in parts:
        console.print(f"measuring {part} …")
        rows += importlib.import_module(f"{bench.__name__}.{part}").measure()
    _REPORT.parent.mkdir(exist_ok=True)
    _REPORT.write_text(json.dumps(rows, indent=2) + "\n")
    Console().print(table(rows))
    below = [row for row in rows if row["ratio"] < row["floor"]]
    for row in below:
        sys.stderr.write(f"below its floor: {row['name']}: {row['ratio']} < {row['floor']}\n")
    return 1 if below else 0


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the report as a table that fits a terminal of 80 columns with no word cut.

    CPU is seconds per million events (or requests), ours and theirs.
    """
    shown = Table(
        title="side by side in one run, medians of interleaved rounds",
        caption="CPU: seconds per million events or requests",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    shown.add_column("what")
    for column in ("ours", "theirs", "ratio", "floor", "CPU", "theirs"):
        shown.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(
            f"{row['name']}, {row['unit']}",
            _number(row["ours"]),
            _number(row["theirs"]),
            f"{row['ratio']:.2f}",
            f"{row['floor']:g}",
            _number(row.get("ours_cpu_seconds_per_million")),
            _number(row.get("theirs_cpu_seconds_per_million")),
        )
    return shown


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}"


if __name__ == "__main__":
    sys.exit(main())
