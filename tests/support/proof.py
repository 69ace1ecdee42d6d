"""The proof that nothing was lost and nothing doubled, from what is stored and what was answered.

It believes no counter: points, averages and latest prices are worked out again from the raw answers,
and those are held against the stand-in's own list. Raises AssertionError with what is off.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from support.yahoo import YahooAnswer

WINDOW = 5
Identity = tuple[str, datetime]


def _rows(engine: sa.Engine, query: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(sa.text(query)))


def is_drained(engine: sa.Engine) -> bool:
    """Tell whether events were made and every one of them is settled."""
    return bool(_rows(engine, "select count(*) > 0 and bool_and(settled_at is not null) from outbox")[0][0])


def ledgers_balance(engine: sa.Engine) -> None:
    """Assert both equations, and that the ledger of polls says what the polls say."""
    polls = _rows(
        engine,
        """
        select job_id, count(*), sum(asked), sum(fresh), sum(unchanged), sum(failed), sum(skipped)
        from polls group by job_id
        """,
    )
    ledger = _rows(
        engine,
        """
        select job_id, sum(polls), sum(asked), sum(fresh), sum(unchanged),
          sum((select coalesce(sum(value::int), 0) from jsonb_each_text(failed))),
          sum((select coalesce(sum(value::int), 0) from jsonb_each_text(skipped)))
        from poll_ledger group by job_id
        """,
    )
    assert sorted(map(tuple, polls)) == sorted(map(tuple, ledger))
    for job_id, _, asked, fresh, unchanged, failed, skipped in polls:
        assert asked == fresh + unchanged + failed + skipped, job_id

    events = _rows(
        engine,
        """
        select provider, sum(created), sum(stored), sum(superseded), sum(dead) from event_ledger
        group by provider
        """,
    )
    found = _rows(
        engine,
        """
        select provider, count(*), count(*) filter (where settlement = 'stored'),
          count(*) filter (where settlement = 'superseded'), count(*) filter (where settlement = 'dead')
        from outbox group by provider
        """,
    )
    assert sorted(map(tuple, events)) == sorted(map(tuple, found))


def nothing_lost_nothing_doubled(
    engine: sa.Engine, answers: Callable[[], Sequence[YahooAnswer]], *, provider: str = "yfinance"
) -> Counter[str]:
    """Assert that everything kept was answered, and everything kept became what it should; return counts.

    Every raw answer's bytes are in the stand-in's list; every quote of an answer that was not fenced is
    one event; the points are exactly the greatest answer for each identity; averages and latest prices
    are those of the points. `answers` is asked for the list after the raw answers were read: one may come
    in meanwhile, to a poll whose job is suspended by now.
    """
    expected: dict[Identity, tuple[tuple[datetime, UUID], Decimal]] = {}
    wished: set[tuple[UUID, str]] = set()
    may_miss: set[tuple[UUID, str]] = set()
    counts: Counter[str] = Counter()
    events = {
        (row.raw_response_id, row.symbol)
        for row in _rows(engine, f"select raw_response_id, symbol from outbox where provider = '{provider}'")
    }
    raws = _rows(
        engine,
        f"select id, status, body, fetched_at, fenced from raw_market_data where provider = '{provider}'",
    )
    quotes = {answer.sha256: answer.quotes for answer in answers()}
    for row in raws:
        digest = hashlib.sha256(bytes(row.body)).hexdigest()
        assert digest in quotes, f"raw answer {row.id} holds bytes that were never sent"
        counts["raws"] += 1
        for symbol, price, second in quotes[digest]:
            (may_miss if row.fenced else wished).add((row.id, symbol))
            if (row.id, symbol) not in events:
                continue
            identity = (symbol, datetime.fromtimestamp(second, UTC))
            answer = ((row.fetched_at, row.id), Decimal(price))
            expected[identity] = max(answer, expected.get(identity, answer))
    assert wished - events == set(), "quotes of kept answers have no event"
    assert events - wished - may_miss == set(), "events that no answer speaks of"
    counts["events"] = len(events)

    points = _rows(
        engine,
        f"""
        select symbol, observed_at, fetched_at, raw_response_id, price from price_points
        where provider = '{provider}'
        """,
    )
    stored = {(p.symbol, p.observed_at): ((p.fetched_at, p.raw_response_id), p.price) for p in points}
    assert stored == expected
    counts["points"] = len(stored)
    averages_are_naive(engine, provider=provider)
    latest_is_newest(engine, provider=provider)
    return counts


def averages_are_naive(engine: sa.Engine, *, provider: str) -> None:
    """Assert that each point has one average, equal to a recomputation with exact fractions."""
    series: dict[str, list[tuple[datetime, Decimal]]] = defaultdict(list)
    for row in _rows(
        engine,
        f"""
        select symbol, observed_at, price from price_points where provider = '{provider}'
        order by symbol, observed_at
        """,
    ):
        series[row.symbol].append((row.observed_at, row.price))
    expected = {
        (symbol, at): _mean(price for _, price in points[max(0, i - WINDOW + 1) : i + 1])
        for symbol, points in series.items()
        for i, (at, _) in enumerate(points)
    }
    found = {
        (row.symbol, row.observed_at): (row.moving_average, row.sample_size)
        for row in _rows(
            engine,
            f"""
            select symbol, observed_at, moving_average, sample_size from symbol_averages
            where provider = '{provider}' and "window" = {WINDOW}
            """,
        )
    }
    assert found == expected


def _mean(prices: Iterable[Decimal]) -> tuple[Decimal, int]:
    exact = [Fraction(price) for price in prices]
    mean = sum(exact) / len(exact)
    return (Decimal(round(mean * 10**12)).scaleb(-12), len(exact))


def latest_is_newest(engine: sa.Engine, *, provider: str) -> None:
    """Assert that each latest price is the newest point, and carries the newest prices."""
    newest = _rows(
        engine,
        f"""
        select symbol, array_agg(price order by observed_at), array_agg(observed_at order by observed_at),
          (array_agg(raw_response_id order by observed_at desc))[1]
        from (select *, row_number() over (partition by symbol order by observed_at desc) as place
              from price_points where provider = '{provider}') as ranked
        where place <= {WINDOW} group by symbol
        """,
    )
    latest = _rows(
        engine,
        f"""
        select symbol, recent_prices::numeric[], recent_times::timestamptz[], raw_response_id
        from latest_prices
        where provider = '{provider}' and observed_at is not null
          and observed_at = (recent_times::timestamptz[])[cardinality(recent_times::timestamptz[])]
        """,
    )
    assert sorted(map(tuple, latest)) == sorted(map(tuple, newest))
