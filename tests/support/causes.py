"""What makes each alert fire on a cluster: its cause, made for as long as the block lasts.

A cause is what a person would recognise as the trouble, not a number written into a metric. Two
have no cause that can be made on purpose, the ledger because the service holds its promise and a
refusing provider because none is reached here: theirs is written into the database, where the
service itself would have written it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from support.releases import Release
from support.waiting import eventually

_SQL = """\
import sys
import sqlalchemy as sa
from marketdata.settings import PostgresSettings
from marketdata.storage.engine import create_engine
with create_engine(PostgresSettings(), application="test").begin() as connection:
    connection.execute(sa.text(sys.argv[1]))
"""
_POISON = """\
from confluent_kafka import Producer
from marketdata.settings import KafkaSettings
producer = Producer(KafkaSettings().client_config())
producer.produce("price-events", b"this is no price")
assert producer.flush(30) == 0
"""
_UNREACHABLE = "127.0.0.1:1"
_NEVER_ANSWERED = {
    "symbols": ["AAPL"],
    "provider": "yfinance",
    "interval": 1,
    "slo": {"max_age_seconds": 5, "target": "99"},
}


@contextmanager
def kafka_is_out_of_reach(release: Release) -> Iterator[None]:
    """Point the pollers at a place where there is no Kafka."""
    poller = _deployment(release, "poller")
    containers = release.get(poller)["spec"]["template"]["spec"]["containers"]
    address = next(
        each["value"] for each in containers[0]["env"] if each["name"] == "KAFKA_BOOTSTRAP_SERVERS"
    )
    release.run("set", "env", poller, f"KAFKA_BOOTSTRAP_SERVERS={_UNREACHABLE}")
    try:
        yield
    finally:
        release.run("set", "env", poller, f"KAFKA_BOOTSTRAP_SERVERS={address}")
        # `Release.ask` asks from a poller's pod, and none that is about to end may be the next one's.
        eventually(release.is_ready, within=150, every=2)


@contextmanager
def postgres_is_down(release: Release) -> Iterator[None]:
    with _scaled(release, f"statefulset/{release.name}-postgresql"):
        yield


@contextmanager
def the_operator_is_down(release: Release) -> Iterator[None]:
    with _scaled(release, _deployment(release, "operator")):
        yield


@contextmanager
def all_consumers_are_down(release: Release) -> Iterator[None]:
    with _scaled(release, _deployment(release, "consumer")):
        yield


@contextmanager
def all_pollers_are_down(release: Release) -> Iterator[None]:
    """Mind that `Release.ask` asks from a poller's pod."""
    with _scaled(release, _deployment(release, "poller")):
        yield


@contextmanager
def the_api_is_down(release: Release) -> Iterator[None]:
    with _scaled(release, _deployment(release, "api")):
        yield


@contextmanager
def the_lag_exporter_is_down(release: Release) -> Iterator[None]:
    with _scaled(release, _deployment(release, "lag")):
        yield


@contextmanager
def somebody_writes_what_is_no_price(release: Release) -> Iterator[None]:
    release.run("exec", _deployment(release, "poller"), "--", "python", "-c", _POISON)
    yield


@contextmanager
def a_job_is_never_answered(release: Release) -> Iterator[None]:
    """Ask a provider that cannot be reached from the cluster."""
    status, job = release.ask("POST", "/prices/poll", _NEVER_ANSWERED)
    assert status == 202, job
    try:
        yield
    finally:
        assert release.ask("DELETE", f"/prices/poll/{job['job_id']}")[0] == 204
        # Else the breakers that it opened are the cause of another alert.
        _execute(release, f"delete from provider_breakers where provider = '{_NEVER_ANSWERED['provider']}'")


@contextmanager
def more_comes_than_is_consumed(release: Release) -> Iterator[None]:
    """Poll 500 symbols a second; consumers that take one message a transaction do not keep up with it."""
    job = release.poll(*(f"MORE{i}" for i in range(500)))
    try:
        yield
    finally:
        release.retire(job)


@contextmanager
def a_provider_refuses(release: Release) -> Iterator[None]:
    _execute(
        release,
        "insert into provider_breakers (provider, endpoint, failures, open_until, cooldown_seconds)"
        " values ('alpha_vantage', 'quote', 9, now() + interval '1 hour', 3600)",
    )
    try:
        yield
    finally:
        _execute(release, "delete from provider_breakers where provider = 'alpha_vantage'")


@contextmanager
def an_event_is_missing(release: Release) -> Iterator[None]:
    """Count one event as created that never was."""
    change = (
        "insert into event_ledger (provider, day, created) values ('missing', current_date, 1)"
        " on conflict (provider, day) do update set created = event_ledger.created + 1"
    )
    _execute(release, change)
    try:
        yield
    finally:
        _execute(release, "delete from event_ledger where provider = 'missing'")


CAUSES: Mapping[str, Callable[[Release], AbstractContextManager[None]]] = {
    "MarketDataOutboxOld": kafka_is_out_of_reach,
    "MarketDataPollersGone": all_pollers_are_down,
    "MarketDataPollingUnknown": postgres_is_down,
    "MarketDataApiGone": the_api_is_down,
    "MarketDataApiFailing": postgres_is_down,
    "MarketDataOperatorNotConverging": the_operator_is_down,
    "MarketDataConsumerStuck": all_consumers_are_down,
    "MarketDataLagNotDraining": all_consumers_are_down,
    "MarketDataLagUnknown": the_lag_exporter_is_down,
    "MarketDataConsumersAtMaximum": more_comes_than_is_consumed,
    "MarketDataDeadLetters": somebody_writes_what_is_no_price,
    "MarketDataPricesStale": a_job_is_never_answered,
    "MarketDataPricesBurningBudgetFast": a_job_is_never_answered,
    "MarketDataPricesBurningBudgetSlow": a_job_is_never_answered,
    "MarketDataProviderBlocked": a_provider_refuses,
    "MarketDataLedgerOutOfBalance": an_event_is_missing,
}


@contextmanager
def _scaled(release: Release, what: str) -> Iterator[None]:
    before = release.get(what)["spec"]["replicas"]
    release.run("scale", what, "--replicas=0")
    try:
        yield
    finally:
        release.run("scale", what, f"--replicas={before}")
        release.run("rollout", "status", what, "--timeout=150s", within=180)


def _execute(release: Release, statement: str) -> None:
    release.run("exec", _deployment(release, "poller"), "--", "python", "-c", _SQL, statement)


def _deployment(release: Release, component: str) -> str:
    return f"deployment/{release.name}-market-data-{component}"
