import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.domain import job
from marketdata.errors import InvalidInput
from support import strategies


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (60, 60),
        ("60s", 60),
        ("5m", 300),
        ("1h30m", 5400),
        ("1h", 3600),
        ("24h", 86_400),
        ("90m", 5400),
        (1, 1),
    ],
)
def test_an_interval_is_seconds_or_a_duration(value: int | str, seconds: int) -> None:
    assert job.parse_interval(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        86_401,
        "25h",
        "0s",
        "abc",
        "",
        "60",
        "5 m",
        "1m1h",
        "-5m",
        "1.5m",
        True,
        False,
        "٣s",
        "9" * 400 + "s",
    ],
)
def test_an_interval_outside_1s_to_24h_is_refused(value: int | str) -> None:
    with pytest.raises(InvalidInput, match="from 1s to 24h") as caught:
        job.parse_interval(value)

    assert caught.value.field == "interval"


@given(st.integers(job.MIN_INTERVAL_SECONDS, job.MAX_INTERVAL_SECONDS))
def test_every_way_to_write_an_interval_means_the_same(seconds: int) -> None:
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)

    assert job.parse_interval(seconds) == seconds
    assert job.parse_interval(f"{seconds}s") == seconds
    assert job.parse_interval(f"{hours}h{minutes}m{left}s") == seconds


@given(st.lists(strategies.symbols, min_size=1, max_size=50))
def test_symbols_keep_their_order_and_lose_their_repeats(symbols: list[str]) -> None:
    parsed = job.parse_symbols([*symbols, *(text.lower() for text in symbols)])

    assert list(parsed) == sorted(set(symbols), key=symbols.index)


def test_500_symbols_are_allowed_and_501_are_not() -> None:
    symbols = [f"S{i}" for i in range(501)]

    assert len(job.parse_symbols(symbols[:500])) == 500
    with pytest.raises(InvalidInput, match="501 entries"):
        job.parse_symbols(symbols)


def test_no_symbols_are_refused() -> None:
    with pytest.raises(InvalidInput, match="empty"):
        job.parse_symbols([])


def test_a_bad_symbol_is_named_by_its_place() -> None:
    with pytest.raises(InvalidInput) as caught:
        job.parse_symbols(["AAPL", "B D"])

    assert caught.value.field == "symbols/1"


def test_a_job_is_parsed_part_by_part() -> None:
    identity = uuid.uuid4()
    slo = job.Slo(120, "99.9")

    parsed = job.parse_job(
        job_id=identity,
        symbols=["aapl"],
        provider="synthetic",
        interval="5m",
        suspended=True,
        slo=slo,
        failure_threshold=2,
    )

    assert parsed == job.PollingJob(
        job_id=identity,
        symbols=("AAPL",),
        provider="synthetic",
        interval_seconds=300,
        suspended=True,
        slo=slo,
        failure_threshold=2,
    )


@pytest.mark.parametrize(
    ("field", "symbols", "provider", "interval"),
    [("symbols", [], "synthetic", 60), ("provider", ["A"], "Any", 60), ("interval", ["A"], "synthetic", 0)],
)
def test_a_job_with_a_broken_part_is_refused(
    field: str, symbols: list[str], provider: str, interval: int
) -> None:
    with pytest.raises(InvalidInput) as caught:
        job.parse_job(job_id=uuid.uuid4(), symbols=symbols, provider=provider, interval=interval)

    assert caught.value.field == field
