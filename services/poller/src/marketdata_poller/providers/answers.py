"""From raw answers to the outcome of a fetch.

Providers differ in how they ask; what becomes of an answer is the same for all, and is decided
here from `parse` alone, so that what a fetch says is what its stored bytes say. A reader that an
answer is too much for fails that answer and not the fetch: the bytes are kept, and what raised
raises again when they are read again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from uuid import UUID

from marketdata.domain.answer import Answer, Parsed, Quote, RawResponse
from marketdata.errors import BadResponse, MarketDataError, NoData, RateLimited
from marketdata_poller.providers.retry_after import retry_after


def understood(raw: RawResponse, parse: Callable[[RawResponse], Parsed]) -> Parsed:
    """Return `parse(raw)`; raises nothing but MarketDataError.

    Whatever else `parse` raises becomes BadResponse, or RateLimited where the status is 429, with
    the Retry-After of `raw`: the gate must hear of it however little of the answer makes sense.
    """
    try:
        return parse(raw)
    except MarketDataError:
        raise
    except Exception as error:  # whatever an upstream may send, read by code that may err
        kind = RateLimited if raw.status == 429 else BadResponse
        message = f"the answer of status {raw.status} cannot be read: {type(error).__name__}"
        raise kind(message, retry_after=retry_after(raw.headers, raw.fetched_at)) from error


def said(raw: RawResponse, parse: Callable[[RawResponse], Parsed]) -> Parsed:
    """Return `parse(raw)`; an answer that cannot be read fails all of its symbols alike."""
    try:
        return understood(raw, parse)
    except MarketDataError as refusal:
        return Parsed(failures=dict.fromkeys(raw.symbols, refusal))


def combine(
    symbols: Sequence[str],
    raws: Iterable[RawResponse],
    parse: Callable[[RawResponse], Parsed],
    *,
    unanswered: Mapping[str, MarketDataError] | MarketDataError | None = None,
) -> Answer:
    """Return the outcome of asking for `symbols` that was answered by `raws`, oldest first.

    A later quote replaces an earlier one, and any quote replaces a failure. `unanswered` is why no
    answer speaks of a symbol (one reason for all, or for each): it counts where `raws` are silent.
    """
    asked = set(symbols)
    kept = tuple(raws)
    quotes: dict[str, tuple[Quote, UUID]] = {}
    failures: dict[str, MarketDataError] = {}
    for raw in kept:
        parsed = said(raw, parse)
        failures |= {symbol: error for symbol, error in parsed.failures.items() if symbol in asked}
        quotes |= {
            symbol: (quote, raw.raw_response_id) for symbol, quote in parsed.quotes.items() if symbol in asked
        }
    outcome = {
        symbol: failures.get(symbol) or _reason(symbol, unanswered)
        for symbol in symbols
        if symbol not in quotes
    }
    return Answer(raws=kept, quotes=quotes, failures=outcome)


def _reason(
    symbol: str, unanswered: Mapping[str, MarketDataError] | MarketDataError | None
) -> MarketDataError:
    if isinstance(unanswered, MarketDataError):
        return unanswered
    return (unanswered or {}).get(symbol) or NoData(f"no answer speaks of {symbol}")
