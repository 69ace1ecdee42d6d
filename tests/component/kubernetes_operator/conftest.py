"""The operator as it ships, between a stand-in for the Kubernetes API and a real Postgres."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from support.kubernetes import Cluster, kubernetes
from support.ports import free_port
from support.processes import Process, Processes
from support.servers import Database
from support.waiting import eventually

SEED = {"symbols": ["AAPL", "MSFT"], "interval": 60, "provider": "synthetic"}


@dataclass
class World:
    """One cluster, one database, and operators between them."""

    cluster: Cluster
    database: Database
    processes: Processes
    folder: Path
    metrics_port: int = 0

    def operator(
        self, *, kubeconfig: Path | None = None, database_url: str | None = None, **more: Any
    ) -> Process:
        """Start an operator that sweeps each second; `more` are settings, or orders to crash."""
        orders = {key: more.pop(key) for key in list(more) if key.startswith(("crash", "nth"))}
        self.metrics_port = free_port()
        return self.processes.start(
            "marketdata_operator",
            env={
                "KUBECONFIG": str(kubeconfig or self.cluster.kubeconfig(self.folder)),
                "DATABASE_URL": database_url or self.database.url,
                "MARKETDATA_METRICS_HOST": "127.0.0.1",
                "MARKETDATA_METRICS_PORT": str(self.metrics_port),
                "MARKETDATA_OPERATOR_NAMESPACES": "default",
                "MARKETDATA_OPERATOR_RELEASE": "demo",
                "MARKETDATA_OPERATOR_SWEEP_SECONDS": "1",
                "MARKETDATA_OPERATOR_STATUS_WRITES_PER_SECOND": "500",
                **{key: str(value) for key, value in more.items()},
            },
            **orders,
        )

    def watching(self, **more: Any) -> Process:
        """Start an operator that never sweeps again, and wait until it follows the watch."""
        before = self.cluster.requests["watch"]  # before it starts: its first watch is the one waited for
        process = self.operator(**{"MARKETDATA_OPERATOR_SWEEP_SECONDS": 3600, **more})
        eventually(lambda: self.cluster.requests["watch"] > before, within=60)
        return process

    def make(self, count: int, **spec: Any) -> None:
        """Apply `count` objects."""
        for number in range(count):
            self.cluster.apply(f"job-{number:03}", {**SEED, **spec})

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

    def condition(self, name: str, kind: str = "Ready") -> tuple[str, str] | None:
        """Return a condition's status and reason, None where there is none."""
        conditions = self.cluster.get(name).get("status", {}).get("conditions", ())
        return next(((each["status"], each["reason"]) for each in conditions if each["type"] == kind), None)

    def health(self, path: str) -> int:
        return httpx.get(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=30).status_code

    def metric(self, name: str, labels: str = "") -> float:
        """Return one sample of the operator's metrics; nought where there is none yet."""
        text = httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=30).text
        wanted = f"marketdata_operator_{name}{labels} "
        return next(
            (float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(wanted)), 0.0
        )


@pytest.fixture
def world(database: Database, processes: Processes, tmp_path: Path) -> Iterator[World]:
    """An empty cluster and an empty database."""
    with kubernetes() as cluster:
        yield World(cluster, database, processes, tmp_path)
