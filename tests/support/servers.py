"""Real servers for tests: one of each per test session, isolation by database, number and name."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import sqlalchemy as sa
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from pydantic import SecretStr

from marketdata.settings import PostgresSettings
from marketdata.storage import schema
from marketdata.storage.engine import create_engine
from marketdata_tools.embedded.broker import make_topic
from marketdata_tools.embedded.postgres import EmbeddedPostgres
from support.waiting import eventually

ROOT = Path(__file__).parents[2]
REAL_KAFKA_COMMAND = ROOT.parent / "shared" / "kafka" / "kafka"
PARTITIONS = 4  # what the embedded broker gives a topic made on first use


@contextmanager
def open_folder(prefix: str) -> Iterator[Path]:
    """Yield a new folder that every user may enter, removed at the end.

    pytest's own folders are closed to others, and as root PostgreSQL runs as `nobody`.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Database:
    """A migrated database of one test."""

    name: str
    url: str
    settings: PostgresSettings
    engine: sa.Engine


def settings_of(url: str, *, pool_size: int = 20) -> PostgresSettings:
    """Return settings of a test's own connections: a busy server may take long to begin one."""
    return PostgresSettings(url=SecretStr(url), pool_size=pool_size, connect_timeout_seconds=60)


def execute(server: EmbeddedPostgres, *statements: str) -> None:
    """Run statements outside any transaction on the server's own database."""
    connection = psycopg2.connect(server.url())
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


def make_template(server: EmbeddedPostgres) -> str:
    """Migrate a database once, for the others to be copies of; return its name."""
    execute(server, "create database migrated")
    engine = create_engine(settings_of(server.url("migrated")), application="tests-template")
    schema.migrate(engine)
    engine.dispose()
    return "migrated"


@contextmanager
def new_database(server: EmbeddedPostgres, template: str | None) -> Iterator[Database]:
    """Yield a copy of `template` (empty where None), dropped at the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    execute(server, f"create database {name}" + (f" template {template}" if template else ""))
    settings = settings_of(server.url(name))
    engine = create_engine(settings, application="tests")
    try:
        yield Database(name, server.url(name), settings, engine)
    finally:
        engine.dispose()
        execute(server, f"drop database {name} with (force)")


@dataclass(frozen=True, slots=True)
class Kafka:
    """A broker and the names that belong to one test."""

    bootstrap: str
    topic: str
    dead_letter_topic: str
    group: str
    is_real: bool

    def env(self) -> dict[str, str]:
        """Return the environment variables that point a process here."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "KAFKA_TOPIC": self.topic,
            "KAFKA_DEAD_LETTER_TOPIC": self.dead_letter_topic,
            "KAFKA_GROUP": self.group,
        }

    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap})

    def create_topic(self, name: str, partitions: int = PARTITIONS) -> None:
        """Create a topic; the embedded broker has no administration and gives it its four partitions."""
        if not self.is_real:
            make_topic(self.bootstrap, name)
            return
        admin = self.admin()  # held: with it would go the answer
        for result in admin.create_topics([NewTopic(name, partitions, 1)]).values():
            result.result(timeout=20)

    def grow_topic(self, name: str, partitions: int) -> None:
        """Give a topic more partitions; return when those who ask are told of them. A real broker's only."""
        admin = self.admin()
        admin.create_partitions([NewPartitions(name, partitions)])[name].result(timeout=20)

        def is_told() -> bool:
            return len(admin.list_topics(name, timeout=20).topics[name].partitions) == partitions

        eventually(is_told, within=20)

    def delete_topic(self, name: str) -> None:
        if self.is_real:
            admin = self.admin()
            for result in admin.delete_topics([name]).values():
                result.result(timeout=20)


def kafka_names(bootstrap: str, *, is_real: bool) -> Kafka:
    """Return names nobody else uses."""
    mark = uuid.uuid4().hex[:10]
    return Kafka(bootstrap, f"price-events-{mark}", f"price-events-{mark}.dlq", f"consumer-{mark}", is_real)


def _broker_port() -> int:
    """Return a port of loopback that is free, and so is the next, where the broker's controller listens.

    None of those that clients get: a broker that was killed comes back to its ports, and somebody's
    connection may have taken such a one by then.
    """
    while True:
        port = secrets.choice(range(20_000, 30_000, 2))
        try:
            for each in (port, port + 1):
                socket.create_server(("127.0.0.1", each)).close()
        except OSError:
            continue
        return port


class RealBroker:
    """A real Kafka broker of one test's own, to be killed, stopped and reached through a proxy."""

    def __init__(self, *, advertised: int | None = None) -> None:
        self.port = _broker_port()
        self.advertised = advertised or self.port

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.advertised}"

    def up(self) -> None:
        """Start it, or start it again on its data; block until it answers, however busy the machine."""
        self._start()
        AdminClient({"bootstrap.servers": f"127.0.0.1:{self.port}"}).list_topics(timeout=60)

    def _start(self) -> None:
        """Start it; again where the command ends without a word.

        It draws a random id for a new cluster, and one in 64 begins with a dash, which Kafka's
        StorageTool takes for an option.
        """
        done = self._command("up", str(self.port), str(self.advertised))
        tries = 1
        while done.returncode and not done.stderr and tries < 3:
            done = self._command("up", str(self.port), str(self.advertised))
            tries += 1
        assert done.returncode == 0, done.stderr[-2000:]

    def kill(self) -> None:
        """Kill -9, and wait until it is gone: `up` takes one that is dying for one that runs."""
        self._run("kill", str(self.port))
        eventually(lambda: self._find() is None, within=30)

    def stop(self) -> None:
        """SIGSTOP: it stands still with its connections open."""
        os.kill(self.pid(), signal.SIGSTOP)

    def cont(self) -> None:
        """SIGCONT, if it runs."""
        if pid := self._find():
            os.kill(pid, signal.SIGCONT)

    def down(self) -> None:
        """Stop it and forget its data."""
        self._run("down", str(self.port))

    def pid(self) -> int:
        return int(self._run("pid", str(self.port)))

    def _find(self) -> int | None:
        done = self._command("pid", str(self.port))
        return int(done.stdout) if done.stdout.strip() else None

    def _run(self, *arguments: str) -> str:
        done = self._command(*arguments)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout.strip()

    def _command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [REAL_KAFKA_COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=90
        )
