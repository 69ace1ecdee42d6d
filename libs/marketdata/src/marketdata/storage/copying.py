"""Rows as COPY text: the fastest way into a table, where no row can conflict.

The text form is built by hand: every value that gets here has passed a grammar without tabs,
newlines and backslashes (symbol, provider, words of printable ASCII), so nothing needs escaping but
a backslash in a word.
"""

import io
from collections.abc import Sequence

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

from marketdata.columns import texts
from marketdata.domain.average import WINDOW
from marketdata.domain.price import PricePoint
from marketdata.domain.series import AverageRow

POINTS = "price_points (provider, symbol, observed_at, price, currency, raw_response_id, fetched_at)"
AVERAGES = 'symbol_averages (provider, symbol, observed_at, "window", moving_average, sample_size)'
_CHUNK = 1 << 20


def copy_into(cursor: Cursor, target: str, text: str) -> None:
    """Send `text` to `target`, a table with its columns."""
    cursor.copy_expert(f"copy {target} from stdin", io.StringIO(text), size=_CHUNK)


def points_text(points: Sequence[PricePoint]) -> str:
    """Return rows of POINTS."""
    return "".join(
        [
            f"{p.provider}\t{p.symbol}\t{observed_at}\t{price}\t{word(p.currency)}\t{answer}\t{fetched_at}\n"
            for p, observed_at, price, answer, fetched_at in zip(
                points,
                texts([p.observed_at for p in points]),
                texts([p.price for p in points]),
                texts([p.raw_response_id for p in points]),
                texts([p.fetched_at for p in points]),
                strict=True,
            )
        ]
    )


def averages_text(rows: Sequence[AverageRow]) -> str:
    """Return rows of AVERAGES."""
    return "".join(
        [
            f"{provider}\t{symbol}\t{at}\t{WINDOW}\t{average}\t{size}\n"
            for (provider, symbol, _, _, size), at, average in zip(
                rows, texts([row[2] for row in rows]), texts([row[3] for row in rows]), strict=True
            )
        ]
    )


def word(value: str | None) -> str:
    r"""Return a nullable word: `\N` for None."""
    return "\\N" if value is None else value.replace("\\", "\\\\")
