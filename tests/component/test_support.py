"""The test support itself: servers answer, faults happen, nothing fails in silence."""

import gc
import signal
import socket
import time
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa
from confluent_kafka import Consumer, Producer
from redis.backoff import NoBackoff
from redis.retry import Retry

from marketdata_tools.embedded.redis import EmbeddedRedis
from support.faults import frozen
from support.processes import Processes
from support.proxy import Proxy
from support.servers import Database, Kafka
from support.waiting import eventually, holds
from support.yahoo import Yahoo


def test_a_database_is_migrated_and_empty(database: Database) -> None:
    with database.engine.connect() as connection:
        jobs = connection.scalar(sa.text("select count(*) from polling_jobs"))

    assert jobs == 0


def test_a_redis_database_is_empty(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


@pytest.mark.kafka
def test_a_message_comes_back_from_the_broker(kafka: Kafka) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(kafka.topic, b"value", key=b"key")
    assert producer.flush(20) == 0
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": kafka.group, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([kafka.topic])

    (message,) = eventually(lambda: consumer.consume(1, 0.5), within=30)

    assert message.value() == b"value"
    consumer.close()


def _script(folder: Path, name: str, body: str) -> dict[str, str]:
    package = folder / name
    package.mkdir()
    (package / "__main__.py").write_text(body)
    return {"PYTHONPATH": str(folder)}


_SERVICE = """
def main(argv=None, *, on_step):
    print("arguments", list(argv), flush=True)
    for step in ("one", "two", "one", "three"):
        on_step(step)
        print("did", step, flush=True)
    return 7
"""


def test_a_process_dies_at_the_step_it_is_told_to(processes: Processes, tmp_path: Path) -> None:
    env = _script(tmp_path, "service", _SERVICE)

    process = processes.start("service", "--flag", env=env, crash_at="one", nth=2)

    process.crashed()
    assert "arguments ['--flag']" in process.output()
    assert process.output().count("did") == 2


def test_a_process_dies_after_any_number_of_steps(processes: Processes, tmp_path: Path) -> None:
    process = processes.start("service", env=_script(tmp_path, "service", _SERVICE), crash_after_steps=4)

    process.crashed()
    assert process.output().count("did") == 3


def test_a_process_that_never_reaches_the_step_ends_by_itself(processes: Processes, tmp_path: Path) -> None:
    process = processes.start("service", env=_script(tmp_path, "service", _SERVICE), crash_at="four")

    assert process.wait() == 7


def test_a_process_that_ends_unasked_is_reported(tmp_path: Path) -> None:
    mine = Processes(tmp_path)
    process = mine.start("service", env=_script(tmp_path, "service", "raise SystemExit(3)"))
    eventually(lambda: not process.is_running, within=20)

    assert mine.end() == ["service ended on its own with exit code 3"]


def test_a_stack_trace_is_reported_even_of_a_process_that_ended_well(tmp_path: Path) -> None:
    mine = Processes(tmp_path)
    body = "import traceback\ntry: 1/0\nexcept ZeroDivisionError: traceback.print_exc()"
    process = mine.start("service", env=_script(tmp_path, "service", body))
    process.wait()

    assert mine.end() == ["service logged a stack trace"]


def test_a_running_process_and_its_children_are_ended(tmp_path: Path) -> None:
    mine = Processes(tmp_path)
    body = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
        "print('child', child.pid, flush=True)\n"
        "child.wait()"
    )
    process = mine.start("service", env=_script(tmp_path, "service", body))
    child = int(process.says(r"child (\d+)")[1])

    assert mine.end() == []

    assert process.returncode == -signal.SIGKILL
    eventually(lambda: not _is_alive(child), within=20)


def _is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_frozen_process_stands_still_and_goes_on(processes: Processes, tmp_path: Path) -> None:
    body = "import threading\nwhile True:\n    print('turn', flush=True)\n    threading.Event().wait(0.02)"
    process = processes.start("service", env=_script(tmp_path, "service", body))
    process.says("turn")

    with frozen(process.pid):
        seen = len(process.output())
        holds(lambda: len(process.output()) == seen, during=0.3)

    eventually(lambda: len(process.output()) > seen, within=20)


def test_the_world_beyond_loopback_is_closed() -> None:
    with socket.socket() as probe, pytest.raises(PermissionError, match=r"192\.0\.2\.1"):
        probe.connect(("192.0.2.1", 80))


def _client(port: int, *, timeout: float = 20.0) -> redis.Redis:
    return redis.Redis(
        host="127.0.0.1",
        port=port,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
    )


def _connection(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def test_a_proxy_passes_cuts_and_passes_again(redis_server: EmbeddedRedis) -> None:
    with Proxy(redis_server.port) as proxy, _client(proxy.port) as client:
        assert client.ping()

        proxy.cut()
        with pytest.raises(redis.ConnectionError):
            client.ping()

        proxy.pass_all()
        assert eventually(client.ping, within=20)


def test_who_asked_the_stand_in_before_it_began_anew_is_neither_answered_nor_counted(yahoo: Yahoo) -> None:
    with _connection(int(yahoo.url.rpartition(":")[2])) as before:
        yahoo.begin_anew()
        yahoo.fault("rate_limited", endpoint="quote", times=1)
        before.sendall(b"GET /query1.finance.yahoo.com/v7/finance/quote?symbols=AAPL HTTP/1.1\r\n\r\n")

        assert before.recv(64) == b""
    assert yahoo.counts() == {}


def _ping(connection: socket.socket) -> bytes:
    connection.sendall(b"PING\r\n")
    return connection.recv(64)


def test_a_half_open_proxy_swallows_and_then_delivers(redis_server: EmbeddedRedis) -> None:
    with Proxy(redis_server.port) as proxy, _connection(proxy.port) as connection:
        assert _ping(connection) == b"+PONG\r\n"

        proxy.half_open()
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            _ping(connection)

        proxy.pass_all()
        connection.settimeout(20)
        assert connection.recv(64) == b"+PONG\r\n"


def test_a_delaying_proxy_is_slow_in_both_directions(redis_server: EmbeddedRedis) -> None:
    with Proxy(redis_server.port) as proxy, _connection(proxy.port) as connection:
        assert _ping(connection) == b"+PONG\r\n"
        proxy.delay(0.2)
        began = time.monotonic()

        assert _ping(connection) == b"+PONG\r\n"
        assert time.monotonic() - began >= 2 * 0.2


def test_a_proxy_that_closes_while_connections_arrive_leaves_no_socket_open(
    redis_server: EmbeddedRedis,
) -> None:
    for _ in range(30):
        with Proxy(redis_server.port) as proxy:
            clients = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(8)]
        for client in clients:
            client.close()

    gc.collect()  # a socket that nobody closed is a warning here, and that fails the test
