"""What `make run` can be told, all of it by environment variables.

An empty variable counts as not given, so `make run PORT=` behaves like `make run`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from marketdata import settings
from marketdata.errors import Misconfigured
from marketdata.settings import KafkaSettings, PostgresSettings, RedisSettings

REPOSITORY = Path(__file__).parents[4]
_DEFAULT_PORT = 8000


@dataclass(frozen=True, slots=True)
class RunSettings:
    """An address that is None stands for an embedded server."""

    port: int
    data_dir: Path
    database_url: str | None
    redis_url: str | None
    kafka_bootstrap_servers: str | None
    yahoo_standin: bool

    @property
    def logs(self) -> Path:
        """Where each process writes its log; the crew keeps them bounded."""
        return self.data_dir / "logs"


def environment() -> Mapping[str, str]:
    """Return the launcher's environment, which its children get parts of."""
    return os.environ


def read(environ: Mapping[str, str]) -> RunSettings:
    """Return the settings. Raises Misconfigured with one sentence that names the variable."""
    given = {name: value for name, value in environ.items() if value}
    # Which MARKETDATA_ variables there are is checked by the process that each is for.
    addresses = {name: value for name, value in given.items() if not name.startswith(settings.PREFIX)}
    for name, group in (
        ("DATABASE_URL", PostgresSettings),
        ("REDIS_URL", RedisSettings),
        ("KAFKA_BOOTSTRAP_SERVERS", KafkaSettings),
    ):
        if name in given:
            settings.read(group, environ=addresses)
    return RunSettings(
        port=_port(given.get("PORT")),
        data_dir=Path(given.get("DATA_DIR", REPOSITORY / ".data")).absolute(),
        database_url=given.get("DATABASE_URL"),
        redis_url=given.get("REDIS_URL"),
        kafka_bootstrap_servers=given.get("KAFKA_BOOTSTRAP_SERVERS"),
        yahoo_standin=_yahoo(given.get("YAHOO")),
    )


def _port(text: str | None) -> int:
    if text is None:
        return _DEFAULT_PORT
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 65535):
        raise Misconfigured(f"PORT is {text!r}; give a number from 1 to 65535")
    return int(text)


def _yahoo(text: str | None) -> bool:
    if text not in {None, "standin"}:
        raise Misconfigured(f"YAHOO is {text!r}; the one value it takes is standin")
    return text is not None
