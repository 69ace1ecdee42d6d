"""The embedded servers: real processes that come back after whatever happened to them."""

import os
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis

from marketdata_tools.embedded.broker import EmbeddedBroker
from marketdata_tools.embedded.postgres import EmbeddedPostgres
from marketdata_tools.embedded.process import free_port, is_alive, is_listening
from marketdata_tools.embedded.redis import EmbeddedRedis
from support.processes import Processes
from support.servers import open_folder
from support.waiting import eventually

IS_ROOT = os.geteuid() == 0


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder("marketdata-embedded-") as made:
        yield made


@pytest.fixture
def postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server on `folder`, not started; its data is removed wherever it lies."""
    server = EmbeddedPostgres(folder / "postgres", durable=False)
    yield server
    server.discard()


def execute(server: EmbeddedPostgres, statement: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(server.url())) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_postgres_keeps_what_was_committed_over_a_kill_and_its_port_too(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    execute(postgres, "create table kept as select 7 as n")
    port = postgres.port

    postgres.kill()
    assert not is_listening(port)
    postgres.start()

    assert execute(postgres, "select n from kept") == [(7,)]
    assert postgres.port == port


def test_postgres_leaves_no_process_and_no_pid_file_when_it_stops(
    postgres: EmbeddedPostgres, folder: Path
) -> None:
    postgres.start()
    family = [psutil.Process(postgres.pid), *psutil.Process(postgres.pid).children()]

    postgres.stop()
    postgres.stop()

    assert not any(is_alive(process) for process in family)
    assert not (folder / "postgres" / "data" / "postmaster.pid").exists()


def test_a_database_is_created_once(postgres: EmbeddedPostgres) -> None:
    postgres.start()

    postgres.create_database("prices")
    postgres.create_database("prices")

    assert execute(postgres, "select count(*) from pg_database where datname = 'prices'") == [(1,)]


def test_a_folder_has_one_user_at_a_time(postgres: EmbeddedPostgres, folder: Path) -> None:
    postgres.start()

    with pytest.raises(RuntimeError, match="another process runs PostgreSQL on"):
        EmbeddedPostgres(folder / "postgres").start()

    assert execute(postgres, "select 1") == [(1,)]


_KILLED_TOOL = """
import sys, os, signal
from pathlib import Path
from marketdata_tools.embedded.broker import EmbeddedBroker
from marketdata_tools.embedded.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), durable=False)
broker = EmbeddedBroker(Path(sys.argv[1]))
server.start()
broker.start()
print("running", server.pid, broker.pid, flush=True)
signal.pause()
"""


def test_the_server_of_a_killed_tool_is_ended_by_the_next_start_and_its_broker_ends_by_itself(
    postgres: EmbeddedPostgres, folder: Path, processes: Processes
) -> None:
    tool = processes.run("tool", sys.executable, "-c", _KILLED_TOOL, str(folder / "postgres"), env={})
    found = tool.says(r"running (\d+) (\d+)")
    leftover, broker = psutil.Process(int(found[1])), psutil.Process(int(found[2]))
    tool.kill()
    eventually(lambda: not is_alive(broker), within=30)
    assert is_alive(leftover)

    postgres.start()

    assert not is_alive(leftover)
    assert execute(postgres, "select 1") == [(1,)]


def test_a_pid_file_with_a_number_that_belongs_to_somebody_else_now_is_no_obstacle(
    postgres: EmbeddedPostgres, folder: Path
) -> None:
    postgres.start()
    postgres.kill()
    pid_file = folder / "postgres" / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")

    postgres.start()

    assert execute(postgres, "select 1") == [(1,)]


def test_a_cluster_that_was_half_made_is_made_again(postgres: EmbeddedPostgres, folder: Path) -> None:
    (folder / "postgres" / "data.new").mkdir(parents=True)
    (folder / "postgres" / "data.new" / "PG_VERSION").write_text("18")

    postgres.start()

    assert execute(postgres, "select 1") == [(1,)]
    assert not (folder / "postgres" / "data.new").exists()


def test_a_port_that_is_taken_is_told(folder: Path, redis_server: EmbeddedRedis) -> None:
    postgres = EmbeddedPostgres(folder / "postgres", port=redis_server.port)
    try:
        with pytest.raises(RuntimeError, match=f"did not start on port {redis_server.port}"):
            postgres.start()
    finally:
        postgres.discard()
    with pytest.raises(RuntimeError, match=f"did not start on port {redis_server.port}"):
        EmbeddedRedis(folder, port=redis_server.port).start()


@pytest.mark.skipif(not IS_ROOT, reason="only root runs PostgreSQL as somebody else")
def test_as_root_a_private_folder_keeps_its_mode_and_the_data_lies_where_the_server_can_reach_it(
    folder: Path,
) -> None:
    private = folder / "home"
    private.mkdir(mode=0o700)
    before = {path: path.stat() for path in (private, folder, Path("/var/lib"), Path("/tmp"))}
    server = EmbeddedPostgres(private / "data-dir" / "postgres", durable=False)

    server.start()
    execute(server, "create table kept as select 7 as n")
    server.stop()
    data = private / "data-dir" / "postgres" / "data"
    place = data.resolve()
    server.start()

    assert data.is_symlink()
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert execute(server, "select n from kept") == [(7,)]
    for path, status in before.items():
        now = path.stat()
        assert (now.st_mode, now.st_uid, now.st_gid) == (status.st_mode, status.st_uid, status.st_gid)

    server.discard()
    assert not place.exists()
    assert not data.is_symlink()


def test_redis_forgets_everything_when_it_is_killed_and_comes_back_on_its_port(folder: Path) -> None:
    server = EmbeddedRedis(folder)
    server.start()
    with redis.Redis.from_url(server.url(3)) as client:
        client.set("a", "1")
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "allkeys-lru"
        assert int(client.config_get("maxmemory")["maxmemory"]) > 0

    server.kill()
    server.start()

    with redis.Redis.from_url(server.url(3)) as client:
        assert client.get("a") is None
    server.stop()
    assert not is_listening(server.port)


def test_redis_in_a_full_memory_drops_old_keys_and_takes_new_ones(folder: Path) -> None:
    server = EmbeddedRedis(folder, maxmemory="4mb")
    server.start()
    with redis.Redis.from_url(server.url()) as client:
        for number in range(100):
            client.set(f"key-{number}", b"x" * 100_000)

        assert client.exists("key-99")
        # Which of the others are gone is not promised: the server looks at a few keys and drops the
        # one of them that was not used for longest.
        assert 0 < client.dbsize() < 50
    server.stop()


def test_the_broker_prints_one_line_and_ends_when_its_input_closes(
    folder: Path, processes: Processes
) -> None:
    broker = processes.start("marketdata_tools.embedded.broker", env={})

    assert broker.wait(60) == 0  # its standard input is empty and ends at once
    assert broker.output().count("\n") == 1
    assert broker.output().startswith("127.0.0.1:")


def test_a_broker_is_another_one_after_each_start(folder: Path) -> None:
    broker = EmbeddedBroker(folder)
    broker.start()
    first = broker.bootstrap
    broker.kill()

    broker.start()

    assert broker.bootstrap != first
    os.kill(broker.pid, signal.SIGSTOP)
    broker.stop()
    assert not is_listening(int(broker.bootstrap.rpartition(":")[2]))


def test_a_free_port_is_free() -> None:
    assert not is_listening(free_port())
