"""The whole pipeline as real processes, each dependency behind a proxy that can fail."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psutil

from support.ports import free_port
from support.processes import Process, Processes
from support.proxy import Proxy
from support.servers import Database, Kafka
from support.waiting import eventually
from support.yahoo import Yahoo

_PREFIXES = {
    "api": "MARKETDATA_API_",
    "poller": "MARKETDATA_YFINANCE_",
    "consumer": "MARKETDATA_CONSUMER_",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer; `body` is the decoded JSON, header names are in lower case."""

    status: int
    body: Any
    headers: Mapping[str, str]


def ask(url: str, *, content: Any = None, method: str | None = None, within: float = 10.0) -> Reply:
    """Send one request and return its answer, whatever the status."""
    request = urllib.request.Request(
        url,
        data=None if content is None else json.dumps(content).encode(),
        headers={"Content-Type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=within) as response:
            return _reply(response.status, response)
    except urllib.error.HTTPError as error:
        with error:
            return _reply(error.code, error)


def _reply(status: int, response: Any) -> Reply:
    return Reply(status, json.load(response), {k.lower(): v for k, v in response.headers.items()})


class Pipeline:
    """api, poller and consumer between proxies; everything ends with the test."""

    def __init__(
        self,
        *,
        processes: Processes,
        postgres: Proxy,
        redis: Proxy,
        env: Mapping[str, str],
    ) -> None:
        self._processes = processes
        self.postgres = postgres
        self.redis = redis
        self._env = dict(env)
        self.api_url = f"http://127.0.0.1:{env['MARKETDATA_API_PORT']}"
        self._health: dict[str, int] = {}
        self.running: dict[str, Process] = {}

    def tell(self, **settings: str) -> None:
        """Add environment variables for what is started from now on."""
        self._env.update(settings)

    def start(self, *names: str, **orders: Any) -> Process:
        """Start the named services (`api`, `poller`, `consumer`); return the last one."""
        for name in names:
            port = free_port()
            self._health[name] = port
            self.running[name] = self._processes.start(
                f"marketdata_{name}",
                env={**self._told(name), "MARKETDATA_METRICS_PORT": str(port)},
                **orders,
            )
        return self.running[names[-1]]

    def _told(self, name: str) -> dict[str, str]:
        """Return the variables that `name` knows; it would refuse to start with those of others."""
        others = [prefix for service, prefix in _PREFIXES.items() if service != name]
        return {key: value for key, value in self._env.items() if not key.startswith(tuple(others))}

    def wait_until_up(self) -> None:
        """Return when the API answers."""

        def look() -> bool:
            try:
                return ask(f"{self.api_url}/readyz").status == 200
            except OSError:
                return False

        eventually(look, within=40)

    def get(self, path: str, *, within: float = 10.0) -> Reply:
        return ask(f"{self.api_url}{path}", within=within)

    def watch(self, symbols: list[str], *, interval: int = 1, provider: str = "yfinance") -> str:
        """Make a job over REST and return its id."""
        made = ask(
            f"{self.api_url}/prices/poll",
            content={"symbols": symbols, "interval": interval, "provider": provider},
        )
        assert made.status == 202, made
        return str(made.body["job_id"])

    def suspend(self, job_id: str) -> None:
        """Suspend a job over REST."""
        done = ask(f"{self.api_url}/prices/poll/{job_id}", content={"suspended": True}, method="PATCH")
        assert done.status == 200, done

    def is_live(self, name: str) -> bool:
        """Ask a service's own health port, as a liveness probe would."""
        reply = ask(f"http://127.0.0.1:{self._health[name]}/healthz")
        assert reply.status == 200, f"{name}: {reply.body}"
        return True

    def memory(self) -> dict[str, int]:
        """Return the resident bytes of each running service."""
        return {name: psutil.Process(p.pid).memory_info().rss for name, p in self.running.items()}


@contextmanager
def pipeline(
    *,
    processes: Processes,
    database: Database,
    redis_url: str,
    kafka: Kafka,
    yahoo: Yahoo,
    cache_dir: str,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Pipeline]:
    """Yield a pipeline that is not started yet."""
    with ExitStack() as stack:
        address = urlsplit(database.url)
        assert address.port is not None, database.url
        postgres = stack.enter_context(Proxy(address.port))
        cache = urlsplit(redis_url)
        assert cache.port is not None, redis_url
        redis = stack.enter_context(Proxy(cache.port))
        env = {
            **kafka.env(),
            "DATABASE_URL": database.url.replace(f":{address.port}/", f":{postgres.port}/"),
            "REDIS_URL": redis_url.replace(f":{cache.port}/", f":{redis.port}/"),
            "MARKETDATA_API_HOST": "127.0.0.1",
            "MARKETDATA_API_PORT": str(free_port()),
            "MARKETDATA_METRICS_HOST": "127.0.0.1",
            "MARKETDATA_YFINANCE_BASE_URL": yahoo.url,
            "MARKETDATA_YFINANCE_CACHE_DIR": cache_dir,
            "MARKETDATA_YFINANCE_REQUESTS_PER_MINUTE": "6000",
            "MARKETDATA_LOG_FORMAT": "json",
            **(settings or {}),
        }
        yield Pipeline(processes=processes, postgres=postgres, redis=redis, env=env)
