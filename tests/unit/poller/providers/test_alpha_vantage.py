"""Alpha Vantage: refusals told as content, days told as times, and a key that is seen nowhere."""

import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from marketdata.clock import ManualClock
from marketdata.domain.answer import RawResponse
from marketdata.errors import Misconfigured
from marketdata_poller.providers import alpha_vantage
from marketdata_poller.providers.alpha_vantage import AlphaVantageProvider
from marketdata_poller.providers.settings import AlphaVantageSettings, read
from support.alpha_vantage import KEY, serving
from support.builders import NOON, a_raw
from support.providers import OpenGate

GOOD = (
    b'{"Global Quote": {"01. symbol": "IBM", "05. price": "231.5000", '
    b'"07. latest trading day": "2026-02-27"}}'
)


def a_provider(**variables: str) -> AlphaVantageProvider:
    environ = {"ALPHA_VANTAGE_API_KEY": KEY, **variables}
    values = read("alpha_vantage", AlphaVantageSettings, environ)
    return AlphaVantageProvider(values=values, clock=ManualClock())


def an_answer(body: bytes, *, status: int = 200, fetched_at: datetime = NOON) -> RawResponse:
    return a_raw(("IBM",), provider="alpha_vantage", body=body, status=status, fetched_at=fetched_at)


def test_a_quote_is_dated_to_the_end_of_its_trading_day() -> None:
    quote = a_provider().parse(an_answer(GOOD)).quotes["IBM"]

    assert quote.price == Decimal("231.5000")
    assert quote.observed_at == datetime(2026, 2, 27, 21, tzinfo=UTC)


def test_while_the_day_lasts_a_quote_is_of_the_time_of_its_answer() -> None:
    body = GOOD.replace(b"2026-02-27", b"2026-03-02")
    fetched_at = NOON + timedelta(milliseconds=700)

    assert a_provider().parse(an_answer(body, fetched_at=fetched_at)).quotes["IBM"].observed_at == NOON


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b'{"Note": "Thank you for using Alpha Vantage! Our standard limit is"}', 200, "rate_limited"),
        (b'{"Information": "rate limit is 25 requests per day"}', 200, "rate_limited"),
        (b"", 429, "rate_limited"),
        (b'{"Error Message": "Invalid API call."}', 200, "unknown_symbol"),
        (b'{"Error Message": "the parameter apikey is invalid or missing."}', 200, "blocked"),
        (b'{"Global Quote": {}}', 200, "unknown_symbol"),
        (b'{"Global Quote": []}', 200, "bad_response"),
        (GOOD.replace(b"231.5000", b"NaN"), 200, "bad_response"),
        (b'{"Global Quote": {"05. price": "1", "07. latest trading day": "today"}}', 200, "bad_response"),
        (b'{"Global Quote": {"05. price": 1}}', 200, "bad_response"),
        (GOOD.replace(b'"231.5000"', b"231.5"), 200, "bad_response"),
        (GOOD.replace(b"231.5000", b"1e1000000"), 200, "bad_response"),
        (GOOD.replace(b"231.5000", b"1e99999999999999999999"), 200, "bad_response"),
        (GOOD.replace(b"231.5000", b"1_0"), 200, "bad_response"),
        (GOOD.replace(b"231.5000", "٢٣١".encode()), 200, "bad_response"),
        (GOOD.replace(b"2026-02-27", "٢٠٢٦-02-27".encode()), 200, "bad_response"),
        (GOOD.replace(b"2026-02-27", b"0001-01-01"), 200, "bad_response"),
        (GOOD.replace(b"2026-02-27", b"1899-12-31"), 200, "bad_response"),
        (GOOD.replace(b"2026-02-27", b"2026-02-30"), 200, "bad_response"),
        (b"{}", 200, "bad_response"),
        (b"[]", 200, "bad_response"),
        (b"<html>", 200, "bad_response"),
        (b"", 503, "upstream_unavailable"),
        (b"", 403, "blocked"),
        (b"", 302, "blocked"),
    ],
)
def test_refusals_are_told_apart(body: bytes, status: int, reason: str) -> None:
    assert a_provider().parse(an_answer(body, status=status)).failures["IBM"].reason == reason


def test_a_429_with_a_date_out_of_all_range_is_kept_and_the_gate_hears_of_it() -> None:
    gate = OpenGate()
    with serving() as server:
        server.status = 429
        server.headers = {"Retry-After": "Fri, 01 Jan 99999999999999999999 00:00:00 GMT"}
        provider = a_provider(MARKETDATA_ALPHA_VANTAGE_BASE_URL=server.url)
        answer = provider.fetch(("IBM",), gate=gate)
        provider.close()

    assert answer.failures["IBM"].reason == "rate_limited"
    assert [raw.status for raw in answer.raws] == [429]
    assert [error.reason for _, error in gate.told if error] == ["rate_limited"]


def test_an_answer_that_breaks_the_reader_is_kept_and_the_gate_hears_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def overwhelmed(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(alpha_vantage, "_quote", overwhelmed)
    gate = OpenGate()
    with serving() as server:
        provider = a_provider(MARKETDATA_ALPHA_VANTAGE_BASE_URL=server.url)
        answer = provider.fetch(("IBM",), gate=gate)
        provider.close()

    assert answer.failures["IBM"].reason == "bad_response"
    assert [raw.status for raw in answer.raws] == [200]
    assert [error.reason for _, error in gate.told if error] == ["bad_response"]


def test_the_key_is_sent_and_kept_out_of_everything_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving() as server:
        server.answer = {"Information": f"We have detected your API key as {KEY} and our limit is 25"}
        provider = a_provider(MARKETDATA_ALPHA_VANTAGE_BASE_URL=server.url)
        answer = provider.fetch(("IBM",), gate=OpenGate())
        provider.close()

    assert KEY in server.asked[0]
    (raw,) = answer.raws
    assert raw.url.endswith("/query?function=GLOBAL_QUOTE&symbol=IBM&apikey=REDACTED")
    assert b"your API key as REDACTED and" in raw.body
    assert KEY not in repr(answer) + repr(provider.__dict__) + caplog.text


def test_a_rotated_key_file_is_read_at_the_next_fetch(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("old\n")
    with serving() as server:
        provider = alpha_vantage.create(
            {
                "ALPHA_VANTAGE_API_KEY_FILE": str(file),
                "MARKETDATA_ALPHA_VANTAGE_BASE_URL": server.url,
            }
        )
        before = provider.fetch(("IBM",), gate=OpenGate())
        file.write_text(f"{KEY}\n")
        after = provider.fetch(("IBM",), gate=OpenGate())
        provider.close()

    assert before.failures["IBM"].reason == "blocked"
    assert set(after.quotes) == {"IBM"}


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_missing_or_empty_key_file_stops_the_start(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)

    with pytest.raises(Misconfigured, match="ALPHA_VANTAGE_API_KEY"):
        alpha_vantage.create({"ALPHA_VANTAGE_API_KEY_FILE": str(file)})


def test_an_upstream_that_is_not_there_is_unavailable() -> None:
    gate = OpenGate()
    provider = a_provider(MARKETDATA_ALPHA_VANTAGE_BASE_URL="http://127.0.0.1:9")

    answer = provider.fetch(("IBM",), gate=gate)
    provider.close()

    assert answer.failures["IBM"].reason == "upstream_unavailable"
    assert [error.reason for _, error in gate.told if error] == ["upstream_unavailable"]
    assert KEY not in str(answer.failures["IBM"])
