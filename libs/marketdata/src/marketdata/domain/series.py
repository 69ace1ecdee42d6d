"""What a writer must know of a series to add points to it.

A series is all points of one (provider, symbol). Its state is its newest point and the few before:
enough to append any number of newer points, averages included, without reading history back.
Points that are not newer than the newest need the neighbours they fall between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec

from marketdata.domain.price import PricePoint

Series = tuple[str, str]  # (provider, symbol)


class SeriesState(msgspec.Struct, frozen=True, gc=False):
    """The newest point and the newest `WINDOW` prices, newest last, `newest` included.

    A Struct because the consumer makes one for each series of a batch. Not looked at by the collector of
    cycles: nothing in it leads back to it.
    """

    newest: PricePoint
    times: Sequence[datetime]
    prices: Sequence[Decimal]


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """What matters of a point that is stored already: its price, and how it ranks."""

    price: Decimal
    fetched_at: datetime
    raw_response_id: UUID

    @property
    def rank(self) -> tuple[datetime, UUID]:
        return (self.fetched_at, self.raw_response_id)


# Stored points by observed_at: for each instant asked about, the point there if there is one, the
# WINDOW - 1 before it and the WINDOW - 1 after it.
Neighbours = Mapping[datetime, StoredPoint]

# (provider, symbol, observed_at, average, sample size)
AverageRow = tuple[str, str, datetime, Decimal, int]
