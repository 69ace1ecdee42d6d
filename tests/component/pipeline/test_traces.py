"""One trace from the poll to the cache, read from what a collector receives of real processes."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.collector import Collector, Received, collector
from support.pipeline import Pipeline, pipeline
from support.ports import free_port
from support.processes import Processes
from support.servers import Database, Kafka
from support.waiting import eventually, holds
from support.yahoo import Yahoo

CONSUMER, PRODUCER, SERVER = 5, 4, 2  # opentelemetry-proto's Span.SpanKind
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
LATEST = "/prices/latest?symbol=AAPL&provider=yfinance"
GROWTH = 32 * 1024 * 1024  # bytes a process may grow by while its spans find no collector


@pytest.fixture
def seen() -> Iterator[Collector]:
    with collector() as made:
        yield made


@pytest.fixture
def service(
    database: Database, redis_url: str, kafka: Kafka, yahoo: Yahoo, processes: Processes, tmp_path: Path
) -> Iterator[Pipeline]:
    """The pipeline, not started: where its spans go is the test's to say."""
    with pipeline(
        processes=processes,
        database=database,
        redis_url=redis_url,
        kafka=kafka,
        yahoo=yahoo,
        cache_dir=str(tmp_path / "yfinance"),
    ) as made:
        yield made


def start(service: Pipeline, **settings: str) -> None:
    service.tell(**settings)
    service.start("api", "poller", "consumer")
    service.wait_until_up()


def end_all(service: Pipeline) -> None:
    for process in service.running.values():
        process.terminate()
    for process in service.running.values():
        assert process.wait(within=12) == 0


def only(spans: list[Received]) -> Received:
    assert len(spans) == 1, spans
    return spans[0]


def fetch(service: Pipeline, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    request = urllib.request.Request(service.api_url + path, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}


@pytest.mark.kafka
def test_a_poll_s_trace_goes_on_through_kafka_to_the_store_and_the_cache(
    service: Pipeline, seen: Collector
) -> None:
    start(service, **seen.env())
    service.watch(["AAPL", "MSFT"])

    def stored() -> set[str]:
        ends = [*seen.named("consume"), *seen.named("stored")]
        return {s.trace_id for s in seen.named("poll")} & {s.trace_id for s in ends}

    trace_id = min(eventually(stored, within=40))
    end_all(service)  # a process sends what it still holds when it ends: the trace is whole now
    trace = [s for s in seen.spans if s.trace_id == trace_id]
    poll = only([s for s in trace if s.name == "poll"])
    publish = [s for s in trace if s.name == "publish"]
    assert (poll.service, poll.parent_id) == ("market-data-poller", "")
    assert poll.attributes["marketdata.symbols"] == 2
    assert poll.attributes["marketdata.provider"] == "yfinance"
    parts = {s.name for s in trace if s.parent_id == poll.span_id}
    assert parts == {"fetch", "record", "publish"}
    assert {s.kind for s in publish} == {PRODUCER}
    ends = [s for s in trace if s.name in ("consume", "stored")]
    assert ends
    for end in ends:
        assert (end.service, end.kind) == ("market-data-consumer", CONSUMER)
        assert end.parent_id in {s.span_id for s in publish}
        assert end.began >= poll.began
        for part in ("transaction", "cache"):
            batch = end if end.name == "consume" else _linked(seen, end)
            assert [s for s in seen.named(part) if s.parent_id == batch.span_id], part


def _linked(seen: Collector, stored: Received) -> Received:
    return only([s for s in seen.named("consume") if (s.trace_id, s.span_id) in stored.links])


def test_a_poll_s_log_line_has_its_trace_its_job_and_its_number_of_symbols(
    service: Pipeline, seen: Collector
) -> None:
    start(service, **seen.env())
    job = service.watch(["AAPL", "MSFT"])
    line = eventually(lambda: _lines(service, "poller", "polled"), within=30)[0]

    assert line["jobs"] == 1
    assert line["job"] == [job]
    assert line["symbols"] == 2
    assert eventually(lambda: seen.named("poll", trace_id=str(line["trace_id"])), within=10)


def _lines(service: Pipeline, name: str, event: str) -> list[dict[str, object]]:
    whole, _, _ = service.running[name].output().rpartition("\n")  # the last line may be on its way
    lines = [json.loads(text) for text in whole.splitlines() if text[:1] == "{"]
    return [line for line in lines if line["event"] == event]


def test_a_request_goes_on_the_caller_s_trace_and_obeys_its_sampling(
    service: Pipeline, seen: Collector
) -> None:
    service.tell(**seen.env())
    service.start("api")
    service.wait_until_up()
    unsampled = "1" * 32

    fetch(service, "/prices/poll", traceparent=f"00-{unsampled}-{PARENT}-00")
    fetch(service, "/v1/prices/poll?limit=5", traceparent=f"00-{TRACE}-{PARENT}-01")

    span = only(eventually(lambda: seen.named("GET /prices/poll", trace_id=TRACE), within=10))
    assert (span.service, span.kind, span.parent_id) == ("market-data-api", SERVER, PARENT)
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["http.route"] == "/prices/poll"
    assert not [s for s in seen.spans if s.trace_id == unsampled]


def test_a_request_without_ids_has_the_id_of_its_trace(service: Pipeline, seen: Collector) -> None:
    service.tell(**seen.env())
    service.start("api")
    service.wait_until_up()

    plain = fetch(service, "/prices/poll")[1]["x-request-id"]
    broken = fetch(service, "/prices/poll", traceparent="00-no-trace-01")[1]["x-request-id"]
    refused = service.get(LATEST)

    assert eventually(lambda: seen.named("GET /prices/poll", trace_id=plain), within=10)
    assert eventually(lambda: seen.named("GET /prices/poll", trace_id=broken), within=10)
    latest = only(
        eventually(lambda: seen.named("GET /prices/latest", trace_id=refused.body["trace_id"]), within=10)
    )
    assert latest.attributes["http.response.status_code"] == 404
    assert not latest.failed


@pytest.mark.parametrize("way", ["away", "hanging"])
def test_a_collector_that_is_gone_costs_neither_prices_nor_memory_nor_the_end(
    service: Pipeline, seen: Collector, way: str
) -> None:
    seen.hangs.set()
    url = seen.url if way == "hanging" else f"http://127.0.0.1:{free_port()}"
    start(
        service,
        **seen.env() | {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_MAX_QUEUE_SIZE": "64"},
        MARKETDATA_API_CACHE_TIMEOUT_SECONDS="20",  # where an answer comes from is the collector's doing
    )
    service.watch(["AAPL"])
    eventually(lambda: service.get(LATEST).headers.get("x-cache") == "HIT", within=40)
    before = service.memory()

    def serves() -> bool:
        fetch(service, LATEST)
        return fetch(service, LATEST)[1]["x-cache"] == "HIT"

    def lives() -> bool:
        return all(service.is_live(name) for name in service.running)

    holds(serves, during=4, every=0.002)
    newest = service.get(LATEST).body["fetched_at"]
    eventually(lambda: service.get(LATEST).body["fetched_at"] > newest, within=30)
    assert lives()
    assert all(now - before[name] < GROWTH for name, now in service.memory().items())
    end_all(service)
    for process in service.running.values():
        assert process.output().count("spans are dropped") <= 1


@pytest.mark.parametrize(
    "settings",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "not an address"},
        {"OTEL_TRACES_EXPORTER": "jaeger"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
    ids=["address", "exporter", "protocol"],
)
def test_what_is_wrong_in_the_variables_turns_traces_off_and_stops_nothing(
    service: Pipeline, settings: dict[str, str]
) -> None:
    service.tell(**settings)
    api = service.start("api")
    api.says("traces are off")
    service.wait_until_up()

    assert service.get("/prices/poll").status == 200
