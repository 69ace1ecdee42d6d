"""The readings behind the table, taken from the API as any client takes them.

One connection, kept open, and few requests a second: a page of jobs, the latest prices in one
request per provider, averages only of the series whose price moved, and the ledger. An API that is
away or slow leaves the last reading in place with a word on why.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from http.client import HTTPConnection, HTTPException
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from marketdata_tools.run.readings import Counters, Price, Reading, Series

_TIMEOUT_SECONDS = 3.0
_MOST_JOBS = 1000
_BATCH = 100


class Unanswered(Exception):
    """The API gave no answer that can be read."""


class ApiFeed:
    """Reads the API of one launcher; not for several threads."""

    def __init__(self, host: str, port: int) -> None:
        """Point at the API; the first read connects."""
        self._connection = HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
        self._last = Reading()
        self._changes: dict[Series, tuple[Decimal, Decimal]] = {}  # price, and how it came about
        self._averages: dict[Series, tuple[datetime, Decimal]] = {}

    def read(self, *, most: int) -> Reading:
        """Return a new reading with prices of the first `most` series; blocks a few seconds at worst."""
        try:
            series = self._series()
            prices = {
                price.series: price
                for provider, part in groupby(series[:most], key=lambda one: one.provider)
                for price in self._prices(provider, [one.symbol for one in part])
            }
            self._last = Reading(series=series, prices=prices, counters=self._counters())
        except Unanswered as error:
            self._last = replace(self._last, trouble=str(error))
        return self._last

    def close(self) -> None:
        """Let go of the connection; idempotent."""
        self._connection.close()

    def _series(self) -> tuple[Series, ...]:
        body = self._get("/prices/poll", limit=_MOST_JOBS, suspended="false")
        return tuple(
            sorted(
                {
                    Series(provider=job["config"]["provider"], symbol=symbol)
                    for job in body["data"]
                    for symbol in job["config"]["symbols"]
                }
            )
        )

    def _prices(self, provider: str, symbols: list[str]) -> Iterator[Price]:
        for first in range(0, len(symbols), _BATCH):
            asked = ",".join(symbols[first : first + _BATCH])
            body = self._get("/prices/latest/batch", missing={"data": {}}, symbols=asked, provider=provider)
            for served in body["data"].values():
                yield self._price(served)

    def _price(self, served: Mapping[str, Any]) -> Price:
        series = Series(provider=served["provider"], symbol=served["symbol"])
        price = Decimal(served["price"])
        at = datetime.fromisoformat(served["timestamp"])
        before, change = self._changes.get(series, (price, Decimal(0)))
        if price != before:
            change = price - before
        self._changes[series] = (price, change)
        return Price(
            series=series,
            price=price,
            timestamp=at,
            age_seconds=float(served["age_seconds"]),
            stale=served["stale"],
            market_state=served["market_state"],
            average=self._average(series, at),
            change=change,
        )

    def _average(self, series: Series, at: datetime) -> Decimal | None:
        known = self._averages.get(series)
        if known is None or known[0] != at:
            body = self._get(
                "/prices/average", missing={}, symbol=series.symbol, provider=series.provider, window=5
            )
            if not body:
                return None
            known = (datetime.fromisoformat(body["timestamp"]), Decimal(body["moving_average"]))
            self._averages[series] = known
        return known[1]

    def _counters(self) -> Counters:
        body = self._get("/prices/ledger")
        polls, events = body["polls"], body["events"]
        return Counters(
            polls=sum(row["polls"] for row in polls),
            failed=sum(sum(row["failed"].values()) for row in polls),
            stored=body["counters"]["stored"],
            redelivered=body["counters"]["redelivered"],
            dead=sum(row["dead"] for row in events),
            outbox_open=sum(row["open"] for row in events),
            is_balanced=body["balanced"],
        )

    def _get(self, path: str, *, missing: Mapping[str, Any] | None = None, **query: object) -> Any:
        """Return the body; `missing` stands for a 404, if given. Raises Unanswered."""
        try:
            self._connection.request("GET", f"{path}?{urlencode(query)}")
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            message = f"the API does not answer ({type(error).__name__})"
            raise Unanswered(message) from None
        if response.status == 404 and missing is not None:
            return missing
        if response.status != 200:
            message = f"the API answers {response.status} to GET {path}"
            raise Unanswered(message)
        return json.loads(body, parse_float=Decimal)
