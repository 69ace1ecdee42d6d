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


@pytest.mark.parametrize(("query", "more"), [(HistoryQuery, {"symbol": "AAPL"}), (LedgerQuery, {})])
@pytest.mark.parametrize("end", ["2026-03-02T12:10:00Z", "2026-03-02T12:09:59Z"])
def test_a_range_that_ends_before_it_begins_is_refused(
    query: type[BaseModel], more: dict[str, str], end: str
) -> None:
    with pytest.raises(ValidationError, match="end is not after start") as caught:
        query.model_validate({**more, "start": "2026-03-02T12:10:00Z", "end": end})

    assert caught.value.errors()[0]["loc"] == ("end",)
