"""Where the API's objects are made, and where types check that adapters fit ports."""

from dataclasses import dataclass

from marketdata.cache.reader import RedisLatestReader
from marketdata.clock import Clock
from marketdata.storage import schema
from marketdata.storage.engine import create_engine
from marketdata.storage.job_book import PostgresJobBook
from marketdata.storage.ledger import PostgresLedger
from marketdata.storage.price_reader import PostgresPriceReader
from marketdata.storage.raw_archive import PostgresRawArchive
from marketdata.telemetry.health import HealthServer, Heartbeats
from marketdata_api.dependencies import Dependencies
from marketdata_api.keys import KeyRing
from marketdata_api.latest import LatestPrices
from marketdata_api.outage import Outage
from marketdata_api.paging import PageTokens
from marketdata_api.readiness import Readiness
from marketdata_api.settings import Settings
from marketdata_api.store import StoreCalls
from marketdata_api.telemetry import ApiMetrics

# The event loop beats each second; half a minute without a turn is a hung process, not a busy one.
HEARTBEAT_LIMIT_SECONDS = 30.0
# Of the API's own deadline, for one statement and the locks it waits for: what nobody waits for any more
# is not to hold a thread and a connection.
_STATEMENT_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Wired:
    """What the process runs."""

    dependencies: Dependencies
    heartbeats: Heartbeats
    health: HealthServer


def wire(settings: Settings, clock: Clock) -> Wired:
    """Make everything; connect to nothing. Raises Misconfigured, also for a taken metrics port."""
    metrics = ApiMetrics()
    statement_seconds = min(
        settings.postgres.statement_timeout_seconds, _STATEMENT_SHARE * settings.api.store_timeout_seconds
    )
    engine = create_engine(
        settings.postgres.model_copy(update={"statement_timeout_seconds": statement_seconds}),
        application="marketdata-api",
    )
    prices = PostgresPriceReader(engine)
    store = StoreCalls(
        threads=settings.postgres.pool_size,
        deadline_seconds=settings.api.store_timeout_seconds,
        ping=prices.ping,
        tell=metrics.dependency("postgres").set,
    )
    cache = RedisLatestReader(settings.redis, timeout_seconds=settings.api.cache_timeout_seconds)
    readiness = Readiness(check=lambda: schema.check(engine), store=store)
    key = settings.api.page_token_key
    dependencies = Dependencies(
        clock=clock,
        latest=LatestPrices(
            cache=cache,
            cache_outage=Outage("redis", probe=cache.ping, tell=metrics.dependency("redis").set),
            prices=prices,
            store=store,
            clock=clock,
        ),
        prices=prices,
        jobs=PostgresJobBook(engine),
        ledger=PostgresLedger(engine),
        raw=PostgresRawArchive(engine),
        store=store,
        tokens=PageTokens(key.get_secret_value().encode() if key else None),
        readiness=readiness,
        metrics=metrics,
        keys=KeyRing(settings.api.keys_file, clock=clock, tell=metrics.keys_unreadable.set)
        if settings.api.keys_file
        else None,
        providers=settings.api.provider_names(),
        default_provider=settings.process.default_provider,
        min_interval_seconds=settings.api.min_interval_seconds,
        max_in_work=settings.api.max_concurrency,
        max_body_bytes=settings.api.max_body_bytes,
        body_seconds=settings.api.receive_seconds,
    )
    heartbeats = Heartbeats(clock, limit_seconds=HEARTBEAT_LIMIT_SECONDS)
    health = HealthServer(
        host=settings.process.metrics_host,
        port=settings.process.metrics_port,
        heartbeats=heartbeats,
        registry=metrics.registry,
        ready=readiness.why_not,
    )
    return Wired(dependencies=dependencies, heartbeats=heartbeats, health=health)
