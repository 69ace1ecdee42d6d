"""No secret is told: every process holds marked ones, fails as it may, and all it says is looked through.

What it says is its output, its metrics, its answers, its spans, and every row it writes: raw answers
with their addresses and headers, messages of failures, dead letters.
"""

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from marketdata.storage.job_book import PostgresJobBook
from support import alpha_vantage, canaries
from support.builders import a_job
from support.canaries import API_KEY, MARK, check, tables
from support.collector import collector
from support.consuming import Pipeline as Stream
from support.ports import free_port
from support.processes import Process, Processes
from support.servers import Database, Kafka
from support.waiting import eventually

SERVICES = ("api", "poller", "consumer", "operator")
_OF: Mapping[str, tuple[str, ...]] = {
    "api": ("DATABASE_URL", "REDIS_URL", "MARKETDATA_API_"),
    "poller": (
        "DATABASE_URL",
        "KAFKA_",
        "MARKETDATA_YFINANCE_",
        "MARKETDATA_ALPHA_",
        "ALPHA_",
        "MARKETDATA_P",
    ),
    "consumer": ("DATABASE_URL", "REDIS_URL", "KAFKA_", "MARKETDATA_CONSUMER_"),
    "operator": ("DATABASE_URL", "KUBECONFIG", "MARKETDATA_OPERATOR_"),
}
_ALL = ("OTEL_", "MARKETDATA_METRICS_", "MARKETDATA_LOG_")


class Marked:
    """Processes with marked secrets; `env` is what all of them together are told."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self.processes = processes
        self.metrics: dict[str, int] = {}
        self.api_port = free_port()
        keys = folder / "keys"
        keys.write_text(f"{hashlib.sha256(API_KEY.encode()).hexdigest()} prices:read,jobs:write one\n")
        self.env: dict[str, str] = {
            "MARKETDATA_API_HOST": "127.0.0.1",
            "MARKETDATA_API_PORT": str(self.api_port),
            "MARKETDATA_API_KEYS_FILE": str(keys),
            "MARKETDATA_API_PAGE_TOKEN_KEY": canaries.PAGE_KEY,
            "MARKETDATA_METRICS_HOST": "127.0.0.1",
            "MARKETDATA_LOG_LEVEL": "debug",
            "MARKETDATA_LOG_FORMAT": "json",
            "MARKETDATA_POLLER_PROVIDERS": "yfinance,alpha_vantage",
            "MARKETDATA_ALPHA_VANTAGE_REQUESTS_PER_MINUTE": "6000",
            "MARKETDATA_ALPHA_VANTAGE_DEADLINE_SECONDS": "2",
            "MARKETDATA_YFINANCE_CACHE_DIR": str(folder / "yfinance"),
            "MARKETDATA_YFINANCE_REQUESTS_PER_MINUTE": "6000",
            "MARKETDATA_OPERATOR_NAMESPACES": "default",
            "MARKETDATA_OPERATOR_RELEASE": "demo",
            "MARKETDATA_OPERATOR_SWEEP_SECONDS": "1",
            "KUBECONFIG": str(canaries.kubeconfig(folder, "http://127.0.0.1:1")),
            "KAFKA_SASL_USERNAME": "me",
            "KAFKA_SASL_PASSWORD": canaries.KAFKA,
            "ALPHA_VANTAGE_API_KEY": canaries.ALPHA_VANTAGE,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://me:{canaries.TRACES}@127.0.0.1:{free_port()}",
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={canaries.TRACES}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }

    def start(self, name: str, **more: str) -> Process:
        """Start one service with what it knows of `env`."""
        self.metrics[name] = free_port()
        told = {k: v for k, v in (self.env | more).items() if k.startswith((*_OF[name], *_ALL))}
        return self.processes.start(
            f"marketdata_{name}", env=told | {"MARKETDATA_METRICS_PORT": str(self.metrics[name])}
        )

    def said(self) -> Iterator[tuple[str, str]]:
        """Return all that the processes wrote and tell of themselves, by where it was found."""
        for process in self.processes.started:
            yield f"output of {process.name}", process.output()
        for name, port in self.metrics.items():
            for path in ("metrics", "readyz", "healthz"):
                yield f"{path} of {name}", ask(f"http://127.0.0.1:{port}/{path}")[1]

    def ask(self, path: str, **headers: str) -> tuple[int, str]:
        return ask(f"http://127.0.0.1:{self.api_port}{path}", **headers)


def ask(url: str, **headers: str) -> tuple[int, str]:
    """Return the status and the whole answer, headers included; nobody there is an answer of nothing."""
    request = urllib.request.Request(url, headers={k.replace("_", "-"): v for k, v in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, f"{answer.headers}{answer.read().decode()}"
    except urllib.error.HTTPError as error:
        with error:
            return error.code, f"{error.headers}{error.read().decode()}"
    except OSError:
        return 0, ""


@pytest.fixture
def marked(processes: Processes, tmp_path: Path) -> Marked:
    (tmp_path / "yfinance").mkdir()
    return Marked(processes, tmp_path)


def test_the_look_finds_a_secret_where_there_is_one(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(sa.text("create table leaky (id int, value bytea)"))
        connection.execute(sa.text("insert into leaky values (1, :value)"), {"value": f"..{MARK}..".encode()})

    with pytest.raises(AssertionError, match="leaky"):
        check(tables(database.engine))


def test_a_deployment_at_work_and_refused_by_some_tells_no_secret(
    database: Database,
    kafka: Kafka,
    redis_url: str,
    processes: Processes,
    marked: Marked,
) -> None:
    with ExitStack() as stack:
        yahoo = stack.enter_context(canaries.marked_yahoo())
        alpha = stack.enter_context(alpha_vantage.serving())
        spans = stack.enter_context(collector())
        alpha.answer = {"Information": f"We have detected your API key as {canaries.ALPHA_VANTAGE}; wait."}
        marked.env |= {
            **kafka.env(),
            **spans.env(),
            "DATABASE_URL": database.url.replace("postgres@", f"postgres:{canaries.DATABASE}@"),
            # The server has no password, and refuses whoever gives one.
            "REDIS_URL": redis_url.replace("redis://", f"redis://:{canaries.REDIS}@"),
            "MARKETDATA_YFINANCE_BASE_URL": yahoo,
            "MARKETDATA_ALPHA_VANTAGE_BASE_URL": alpha.url,
            "MARKETDATA_API_STORE_TIMEOUT_SECONDS": "20",  # a price is to be told on a busy machine too
        }
        assert canaries.DATABASE in marked.env["DATABASE_URL"]
        Stream(kafka, database, redis_url, processes, {}).send([(b"poison", []), (None, [])])
        book = PostgresJobBook(database.engine)
        for provider in ("yfinance", "alpha_vantage"):
            book.create(a_job("AAPL", provider=provider, interval_seconds=1))
        for name in ("api", "poller", "consumer"):
            marked.start(name)

        def count(what: str) -> int:
            with database.engine.connect() as connection:
                return int(connection.scalar(sa.text(f"select count(*) from {what}")) or 0)

        eventually(lambda: count("price_points where provider = 'yfinance'"), within=40)
        eventually(lambda: count("raw_market_data where provider = 'alpha_vantage'"), within=40)
        eventually(lambda: count("dead_letters") >= 2, within=40)
        eventually(lambda: spans.named("poll"), within=40)
        eventually(lambda: marked.ask("/healthz")[0] == 200, within=40)
        latest = "/prices/latest?symbol=AAPL&provider=yfinance"
        answers = {
            "a price": marked.ask(latest, x_api_key=API_KEY),
            "a wrong key": marked.ask(latest, x_api_key=f"{API_KEY}-wrong"),
            "a wrong bearer": marked.ask(latest, authorization=f"Bearer {API_KEY}-wrong"),
            "a scope": marked.ask("/prices/raw/" + "0" * 36, x_api_key=API_KEY),
            "a page token": marked.ask("/prices/poll?page_token=zz", x_api_key=API_KEY),
            "not ready": marked.ask("/readyz"),
        }
        assert [status for status, _ in answers.values()][:4] == [200, 401, 401, 403]
        assert spans.headers[0]["authorization"] == canaries.TRACES
        check((where, text) for where, (_, text) in answers.items())
        check(("spans", body.decode("latin-1")) for body in spans.bodies)
        check(marked.said())
        check(tables(database.engine))
        assert "redis" in json.dumps([p.output() for p in processes.started])


@pytest.mark.parametrize("way", ["refused", "unreachable"])
def test_processes_that_get_nowhere_tell_no_secret(marked: Marked, tmp_path: Path, way: str) -> None:
    with ExitStack() as stack:
        if way == "refused":
            postgres = stack.enter_context(canaries.refusing_postgres())
            http = stack.enter_context(canaries.refusing_http())
            redis = kafka = int(http.rsplit(":", 1)[1])
        else:
            postgres, redis, kafka = free_port(), free_port(), free_port()
            http = f"http://127.0.0.1:{free_port()}"
        marked.env |= {
            "DATABASE_URL": f"postgresql://me:{canaries.DATABASE}@127.0.0.1:{postgres}/prices",
            "REDIS_URL": f"redis://me:{canaries.REDIS}@127.0.0.1:{redis}/0",
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka}",
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_MECHANISM": "PLAIN",
            "MARKETDATA_YFINANCE_BASE_URL": http,
            "MARKETDATA_ALPHA_VANTAGE_BASE_URL": http,
            "KUBECONFIG": str(canaries.kubeconfig(tmp_path, http)),
            "OTEL_EXPORTER_OTLP_ENDPOINT": http.replace("http://", f"http://me:{canaries.TRACES}@"),
        }
        running = {name: marked.start(name) for name in SERVICES}
        running["consumer"].says("waiting_for_schema")
        running["poller"].says("a dependency is away")
        running["operator"].says("not reconciled")
        eventually(lambda: marked.ask("/readyz")[0] == 503, within=40)
        answer = marked.ask("/prices/latest?symbol=AAPL", x_api_key=API_KEY)
        assert answer[0] == 503
        replayed = marked.processes.start(
            "marketdata_poller", "replay-dead-letters", "--all", env=_only(marked.env, "poller")
        )
        migrated = marked.processes.start(
            "marketdata.storage", "migrate", env={"DATABASE_URL": marked.env["DATABASE_URL"]}
        )
        assert (replayed.wait(), migrated.wait()) == (1, 1)
        check([("a problem", answer[1]), ("not ready", marked.ask("/readyz")[1])])
        check(marked.said())
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
        check(marked.said())


def _only(env: Mapping[str, str], name: str) -> dict[str, str]:
    return {k: v for k, v in env.items() if k.startswith((*_OF[name], *_ALL))}


_D, _R = canaries.DATABASE, canaries.REDIS
MALFORMED = [
    ("DATABASE_URL", f"mysql://me:{_D}@127.0.0.1/prices"),
    ("DATABASE_URL", f"postgresql://me:{_D}@127.0.0.1:port/prices"),
    ("DATABASE_URL", f"postgresql://me:{_D}@[::1/prices"),
    ("DATABASE_URL", f"postgresql://me:{_D}@127.0.0.1:1"),
    ("DATABASE_URL", f"postgresql://me:{_D}%zz@127.0.0.1:1/prices"),
    ("DATABASE_URL", f"postgresql://me:{_D}/more@127.0.0.1:1/prices"),
    ("DATABASE_URL", f"postgresql://me:{_D}@127.0.0.1:1/prices?nosuch={_D}"),
    ("DATABASE_URL", _D),
    ("REDIS_URL", f"http://:{_R}@127.0.0.1"),
    ("REDIS_URL", f"redis://:{_R}@127.0.0.1:99999/0"),
    ("REDIS_URL", f"redis://:{_R}@127.0.0.1:1/{_R}"),
    ("REDIS_URL", f"redis://:{_R}/more@127.0.0.1:1/0"),
]


@pytest.mark.parametrize(
    ("variable", "value"), MALFORMED, ids=[value.replace("/", "|") for _, value in MALFORMED]
)
def test_an_address_that_is_malformed_is_one_sentence_without_its_secret(
    marked: Marked, variable: str, value: str
) -> None:
    marked.env |= {
        "DATABASE_URL": "postgresql://me@127.0.0.1:1/prices",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "MARKETDATA_LOG_LEVEL": "info",
        variable: value,
    }
    # What settings refuse they refuse in every process; what only the client's library refuses, each hears.
    readers = [name for name in SERVICES if variable in _OF[name]] if "%zz" in value else ["api"]

    for process in [marked.start(name) for name in readers]:
        assert process.wait() == 2
        assert len(process.output().splitlines()) == 1
        assert variable in process.output()
    check(marked.said())
