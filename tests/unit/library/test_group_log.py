"""Which times of messages say when they were published."""

from datetime import UTC, datetime

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, TIMESTAMP_NOT_AVAILABLE

from marketdata.streaming.group_log import time_told


@pytest.mark.parametrize("kind", [TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME])
def test_a_message_s_time_is_told_in_milliseconds(kind: int) -> None:
    assert time_told(kind, 1_767_225_600_500) == datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)


@pytest.mark.parametrize("milliseconds", [-(2**62), -(10**14), -(10**13), -1, 10**15, 2**62])
def test_a_time_that_no_clock_tells_is_unknown(milliseconds: int) -> None:
    assert time_told(TIMESTAMP_CREATE_TIME, milliseconds) is None


def test_a_message_without_a_time_is_of_an_unknown_one() -> None:
    assert time_told(TIMESTAMP_NOT_AVAILABLE, 1_767_225_600_000) is None
