"""The operator as a process of this machine, on the Kubernetes that KUBECONFIG names."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from support.ports import free_port
from support.processes import Process, Processes
from support.real_kubernetes import Namespace, definition, ending_namespaces, new_namespace
from support.servers import Database
from support.waiting import eventually


@dataclass
class World:
    """One namespace, one database, and operators between them."""

    place: Namespace
    database: Database
    processes: Processes
    account: Path
    metrics_port: int = 0

    def operator(self, *, kubeconfig: Path | None = None, **settings: Any) -> Process:
        """Start an operator with no more rights than it says it needs, and wait until it is ready."""
        process = self.start(kubeconfig=kubeconfig, **settings)
        process.says("reconciling", within=90)
        eventually(lambda: httpx.get(self.url("/readyz"), timeout=30).status_code == 200, within=60)
        return process

    def watching_operator(self) -> Process:
        """Start an operator, and return when its watch follows and nothing of another test is in its way.

        The watch begins some time after the first list, with which the operator is ready: it has followed
        when it told of a deletion, which the next sweep is too far away to find. The namespaces of tests
        before, of up to two thousand objects, go on ending.
        """
        eventually(lambda: not ending_namespaces(), within=240, every=1.0)
        process = self.operator()
        self.place.apply("canary", {"symbols": ["AAPL"], "provider": "synthetic", "suspend": True})
        eventually(lambda: "canary" in self.rows(), within=60)
        self.place.delete("canary")
        eventually(lambda: "canary" not in self.rows(), within=60)
        return process

    def start(self, *, kubeconfig: Path | None = None, **settings: Any) -> Process:
        """Start such an operator."""
        self.metrics_port = free_port()
        return self.processes.start(
            "marketdata_operator",
            env={
                "KUBECONFIG": str(kubeconfig or self.account),
                "DATABASE_URL": self.database.url,
                "MARKETDATA_METRICS_HOST": "127.0.0.1",
                "MARKETDATA_METRICS_PORT": str(self.metrics_port),
                "MARKETDATA_OPERATOR_NAMESPACES": self.place.namespace,
                "MARKETDATA_OPERATOR_RELEASE": "demo",
                **{key: str(value) for key, value in settings.items()},
            },
        )

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.metrics_port}{path}"

    def rows(self, *, release: str = "demo") -> dict[str, Any]:
        """Return the rows of a release by the names of their objects."""
        query = sa.text(
            """
            select job.*, schedule.due_at, schedule.due_at <= clock_timestamp() as is_due
            from polling_jobs as job left join polling_schedule as schedule using (job_id)
            where release = :release
            """
        )
        with self.database.engine.connect() as connection:
            return {row.k8s_name: row for row in connection.execute(query, {"release": release})}

    def execute(self, statement: str, **values: Any) -> None:
        with self.database.engine.begin() as connection:
            connection.execute(sa.text(statement), values)

    def serve(self) -> None:
        """Let every job have been polled and its prices be served, as poller and consumer would for an hour.

        In one statement, or the operator might find jobs that were polled and whose prices are not served.
        """
        self.execute(
            """
            with polled as (update job_states set last_poll_at = now(), last_success_at = now())
            insert into latest_prices (provider, symbol, observed_at, price, fetched_at, raw_response_id)
            select distinct provider, symbol, now(), 1, now() + interval '1 hour', gen_random_uuid()
            from polling_jobs cross join lateral unnest(symbols) as asked (symbol)
            on conflict (provider, symbol) do update set fetched_at = excluded.fetched_at
            """
        )


@pytest.fixture(scope="module")
def _definition() -> Iterator[None]:
    with definition():
        yield


@pytest.fixture
def place(_definition: None, tmp_path: Path) -> Iterator[Namespace]:
    """A namespace of the test's own."""
    with new_namespace(tmp_path) as made:
        yield made


@pytest.fixture
def world(place: Namespace, database: Database, processes: Processes) -> World:
    """A namespace, an account with the operator's rights, and an empty database."""
    return World(place, database, processes, place.service_account())
