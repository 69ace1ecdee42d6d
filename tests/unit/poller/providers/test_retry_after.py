"""Retry-After as RFC 9110 has it, and as it comes."""

from datetime import timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata_poller.providers.retry_after import retry_after
from support.builders import NOON, at


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        (" 30 ", 30),
        ("0", 0),
        (format_datetime(at(90), usegmt=True), 90),
        (format_datetime(at(-90), usegmt=True), 0),
        ("9" * 300, 86_400),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
    ],
)
def test_seconds_and_dates_are_understood_and_bounded(text: str, seconds: int) -> None:
    assert retry_after({"retry-after": text}, NOON) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "-5",
        "1.5",
        "٣",
        "Fri, 99 Foo 2026",
        "Fri, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Fri, 01 Jan 2027 00:00:00 +99999999999999999999",
    ],
)
def test_anything_else_says_nothing(text: str) -> None:
    assert retry_after({"retry-after": text}, NOON) is None


def test_no_header_says_nothing() -> None:
    assert retry_after({}, NOON) is None


numbers = st.integers().map(str) | st.integers(0, 99).map("{:02}".format)
dates = st.builds(
    "Fri, {} {} {} {}:{}:{} {}".format,
    numbers,
    st.sampled_from(["Jan", "Feb", "Dec", "May"]),
    numbers,
    numbers,
    numbers,
    numbers,
    st.sampled_from(["GMT", "-0000", "EST"]) | numbers.map("+{}".format),
)


@given(st.text(max_size=60) | dates)
def test_no_text_breaks_it(text: str) -> None:
    found = retry_after({"retry-after": text}, NOON)

    assert found is None or timedelta() <= found <= timedelta(days=1)
