"""What goes wrong upstream, and what each thing costs."""

from datetime import timedelta
from pathlib import Path

import pytest
import yfinance
from yfinance._http import new_session
from yfinance.data import YfData

from marketdata.errors import BreakerOpen, Transient
from marketdata_poller.ports import Provider
from marketdata_poller.providers.yfinance import reading
from support.providers import OpenGate, ShutGate
from support.yahoo import Yahoo
from support.yfinance_provider import BATCH, a_provider, fetch, reasons


def test_a_429_costs_one_quote_request_and_keeps_its_retry_after(warm: Provider, yahoo: Yahoo) -> None:
    yahoo.fault("rate_limited", retry_after=33)

    answer = fetch(warm, "AAPL", "MSFT")

    assert yahoo.counts() == {"quote": 1, "chart": 1}
    assert reasons(answer) == {"rate_limited"}
    for error in answer.failures.values():
        assert isinstance(error, Transient)
        assert error.retry_after == timedelta(seconds=33)
    assert [raw.status for raw in answer.raws] == [429, 429]


def test_a_retry_after_in_the_form_of_a_date_is_kept(warm: Provider, yahoo: Yahoo) -> None:
    yahoo.fault("rate_limited", retry_after="Fri, 31 Dec 2100 23:59:59 GMT")

    error = fetch(warm, "AAPL").failures["AAPL"]

    assert isinstance(error, Transient)
    assert error.retry_after == timedelta(days=1)


def test_a_429_with_a_date_out_of_all_range_is_a_429(warm: Provider, yahoo: Yahoo) -> None:
    yahoo.fault("rate_limited", retry_after="Fri, 01 Jan 99999999999999999999 00:00:00 GMT")
    gate = OpenGate()

    answer = warm.fetch(("AAPL", "MSFT"), gate=gate)

    assert reasons(answer) == {"rate_limited"}
    assert [raw.status for raw in answer.raws] == [429, 429]
    assert [error.reason for _, error in gate.told if error] == ["rate_limited", "rate_limited"]


def test_an_answer_that_breaks_the_reader_is_kept_and_charts_are_asked(
    warm: Provider, yahoo: Yahoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overwhelmed(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(reading, "_quotes", overwhelmed)
    gate = OpenGate()

    answer = warm.fetch(("AAPL", "MSFT"), gate=gate)

    assert set(answer.quotes) == {"AAPL", "MSFT"}
    assert [raw.status for raw in answer.raws] == [200, 200, 200]
    assert [(endpoint, error and error.reason) for endpoint, error in gate.told] == [
        ("quote", "bad_response"),
        ("chart", None),
        ("chart", None),
    ]
    assert yahoo.counts() == {"quote": 1, "chart": 2}


def test_while_quotes_are_limited_charts_go_on_in_turn(yahoo: Yahoo, tmp_path: Path) -> None:
    provider = a_provider(yahoo, tmp_path / "cache", MARKETDATA_YFINANCE_CHART_SYMBOLS="2")
    yahoo.fault("rate_limited", endpoint="quote")

    told = [set(fetch(provider, "AAPL", "MSFT", "GOOG", "AMZN").quotes) for _ in range(2)]
    provider.close()

    assert told == [{"AAPL", "MSFT"}, {"GOOG", "AMZN"}]


def test_behind_an_open_breaker_only_charts_are_asked(warm: Provider, yahoo: Yahoo) -> None:
    answer = warm.fetch(("AAPL", "MSFT"), gate=ShutGate(BreakerOpen(), "quote"))

    assert yahoo.counts() == {"chart": 2}
    assert set(answer.quotes) == {"AAPL", "MSFT"}


def test_charts_can_be_turned_off(yahoo: Yahoo, tmp_path: Path) -> None:
    provider = a_provider(yahoo, tmp_path / "cache", MARKETDATA_YFINANCE_CHART_SYMBOLS="0")
    yahoo.fault("rate_limited", endpoint="quote")

    fetch(provider, "AAPL", "ZZZZ")
    provider.close()

    assert yahoo.counts() == {"cookie": 1, "crumb": 1, "quote": 1}


def test_a_429_on_the_crumb_poisons_nothing(provider: Provider, yahoo: Yahoo) -> None:
    yahoo.fault("rate_limited", endpoint="crumb", times=1)

    first = fetch(provider, "AAPL")
    yahoo.reset()
    second = fetch(provider, "AAPL")

    assert set(first.quotes) == set(second.quotes) == {"AAPL"}  # the first by chart, which needs no crumb
    assert yahoo.counts() == {"crumb": 1, "quote": 1}
    assert all("Too" not in given.path for given in yahoo.answers())


@pytest.mark.parametrize("body", ["<html>sorry</html>", "Too Many Requests", ""])
def test_a_page_instead_of_a_crumb_poisons_nothing(provider: Provider, yahoo: Yahoo, body: str) -> None:
    yahoo.fault("status", status=200, endpoint="crumb", body=body, times=1)

    fetch(provider, "AAPL")
    yahoo.reset()
    fetch(provider, "AAPL")

    assert yahoo.counts() == {"crumb": 1, "quote": 1}


def test_a_poisoned_crumb_from_elsewhere_is_replaced(warm: Provider, yahoo: Yahoo) -> None:
    YfData()._crumb = "Too Many Requests"

    assert set(fetch(warm, "AAPL").quotes) == {"AAPL"}
    assert yahoo.counts() == {"crumb": 1, "quote": 1}


def test_a_session_swapped_by_somebody_else_is_put_back(warm: Provider, yahoo: Yahoo) -> None:
    yfinance.Ticker("AAPL", session=new_session())

    assert set(fetch(warm, "AAPL").quotes) == {"AAPL"}
    assert yahoo.counts() == {"quote": 1}


def test_an_outlived_cookie_and_crumb_are_renewed_once_within_the_fetch(warm: Provider, yahoo: Yahoo) -> None:
    yahoo.expire()

    answer = fetch(warm, "AAPL", "ZZZZ")

    assert yahoo.counts() == {"quote": 2, "cookie": 1, "crumb": 1, "chart": 1}
    assert set(answer.quotes) == {"AAPL"}
    assert reasons(answer) == {"unknown_symbol"}
    assert [raw.status for raw in answer.raws] == [401, 200, 404]


def test_a_restarted_upstream_is_logged_in_to_again(warm: Provider, yahoo: Yahoo) -> None:
    for _ in range(3):
        yahoo.expire()
        assert set(fetch(warm, "AAPL").quotes) == {"AAPL"}


def test_a_caller_who_is_refused_for_ever_is_blocked_and_recovers(warm: Provider, yahoo: Yahoo) -> None:
    yahoo.fault("status", status=401)

    for _ in range(4):
        assert reasons(fetch(warm, "AAPL", "MSFT")) == {"blocked"}
    assert sum(yahoo.counts().values()) <= 4 * 5, yahoo.counts()
    yahoo.reset()

    assert set(fetch(warm, "AAPL", "MSFT").quotes) == {"AAPL", "MSFT"}


def test_where_the_plain_login_fails_the_next_fetch_goes_through_the_consent_form(
    provider: Provider, yahoo: Yahoo
) -> None:
    yahoo.fault("status", status=502, endpoint="cookie")  # and so without a cookie

    fetch(provider, "AAPL")
    assert "quote" not in yahoo.counts()
    answer = fetch(provider, "AAPL")

    assert set(answer.quotes) == {"AAPL"}
    assert yahoo.counts()["quote"] == 1


@pytest.mark.parametrize(
    ("kind", "fields", "reason"),
    [
        ("html", {"body": "<html>Before you continue to Yahoo</html>"}, "blocked"),
        ("html", {}, "upstream_unavailable"),
        ("status", {"status": 403}, "blocked"),
        ("status", {"status": 999}, "blocked"),
        ("status", {"status": 502}, "upstream_unavailable"),
        ("status", {"status": 400, "body": "{}"}, "bad_response"),
        ("not_json", {}, "bad_response"),
        ("cut", {}, "upstream_unavailable"),
        ("huge", {"megabytes": 12}, "bad_response"),
        ("redirect", {}, "blocked"),
    ],
)
def test_each_way_of_failing_has_its_name_and_costs_two_requests(
    warm: Provider, yahoo: Yahoo, kind: str, fields: dict[str, object], reason: str
) -> None:
    yahoo.fault(kind, **fields)

    assert reasons(fetch(warm, "AAPL", "MSFT")) == {reason}
    assert yahoo.counts() == {"quote": 1, "chart": 1}

    yahoo.reset()
    assert set(fetch(warm, "AAPL", "MSFT").quotes) == {"AAPL", "MSFT"}


def test_redirects_within_yahoo_are_followed_through_the_gate(warm: Provider, yahoo: Yahoo) -> None:
    within = "https://query2.finance.yahoo.com/v8/finance/chart/AAPL"
    yahoo.fault("redirect", endpoint="quote", location=within, times=1)
    gate = OpenGate()

    warm.fetch(("AAPL",), gate=gate)

    assert gate.passed[:2] == ["quote", "chart"]


def test_nan_is_refused_and_its_neighbours_are_not(warm: Provider, yahoo: Yahoo) -> None:
    yahoo.fault("nan", symbols=["AAPL"])

    answer = fetch(warm, "AAPL", "MSFT")

    assert set(answer.quotes) == {"MSFT"}
    assert reasons(answer) == {"bad_response"}


def test_an_unknown_symbol_costs_one_chart_and_then_none_for_a_day(warm: Provider, yahoo: Yahoo) -> None:
    first = fetch(warm, "AAPL", "ZZZZ")
    assert yahoo.counts() == {"quote": 1, "chart": 1}
    yahoo.reset()
    later = [fetch(warm, "AAPL", "ZZZZ") for _ in range(3)]

    assert yahoo.counts() == {"quote": 3}
    assert [reasons(answer) for answer in (first, *later)] == [{"unknown_symbol"}] * 4


def test_a_symbol_that_lost_its_price_has_no_data(warm: Provider, yahoo: Yahoo) -> None:
    answer = fetch(warm, "AAPL", "DELISTED")

    assert reasons(answer) == {"no_data"}
    assert yahoo.counts() == {"quote": 1}


def test_a_symbol_missing_from_the_answer_is_read_from_its_chart(warm: Provider, yahoo: Yahoo) -> None:
    yahoo.fault("missing", endpoint="quote", symbols=["MSFT"])

    answer = fetch(warm, "AAPL", "MSFT", "GOOG")

    assert set(answer.quotes) == {"AAPL", "MSFT", "GOOG"}
    assert yahoo.counts() == {"quote": 1, "chart": 1}


def test_one_quote_for_ninety_is_a_bad_answer_and_not_eighty_nine_unknown_symbols(
    warm: Provider, yahoo: Yahoo
) -> None:
    yahoo.fault("one_quote", endpoint="quote")

    answer = fetch(warm, *BATCH)

    assert yahoo.counts() == {"quote": 1, "chart": 10}
    assert len(answer.quotes) == 11
    assert reasons(answer) == {"bad_response"}


def test_a_closed_market_is_said_to_be_closed(warm: Provider, yahoo: Yahoo) -> None:
    yahoo.fault("closed")

    assert {quote.market_state for quote, _ in fetch(warm, "AAPL", "MSFT").quotes.values()} == {"CLOSED"}


def test_a_clock_that_goes_back_gives_an_older_time(warm: Provider, yahoo: Yahoo) -> None:
    ahead, _ = fetch(warm, "AAPL").quotes["AAPL"]
    yahoo.fault("clock_back", seconds=3600)
    behind, _ = fetch(warm, "AAPL").quotes["AAPL"]

    assert ahead.observed_at - behind.observed_at > timedelta(minutes=59)
