"""An archive of raw answers in memory, which answers as the one in Postgres does."""

from collections.abc import Sequence
from datetime import datetime

from marketdata.domain.answer import RawResponse
from marketdata.identifiers import lower_bound


class MemoryRawArchive:
    """Holds what `keep` is given; `find` compares ids, and so times to the millisecond."""

    def __init__(self) -> None:
        self._raws: list[RawResponse] = []

    def keep(self, *raws: RawResponse) -> None:
        self._raws = sorted([*self._raws, *raws], key=lambda raw: raw.raw_response_id)

    def find(
        self, provider: str, symbols: Sequence[str], start: datetime, end: datetime, limit: int
    ) -> list[RawResponse]:
        wanted = set(symbols)
        return [
            raw
            for raw in self._raws
            if raw.provider == provider
            and not wanted.isdisjoint(raw.symbols)
            and lower_bound(start) <= raw.raw_response_id < lower_bound(end)
        ][:limit]
