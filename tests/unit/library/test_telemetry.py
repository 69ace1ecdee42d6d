import io
import json
import logging
import re
import threading
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import structlog
from prometheus_client import CollectorRegistry

from marketdata.clock import ManualClock
from marketdata.errors import Misconfigured
from marketdata.telemetry import logs
from marketdata.telemetry.catalogue import CATALOGUE, Metric
from marketdata.telemetry.health import HealthServer, Heartbeats
from marketdata.telemetry.metrics import Metrics

# prometheus-operator gives these to every target, and a metric's own label of that name another one.
OF_TARGETS = {"container", "endpoint", "instance", "namespace", "node", "pod", "service"}


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_a_metric_is_named_and_explained_as_all_are(metric: Metric) -> None:
    assert re.fullmatch(r"marketdata_[a-z0-9_]+", metric.name)
    assert (metric.kind == "counter") == metric.name.endswith("_total")
    assert metric.help.endswith(".")
    assert not metric.labels.keys() & {"symbol", "job", "job_id", "address", "le"}
    assert not metric.labels.keys() & OF_TARGETS
    assert all(metric.labels.values()), "each label says what bounds it"
    assert (metric.kind == "histogram") == bool(metric.buckets)
    assert not (metric.whole and metric.buckets)
    assert list(metric.buckets) == sorted(set(metric.buckets))


def test_no_two_metrics_share_a_name() -> None:
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)


def test_every_metric_of_the_catalogue_can_be_made_and_found() -> None:
    metrics = Metrics(("marketdata_",))

    for metric in CATALOGUE:
        getattr(metrics, "table" if metric.whole else metric.kind)(metric.name)


def test_a_table_shows_the_series_of_one_look_and_none_of_before() -> None:
    metrics = Metrics(("marketdata_poller_stale_jobs",))
    table = metrics.table("marketdata_poller_stale_jobs")

    def told(provider: str) -> float | None:
        return metrics.registry.get_sample_value("marketdata_poller_stale_jobs", {"provider": provider})

    table.show({("yfinance",): 3, ("other",): 1})
    assert (told("yfinance"), told("other")) == (3, 1)
    table.show({("yfinance",): 2})
    assert (told("yfinance"), told("other")) == (2, None)
    table.show({})
    assert told("yfinance") is None


@pytest.mark.parametrize(
    "name",
    [
        "marketdata_poller_lateness_seconds",
        "marketdata_poller_fetch_seconds",
        "marketdata_poller_relay_seconds",
        "marketdata_consumer_batch_seconds",
    ],
)
def test_what_waits_for_others_may_take_minutes_and_is_told_so(name: str) -> None:
    """A quantile is never above the last finite bucket: ten minutes would be ten seconds."""
    metrics = Metrics((name,))
    (metric,) = (each for each in CATALOGUE if each.name == name)
    histogram = metrics.histogram(name)
    labels = dict.fromkeys(metric.labels, "synthetic")
    (histogram.labels(**labels) if labels else histogram).observe(600)

    assert metrics.registry.get_sample_value(f"{name}_bucket", labels | {"le": "300.0"}) == 0
    assert metrics.registry.get_sample_value(f"{name}_bucket", labels | {"le": "900.0"}) == 1


def test_a_table_that_counts_tells_each_series_as_0_before_what_it_counted() -> None:
    metrics = Metrics(("marketdata_poller_promise_budget",))
    table = metrics.table("marketdata_poller_promise_budget_seconds_total")

    def scraped() -> dict[str, float]:
        return {
            sample.labels["provider"]: sample.value
            for family in metrics.registry.collect()
            for sample in family.samples
        }

    table.show({("yfinance",): 36_000})
    assert scraped() == {"yfinance": 0}
    assert scraped() == {"yfinance": 36_000}
    table.show({("yfinance",): 36_010, ("synthetic",): 5})
    assert scraped() == {"yfinance": 36_010, "synthetic": 0}
    assert scraped() == {"yfinance": 36_010, "synthetic": 5}


def test_a_metric_outside_the_catalogue_is_an_error_at_once() -> None:
    with pytest.raises(KeyError):
        Metrics(("marketdata_",)).counter("marketdata_typo_total")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    target = io.StringIO()
    logs.configure(level="info", style="json", service="poller", stream=target)
    yield target
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.getLogger().handlers.clear()


def test_a_log_line_is_one_json_object_with_its_fields(stream: io.StringIO) -> None:
    logs.get("claims").info("claimed", jobs=3)

    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert entry.pop("timestamp").endswith("Z")
    assert entry == {"event": "claimed", "jobs": 3, "level": "info", "part": "claims", "service": "poller"}


def test_a_line_names_its_service_in_every_thread(stream: io.StringIO) -> None:
    thread = threading.Thread(target=lambda: logs.get("loop").info("turned"))
    thread.start()
    thread.join()

    assert json.loads(stream.getvalue())["service"] == "poller"


def test_what_is_below_the_level_is_not_logged(stream: io.StringIO) -> None:
    logs.get("claims").debug("looked")

    assert stream.getvalue() == ""


def test_a_library_s_warning_is_rendered_the_same_way(stream: io.StringIO) -> None:
    logging.getLogger("urllib3").warning("retrying %s", "now")
    logging.getLogger("urllib3").info("not this")

    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "retrying now"
    assert json.loads(line)["level"] == "warning"


def test_a_stack_trace_stays_in_the_line(stream: io.StringIO) -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logs.get("loop").exception("turn failed")

    (line,) = stream.getvalue().splitlines()
    assert "ZeroDivisionError" in json.loads(line)["exception"]


def test_a_terminal_gets_readable_lines() -> None:
    target = io.StringIO()
    logs.configure(level="info", style="console", service="api", stream=target)
    try:
        logs.get("http").info("listening", port=8000)
        assert "listening" in target.getvalue()
        assert not target.getvalue().startswith("{")
    finally:
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
        logging.getLogger().handlers.clear()


def test_a_loop_is_late_when_it_has_not_turned_for_the_limit() -> None:
    clock = ManualClock()
    beats = Heartbeats(clock, limit_seconds=30)
    beats.beat("relay")
    beats.beat("cycle")

    clock.advance(20)
    beats.beat("cycle")
    clock.advance(20)

    assert beats.late() == {"relay": 40}
    assert beats.ages() == {"relay": 40, "cycle": 20}


def test_a_loop_that_ended_on_purpose_is_not_late() -> None:
    clock = ManualClock()
    beats = Heartbeats(clock, limit_seconds=30)
    beats.beat("replay")

    beats.forget("replay")
    clock.advance(100)

    assert beats.late() == {}


class Health:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.beats = Heartbeats(self.clock, limit_seconds=30)
        self.why: str | None = None
        self.server = HealthServer(
            host="127.0.0.1",
            port=0,
            heartbeats=self.beats,
            registry=CollectorRegistry(),
            ready=lambda: self.why,
        )

    def get(self, path: str) -> tuple[int, bytes]:
        try:
            with urlopen(f"http://127.0.0.1:{self.server.port}{path}", timeout=5) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()


@pytest.fixture
def health() -> Iterator[Health]:
    made = Health()
    made.server.start()
    yield made
    made.server.stop()


def test_liveness_follows_the_loops(health: Health) -> None:
    health.beats.beat("cycle")
    assert health.get("/healthz")[0] == 200

    health.clock.advance(31)
    status, body = health.get("/healthz")

    assert status == 503
    assert json.loads(body) == {"status": "late", "loops": {"cycle": 31}}


def test_readiness_says_why_not(health: Health) -> None:
    assert health.get("/readyz") == (200, b'{"status": "ok"}')

    health.why = "the schema is too old"

    assert health.get("/readyz")[0] == 503
    assert b"the schema is too old" in health.get("/readyz")[1]


def test_the_heartbeats_are_among_the_metrics(health: Health) -> None:
    health.beats.beat("relay")
    health.clock.advance(7)

    assert b'marketdata_heartbeat_age_seconds{loop="relay"} 7.0' in health.get("/metrics")[1]

    health.beats.forget("relay")

    assert b"relay" not in health.get("/metrics")[1]


def test_metrics_are_served_and_other_paths_are_not(health: Health) -> None:
    assert health.get("/metrics?x=1")[0] == 200
    assert health.get("/")[0] == 404


def test_a_taken_port_is_told_at_once(health: Health) -> None:
    with pytest.raises(Misconfigured, match=r"MARKETDATA_METRICS_PORT.* in use"):
        HealthServer(
            host="127.0.0.1", port=health.server.port, heartbeats=health.beats, registry=CollectorRegistry(),
            ready=lambda: None,
        )  # fmt: skip
