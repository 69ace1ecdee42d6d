"""Liveness from the loops' own heartbeats, never from a dependency.

A dependency's outage must not restart processes that are doing the right thing, which is to wait.
"""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from marketdata.clock import Clock
from marketdata.errors import Misconfigured
from marketdata.telemetry.catalogue import CATALOGUE

(_AGE,) = (metric for metric in CATALOGUE if metric.name == "marketdata_heartbeat_age_seconds")


class Heartbeats:
    """When each supervised loop of a process last turned."""

    def __init__(self, clock: Clock, *, limit_seconds: float) -> None:
        """Call the process late once a loop has not turned for `limit_seconds`."""
        self._clock = clock
        self._limit = limit_seconds
        self._beats: dict[str, float] = {}

    def beat(self, loop: str) -> None:
        """Say that `loop` turned now."""
        self._beats[loop] = self._clock.monotonic()

    def forget(self, loop: str) -> None:
        """Stop watching `loop`: it ended on purpose."""
        self._beats.pop(loop, None)

    def ages(self) -> dict[str, float]:
        """Return the seconds since each loop last turned."""
        now = self._clock.monotonic()
        return {loop: now - at for loop, at in dict(self._beats).items()}

    def late(self) -> dict[str, float]:
        """Return the loops that are over the limit, with their ages."""
        return {loop: age for loop, age in self.ages().items() if age > self._limit}


class _Ages(Collector):
    """The heartbeats' ages, worked out at each scrape; a loop that ended on purpose is not in it."""

    def __init__(self, heartbeats: Heartbeats) -> None:
        self._heartbeats = heartbeats

    def collect(self) -> Iterator[GaugeMetricFamily]:
        gauge = GaugeMetricFamily(_AGE.name, _AGE.help, labels=list(_AGE.labels))
        for loop, age in self._heartbeats.ages().items():
            gauge.add_metric([loop], age)
        yield gauge


class HealthServer:
    """Answers /healthz, /readyz and /metrics on a port of its own, from a thread of its own."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        heartbeats: Heartbeats,
        registry: CollectorRegistry,
        ready: Callable[[], str | None],
    ) -> None:
        """`ready` returns None, or one sentence why not; `registry` is told the heartbeats' ages too.

        Binds at once; raises Misconfigured where the address cannot be bound.
        """

        class Handler(BaseHTTPRequestHandler):
            timeout = 5.0

            def do_GET(self) -> None:
                path = self.path.split("?", 1)[0]
                if path == "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
                elif path == "/healthz":
                    late = heartbeats.late()
                    self._json(
                        503 if late else 200, {"status": "late" if late else "ok", "loops": heartbeats.ages()}
                    )
                elif path == "/readyz":
                    why = ready()
                    self._json(503 if why else 200, {"status": why or "ok"})
                else:
                    self._json(404, {"status": "not found"})

            def _json(self, status: int, body: object) -> None:
                self._answer(status, "application/json", json.dumps(body).encode())

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Probes are not news."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise Misconfigured(
                f"MARKETDATA_METRICS_PORT: {host} port {port} cannot be used: {error.strerror or error}"
            ) from error
        registry.register(_Ages(heartbeats))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
