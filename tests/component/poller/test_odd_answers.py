"""Oddities of one symbol in an answer: it fails with its reason; its neighbours and the bytes are kept."""

from marketdata.clock import SystemClock
from support.waiting import eventually

ODD = {
    "SYM001": '"currency": "\\ud800"',
    "SYM002": '"currency": "US\\u0000"',
    "SYM003": f'"currency": "{"x" * 40}"',
    "SYM004": '"currency": 7',
    "SYM005": '"currency": "USD", "regularMarketPrice": 1e99999999999999999999',
    "SYM006": '"currency": "USD", "regularMarketPrice": 1e1000000',
}


def an_answer_with_oddities():
    second = int(SystemClock().now().timestamp()) - 60
    rows = ",".join(
        f'{{"symbol": "{symbol}", "regularMarketPrice": 2.5, "regularMarketTime": {second}, {odd}}}'
        for symbol, odd in {"AAPL": '"currency": "USD"', **ODD}.items()
    )
    return f'{{"quoteResponse": {{"result": [{rows}], "error": null}}}}'


def test_odd_rows_fail_alone_and_nothing_that_leaves_is_refused(world):
    world.upstream.fault("status", status=200, endpoint="quote", body=an_answer_with_oddities())
    world.watch_once("AAPL", *ODD)
    world.consumer()
    world.poller()
    eventually(lambda: world.count("polls") == 1, within=40)
    eventually(lambda: world.count("price_points") == 1, within=40)

    assert world.scalar("select symbol from price_points") == "AAPL"
    assert world.scalar("select reasons::text from polls") == '{"bad_response": 6}'
    assert world.count("raw_market_data", "status = 200") == 1
    world.settle()
    assert world.count("dead_letters") == 0


def test_a_429_with_a_date_out_of_all_range_opens_the_breaker(world):
    world.upstream.fault("rate_limited", retry_after="Fri, 01 Jan 99999999999999999999 00:00:00 GMT")
    world.watch_once("AAPL")
    world.poller()
    eventually(lambda: world.count("polls") == 1, within=40)

    assert world.count("raw_market_data", "status = 429") > 0
    assert world.count("provider_breakers", "open_until > now()") > 0
