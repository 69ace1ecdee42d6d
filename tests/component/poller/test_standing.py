"""What the poller tells of the database, while there is one and while there is none."""

from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from marketdata.domain.job import Slo
from support.builders import a_job
from support.metrics import scrape
from support.proxy import Proxy
from support.waiting import eventually

STANDING = {
    "marketdata_poller_breaker_state",
    "marketdata_poller_dead_letters_waiting",
    "marketdata_poller_due_lateness_seconds",
    "marketdata_poller_ledger_imbalance",
    "marketdata_poller_outbox_age_seconds",
    "marketdata_poller_outbox_rows",
    "marketdata_poller_promises",
    "marketdata_poller_stale_jobs",
}


def told(port: int) -> set[str]:
    return {family.name for family in text_string_to_metric_families(scrape(port)) if family.samples}


@pytest.mark.timeout(120)
def test_while_postgres_is_away_nothing_of_it_is_told_and_then_all_of_it_again(world):
    address = urlsplit(world.database.url)
    world.book.create(a_job("AAPL", provider="yfinance", slo=Slo(60, "99")))
    with world.database.engine.begin() as connection:
        connection.exec_driver_sql(
            """insert into provider_breakers (provider, endpoint, open_until)
            values ('yfinance', 'quote', now() + interval '1 hour')"""
        )
    with Proxy(address.port) as proxy:
        url = world.database.url.replace(f":{address.port}/", f":{proxy.port}/")
        poller = world.poller("--roles", "maintain", env={"DATABASE_URL": url})
        port = int(poller.says(r"metrics_port\D+(\d+)")[1])
        eventually(lambda: told(port) >= STANDING, within=20)

        proxy.cut()
        eventually(lambda: not told(port) & STANDING, within=30)
        assert "marketdata_heartbeat_age_seconds" in told(port)

        proxy.pass_all()
        eventually(lambda: told(port) >= STANDING, within=30)
