"""Fixtures for what has a lifetime; everything else is a builder in tests/support.

The outside world is closed: a connection beyond loopback fails the test, and no setting of the
machine reaches a test through the environment.
"""

import itertools
import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings

from marketdata.settings import (
    KafkaSettings,
    PostgresSettings,
    ProcessSettings,
    RedisSettings,
    variable_names,
)
from marketdata_tools.embedded import postgres_home
from marketdata_tools.embedded.broker import EmbeddedBroker
from marketdata_tools.embedded.postgres import EmbeddedPostgres
from marketdata_tools.embedded.redis import EmbeddedRedis
from marketdata_tools.run import roster
from support import servers
from support.ports import free_port
from support.processes import Processes
from support.servers import Database, Kafka, RealBroker
from support.yahoo import Yahoo
from support.yahoo import start as start_yahoo

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile(
    "thorough",
    max_examples=3000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)

# Read before the environment is emptied: how thorough the run is, and which broker it runs on.
_outer = dict(os.environ)  # noqa: TID251 - the run's own knobs
settings.load_profile(_outer.get("HYPOTHESIS_PROFILE", "ci"))
_real_bootstrap = _outer.get("KAFKA_BOOTSTRAP_SERVERS", "") if _outer.get("TEST_KAFKA") == "real" else None
_processes = pytest.StashKey[Processes]()


def _refuse_the_outside(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect":
        return
    address = arguments[1]
    if isinstance(address, tuple) and str(address[0]) not in {"127.0.0.1", "::1", "localhost"}:
        raise PermissionError(f"a test tried to reach {address[0]}:{address[1]}")


sys.addaudithook(_refuse_the_outside)
# A run that is told to end lets its fixtures end their servers, as after Ctrl-C.
signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> None:
    known = [
        name
        for group in (PostgresSettings, RedisSettings, KafkaSettings, ProcessSettings)
        for name in variable_names(group)
    ]
    for name in _outer:
        if name in known or name.startswith("MARKETDATA_"):
            os.environ.pop(name, None)  # noqa: TID251 - so that no test can read it


@pytest.fixture
def kept_handlers() -> Iterator[None]:
    """Put back the handlers of signals that a test lets the code under it replace."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL server without fsync, for the whole session."""
    with servers.open_folder("marketdata-postgres-") as folder:
        server = EmbeddedPostgres(folder / "server", durable=False)
        server.start()
        try:
            yield server
        finally:
            server.discard()


@pytest.fixture(scope="session")
def _template(postgres_server: EmbeddedPostgres) -> str:
    return servers.make_template(postgres_server)


@pytest.fixture
def database(postgres_server: EmbeddedPostgres, _template: str) -> Iterator[Database]:
    """A fresh migrated database of the test's own."""
    with servers.new_database(postgres_server, _template) as made:
        yield made


@pytest.fixture
def empty_database(postgres_server: EmbeddedPostgres) -> Iterator[Database]:
    """A fresh database without a schema."""
    with servers.new_database(postgres_server, None) as made:
        yield made


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A Redis-protocol server, in memory, for the whole session."""
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"), port=free_port())
    server.start()
    yield server
    server.stop()


_numbers = itertools.cycle(range(16))


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """The address of an empty Redis database of the test's own."""
    url = redis_server.url(next(_numbers))
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture(scope="session")
def _shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if _real_bootstrap is not None:
        assert _real_bootstrap, "TEST_KAFKA=real needs KAFKA_BOOTSTRAP_SERVERS"
        yield _real_bootstrap
        return
    broker = EmbeddedBroker(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker.bootstrap
    broker.stop()


@pytest.fixture
def kafka(_shared_broker: str) -> Iterator[Kafka]:
    """A broker (embedded, or real in `make test-kafka`) and names of the test's own."""
    made = servers.kafka_names(_shared_broker, is_real=_real_bootstrap is not None)
    for name in (made.topic, made.dead_letter_topic):
        made.create_topic(name)
    yield made
    for name in (made.topic, made.dead_letter_topic):
        made.delete_topic(name)


@pytest.fixture
def real_broker() -> Iterator[RealBroker]:
    """A real broker of the test's own, up; for tests marked `real_kafka`."""
    broker = RealBroker()
    broker.up()
    yield broker
    broker.cont()
    broker.down()


@pytest.fixture
def run_folder() -> Iterator[Path]:
    """Where launchers of `make run` have their data, not made yet; to be asked for before `processes`.

    A launcher that is killed at the end of a failed test leaves servers and services. Its guardian ends
    them by what is written here, and might come too late for that.
    """
    with servers.open_folder("marketdata-run-") as folder:
        data = folder / "data"
        yield data
        roster.end_leftovers(data)
        postgres_home.discard(data / "postgres")


@pytest.fixture
def processes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Processes]:
    """Starts the deployables as real processes; all are ended at the end.

    To be asked for after what they use, a database above all, which is then still there when they end.
    """
    started = Processes(tmp_path)
    request.node.stash[_processes] = started
    yield started
    unasked = started.end()
    if unasked:
        logs = "\n".join(f"--- {name}\n{text}" for name, text in started.logs())
        pytest.fail("; ".join(unasked) + "\n" + logs)


@pytest.fixture(scope="session")
def _yahoo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yahoo]:
    started = Processes(tmp_path_factory.mktemp("yahoo"))
    yield start_yahoo(started)
    started.end()


@pytest.fixture
def yahoo(_yahoo_server: Yahoo) -> Yahoo:
    """A stand-in for Yahoo Finance in which all is well and nothing has been asked yet.

    What a poller of the test before asked and was killed over is not answered in this one.
    """
    _yahoo_server.begin_anew()
    return _yahoo_server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    started = item.stash.get(_processes, None)
    if report.failed and started is not None and call.when in {"setup", "call"}:
        report.sections.extend((f"log of {name}", text) for name, text in started.logs())
    return report
