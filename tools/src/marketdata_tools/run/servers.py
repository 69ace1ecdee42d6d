"""The servers of a run: embedded ones, started side by side, or those that the user names."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from marketdata_tools.embedded.broker import EmbeddedBroker
from marketdata_tools.embedded.postgres import EmbeddedPostgres
from marketdata_tools.embedded.process import LOOPBACK, OnSpawn
from marketdata_tools.embedded.redis import EmbeddedRedis
from marketdata_tools.run.crew import Crew
from marketdata_tools.run.settings import RunSettings

_DATABASE = "marketdata"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the services find their servers."""

    database_url: str
    redis_url: str
    kafka_bootstrap_servers: str

    def variables(self) -> dict[str, str]:
        """Return them as environment variables."""
        return {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka_bootstrap_servers,
        }


def start(settings: RunSettings, crew: Crew, *, on_spawn: OnSpawn) -> Addresses:
    """Start what is not given, hand it to `crew`, and return all addresses; blocks until they answer.

    Raises RuntimeError with the end of the log of one that did not start; the others are the
    crew's by then, so that they are ended like everything else.
    """
    postgres = EmbeddedPostgres(settings.data_dir / "postgres", on_spawn=on_spawn)
    redis = EmbeddedRedis(settings.logs, on_spawn=on_spawn)
    broker = EmbeddedBroker(settings.logs, on_spawn=on_spawn)
    wanted = [
        (name, server)
        for name, server, given in (
            ("PostgreSQL", postgres, settings.database_url),
            ("Redis", redis, settings.redis_url),
            ("broker", broker, settings.kafka_bootstrap_servers),
        )
        if given is None
    ]
    with ThreadPoolExecutor(max_workers=len(wanted) or 1) as pool:
        starts = [(name, server, pool.submit(server.start)) for name, server in wanted]
    for name, server, started in starts:
        if started.exception() is None:
            crew.add_server(name, server)
    for _, _, started in starts:
        started.result()
    if settings.database_url is None:
        postgres.create_database(_DATABASE)
    return Addresses(
        database_url=settings.database_url or postgres.url(_DATABASE),
        redis_url=settings.redis_url or redis.url(),
        kafka_bootstrap_servers=settings.kafka_bootstrap_servers or broker.bootstrap,
    )


def to_be(settings: RunSettings) -> Addresses:
    """Return addresses of the right form before anything is started: those given, and nobody's else."""
    return Addresses(
        database_url=settings.database_url or f"postgresql://{LOOPBACK}:1/{_DATABASE}",
        redis_url=settings.redis_url or f"redis://{LOOPBACK}:1/0",
        kafka_bootstrap_servers=settings.kafka_bootstrap_servers or f"{LOOPBACK}:1",
    )


def shown(address: str) -> str:
    """Return an address without user name, password and parameters; a socket by its folder."""
    parts = urlsplit(address)
    places = parts.netloc.rpartition("@")[2] or parse_qs(parts.query).get("host", [""])[0]
    return f"{places}{parts.path}"
