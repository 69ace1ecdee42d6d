"""What the stand-in's market says at an instant, and what faults make of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from marketdata_tools.standins.series import Listing
from marketdata_tools.standins.yahoo_faults import Fault
from marketdata_tools.standins.yahoo_shapes import Told

DELISTED = "DELISTED"  # known to the upstream, and without a price


class Market:
    """Real series walked one step every `step_seconds`; a pure function of the time asked for."""

    def __init__(self, *, listings: Mapping[str, Listing], step_seconds: int) -> None:
        self._listings = listings
        self._step = step_seconds
        self._delisted = Listing(DELISTED, "Delisted", "EQUITY", "USD", "NMS", (Decimal(0), Decimal(0)))

    def listing(self, symbol: str) -> Listing | None:
        """Return what is known of `symbol`."""
        return self._delisted if symbol == DELISTED else self._listings.get(symbol)

    def tell(self, symbols: Sequence[str], *, now: int, faults: Sequence[Fault]) -> list[Told]:
        """Return what an answer at `now` says of `symbols`; unknown and missing ones are left out."""
        told = [one for symbol in symbols if (one := self._one(symbol, now, faults)) is not None]
        if any(fault.kind == "one_quote" for fault in faults):
            return told[:1]
        return told

    def _one(self, symbol: str, now: int, faults: Sequence[Fault]) -> Told | None:
        listing = self.listing(symbol)
        if listing is None:
            return None
        told = self._at(listing, now)
        for fault in faults:
            if fault.symbols and symbol not in fault.symbols:
                continue
            changed = self._changed(told, fault)
            if changed is None:
                return None
            told = changed
        return told

    def _at(self, listing: Listing, now: int) -> Told:
        step = now // self._step
        price = None if listing is self._delisted else listing.close_at(step)
        return Told(listing=listing, price=price, observed_at=step * self._step)

    def _changed(self, told: Told, fault: Fault) -> Told | None:
        changed: Told | None = told
        match fault.kind:
            case "missing":
                changed = None
            case "nan":
                changed = replace(told, price=Decimal("NaN"))
            case "no_price":
                changed = replace(told, price=None)
            case "frozen":
                changed = self._at(told.listing, fault.since)
            case "closed":
                changed = replace(self._at(told.listing, fault.since), market_state="CLOSED")
            case "clock_back":
                changed = replace(told, observed_at=told.observed_at - int(fault.seconds))
            case "price":
                changed = replace(told, price=Decimal(fault.price))
            case _:
                pass
        return changed
