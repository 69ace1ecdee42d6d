"""What traces promise without a collector: nothing when off, bounds when on, and never an exception."""

import subprocess
import sys
from collections.abc import Sequence

import pytest
import structlog

from marketdata import settings
from marketdata.errors import StoreUnavailable
from marketdata.telemetry.settings import TraceSettings
from marketdata.telemetry.traces import MAX_LINKS, NO_TRACES, UNRECORDED, Unrecorded, distinct, within
from marketdata_consumer.origins import LOOKED_AT, Origins

SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = SAMPLED[:-2] + "00"


def told(**environ: str) -> TraceSettings:
    (read,) = settings.read(TraceSettings, environ=environ)
    assert isinstance(read, TraceSettings)
    return read


def place(number: int) -> str:
    return f"00-{number:032x}-{number:016x}-01"


class Message:
    """A message of which only the headers count."""

    def __init__(self, *headers: tuple[str, bytes | None]) -> None:
        self._headers = headers
        self.looked_at = 0

    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        self.looked_at += 1
        return self._headers

    def set_headers(self, value: list[tuple[str, bytes | None]], /) -> None:
        self._headers = tuple(value)

    def topic(self) -> str | None:
        return None

    def partition(self) -> int | None:
        return None

    offset = partition

    def key(self) -> bytes | None:
        return None

    value = key

    def timestamp(self) -> tuple[int, int]:
        return 1, 0


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "prices"}, False),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
    ],
)
def test_traces_are_off_until_an_exporter_or_an_endpoint_is_named(
    environ: dict[str, str], wanted: bool
) -> None:
    assert told(**environ).wanted is wanted


def test_why_traces_cannot_be_repeats_no_value() -> None:
    for name, value in [
        ("OTEL_TRACES_EXPORTER", "canary"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "user:canary@host"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "canary"),
        ("OTEL_TRACES_SAMPLER", "canary"),
    ]:
        why = told(**{name: value}).why_not
        assert why is not None
        assert "canary" not in why


@pytest.mark.parametrize(
    ("sampler", "argument", "can_be"),
    [
        ("", "", True),
        ("always_on", "", True),
        ("parentbased_always_off", "", True),
        ("ParentBased_TraceIdRatio", "0.01", True),
        ("traceidratio", "1", True),
        ("traceidratio", "0", True),
        ("traceidratio", "", True),
        ("always_on", "1%", True),
        ("parentbased_tracidratio", "0.01", False),
        ("jaeger_remote", "", False),
        ("parentbased_traceidratio", "1%", False),
        ("parentbased_traceidratio", "5", False),
        ("traceidratio", "-0.1", False),
        ("traceidratio", "nan", False),
    ],
)
def test_a_sampler_that_is_none_turns_traces_off_rather_than_on_for_all(
    sampler: str, argument: str, can_be: bool
) -> None:
    read = told(OTEL_TRACES_SAMPLER=sampler, OTEL_TRACES_SAMPLER_ARG=argument)

    assert (read.why_not is None) is can_be


def test_a_process_without_traces_loads_neither_the_sdk_nor_its_exporter() -> None:
    program = """
import sys
from marketdata import settings
from marketdata.telemetry import tracing
from marketdata.telemetry.settings import TraceSettings
import marketdata_api.__main__, marketdata_consumer.__main__, marketdata_poller.__main__
import marketdata_operator.__main__
(told,) = settings.read(TraceSettings, environ={})
assert not tracing.start("test", told).on
parts = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "google.protobuf", "requests")
print([name for name in sys.modules if name.startswith(parts)])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_an_image_without_the_exporter_starts_without_traces() -> None:
    program = """
import sys
sys.modules["opentelemetry.exporter"] = None
from marketdata import settings
from marketdata.telemetry import tracing
from marketdata.telemetry.settings import TraceSettings
(told,) = settings.read(TraceSettings, environ={"OTEL_TRACES_EXPORTER": "otlp"})
print(tracing.start("test", told).on)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "False"
    assert "the exporter is not installed" in done.stdout + done.stderr


def test_off_all_is_the_same_nothing() -> None:
    assert NO_TRACES.begin("poll") is UNRECORDED
    assert UNRECORDED.traceparent is None
    with within(UNRECORDED):
        assert "trace_id" not in structlog.contextvars.get_contextvars()


class Kept(Unrecorded):
    """A span that remembers how it ended."""

    def __init__(self, trace_id: str) -> None:
        self.trace_id = trace_id
        self.ends: list[str | None] = []
        self._failure: str | None = None

    def fail(self, reason: str) -> None:
        self._failure = reason

    def end(self) -> None:
        self.ends.append(self._failure)


def test_log_lines_within_spans_carry_the_first_one_s_trace_and_later_ones_do_not() -> None:
    outer, inner = Kept("1" * 32), Kept("2" * 32)
    with within(outer):
        with within(inner):
            assert structlog.contextvars.get_contextvars()["trace_id"] == inner.trace_id
        assert structlog.contextvars.get_contextvars()["trace_id"] == outer.trace_id

    assert "trace_id" not in structlog.contextvars.get_contextvars()
    assert (outer.ends, inner.ends) == ([None], [None])


def test_spans_end_failed_with_a_reason_and_no_text_of_the_exception() -> None:
    expected, defect = Kept("1" * 32), Kept("2" * 32)
    with pytest.raises(StoreUnavailable), within(expected):
        raise StoreUnavailable("password=canary")
    with pytest.raises(KeyError), within(defect):
        raise KeyError("canary")

    assert expected.ends == [StoreUnavailable("x").reason]
    assert defect.ends == ["KeyError"]


def test_only_sampled_places_count_each_once_and_not_too_many() -> None:
    places = [place(n) for n in range(1, 100)]

    assert distinct([UNSAMPLED, None, SAMPLED, "zz", "0" * 60, SAMPLED]) == [SAMPLED]
    assert distinct(places) == places[:MAX_LINKS]


def test_origins_look_at_a_bounded_part_of_a_take_and_at_nothing_when_off() -> None:
    messages = [Message(("traceparent", place(n).encode())) for n in range(1, 5_001)]
    off = Origins(on=False)
    off.add(messages)
    assert (off.take(), sum(m.looked_at for m in messages)) == ([], 0)

    origins = Origins(on=True)
    origins.add(messages)

    assert 0 < sum(message.looked_at for message in messages) <= LOOKED_AT
    assert len(origins.take()) == MAX_LINKS
    assert origins.take() == []


def test_origins_take_any_header_there_can_be() -> None:
    origins = Origins(on=True)
    origins.add([])
    origins.add(
        [
            Message(),
            Message(("traceparent", None)),
            Message(("traceparent", b"\xff" * 55)),
            Message(("other", b"x"), ("traceparent", SAMPLED.encode())),
        ]
    )

    assert origins.take() == [SAMPLED]
