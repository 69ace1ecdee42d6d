import pytest
from pydantic import BaseModel, ValidationError

from marketdata_api.queries import AverageQuery, BatchQuery, HistoryQuery, JobListQuery, LedgerQuery


@pytest.mark.parametrize(
    ("query", "more"),
    [
        (AverageQuery, {"symbol": "AAPL"}),
        (HistoryQuery, {"symbol": "AAPL"}),
        (BatchQuery, {"symbols": "AAPL"}),
        (JobListQuery, {}),
    ],
)
def test_an_empty_provider_is_one_that_is_left_out(query: type[BaseModel], more: dict[str, str]) -> None:
    assert query.model_validate({**more, "provider": ""}) == query.model_validate(more)


@pytest.mark.parametrize(("window", "most"), [(200, 100), (199, 100), (21, 952), (20, 1_000), (5, 1_000)])
def test_the_longer_the_window_the_fewer_averages_one_answer_has(window: int, most: int) -> None:
    query = {"symbol": "AAPL", "window": window}

    assert AverageQuery.model_validate({**query, "limit": most}).limit == most
    if most < 1_000:
        with pytest.raises(
            ValidationError, match=f"with window={window} ask for limit={most} at most"
        ) as caught:
            AverageQuery.model_validate({**query, "limit": most + 1})
        assert caught.value.errors()[0]["loc"] == ("limit",)


@pytest.mark.parametrize(("query", "more"), [(HistoryQuery, {"symbol": "AAPL"}), (LedgerQuery, {})])
@pytest.mark.parametrize("end", ["2026-03-02T12:10:00Z", "2026-03-02T12:09:59Z"])
def test_a_range_that_ends_before_it_begins_is_refused(
    query: type[BaseModel], more: dict[str, str], end: str
) -> None:
    with pytest.raises(ValidationError, match="end is not after start") as caught:
        query.model_validate({**more, "start": "2026-03-02T12:10:00Z", "end": end})

    assert caught.value.errors()[0]["loc"] == ("end",)


@pytest.mark.parametrize(
    ("start", "is_lost"),
    [
        ("2026-01-01T00:00:00 00:00", True),
        ("2026-01-01T00:00:00.5 0530", True),
        ("2026-01-01 00:00:00 02", True),
        ("2026-01-01 00:00:00", False),
        ("2026-01-01 00:00", False),
        ("yesterday", False),
    ],
)
def test_a_time_that_lost_its_plus_is_told_to_escape_it(start: str, *, is_lost: bool) -> None:
    with pytest.raises(ValidationError) as caught:
        LedgerQuery.model_validate({"start": start})

    assert ("%2B" in caught.value.errors()[0]["msg"]) is is_lost


@pytest.mark.parametrize("limit", ["1_0", "", " 10", "1.0", "\u0661\u0660", "1e1", "9" * 400])
def test_a_number_that_only_a_lenient_reader_would_take_is_refused(limit: str) -> None:
    with pytest.raises(ValidationError) as caught:
        JobListQuery.model_validate({"limit": limit})

    assert caught.value.errors()[0]["msg"] == "limit is a whole number in plain digits, such as 10"
