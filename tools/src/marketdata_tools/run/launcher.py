"""One run of the whole service: servers, schema, jobs, services; watched, shown and ended.

Whatever happens in between, all that was started is ended: on a signal, on an error, on the death
of a part. If this process itself is killed, its guardian does that.
"""

import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

from rich.console import Console

from marketdata.domain.job import PollingJob
from marketdata_tools.embedded.process import LOOPBACK, Child, free_port
from marketdata_tools.run import folder, plain, roster, samples, servers, services
from marketdata_tools.run.crew import Crew, Fallen
from marketdata_tools.run.feed import ApiFeed
from marketdata_tools.run.folder import CannotRun
from marketdata_tools.run.jobs import prepare
from marketdata_tools.run.readings import Reading
from marketdata_tools.run.screen import LiveTable, PlainLines, Screen, can_be_live, shown_path
from marketdata_tools.run.settings import REPOSITORY, RunSettings
from marketdata_tools.run.stopping import Stopping
from marketdata_tools.run.view import Heading

_REFRESH_SECONDS = 1.0
_IMPATIENT_SECONDS = 0.1  # between two looks until there is a first price
_PATIENCE_SECONDS = 10.0  # within which the first price is promised
_SAMPLES = REPOSITORY / "k8s" / "samples"
_YAHOO = "yahoo stand-in"
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - a person may say so; it can be bound, not connected to


class Launcher:
    """One run; `run` is called once."""

    def __init__(
        self,
        *,
        settings: RunSettings,
        environ: Mapping[str, str],
        console: Console,
        stopping: Stopping,
    ) -> None:
        """Start nothing yet; `stopping` ends the run."""
        self._settings = settings
        self._environ = environ
        self._console = console
        self._stopping = stopping
        self._host = environ.get("MARKETDATA_API_HOST") or LOOPBACK
        self._services_started_at = 0.0
        self._first_price_seconds: float | None = None

    def run(self) -> int:
        """Return 0 when it was asked to end, 1 when a part ended on its own.

        Raises CannotRun or Misconfigured before anything is started, RuntimeError for a server that
        does not start, MarketDataError for a document or a database that cannot be used.
        """
        jobs = self._read_jobs()
        self._refuse_what_a_service_would()
        folder.make(self._settings.data_dir, logs=self._settings.logs)
        with ExitStack() as stack:
            self._take_folder(stack)
            self._refuse_taken_port()
            self._put_old_logs_aside()
            on_spawn = self._guard(stack)
            crew = Crew(logs=self._settings.logs, on_spawn=on_spawn, stopping=self._stopping)
            stack.callback(self._end, crew)
            return self._run(crew, jobs, on_spawn)

    def _read_jobs(self) -> list[PollingJob]:
        return samples.read_folder(self._samples, default_provider=self._default_provider)

    @property
    def _samples(self) -> Path:
        return _SAMPLES / "yahoo" if self._settings.yahoo_standin else _SAMPLES

    @property
    def _default_provider(self) -> str:
        usual = "yfinance" if self._settings.yahoo_standin else "synthetic"
        return self._environ.get("MARKETDATA_DEFAULT_PROVIDER") or usual

    @property
    def _address(self) -> str:
        return f"http://{LOOPBACK if self._host == _EVERYWHERE else self._host}:{self._settings.port}"

    def _take_folder(self, stack: ExitStack) -> None:
        stack.callback(folder.lock(self._settings.data_dir).release)

    def _refuse_what_a_service_would(self) -> None:
        own = {**servers.to_be(self._settings).variables(), **self._wishes()}
        services.check(services.environments(services.SERVICES, outer=self._environ, own=own))

    def _refuse_taken_port(self) -> None:
        roster.end_leftovers(self._settings.data_dir)  # one of them may hold the port
        port = self._settings.port
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # only listeners count
            try:
                probe.bind((self._host, port))
                probe.listen()
            except OSError as error:
                message = f"port {port} of {self._host} cannot be used: {error.strerror}"
                if error.errno == errno.EADDRINUSE:
                    message = f"port {port} is taken; stop what listens there, or choose another with PORT="
                raise CannotRun(message) from None

    def _put_old_logs_aside(self) -> None:
        for log in self._settings.logs.glob("*.log"):
            log.replace(log.with_suffix(".log.before"))

    def _guard(self, stack: ExitStack) -> Callable[[int], None]:
        watched = roster.roster_of(self._settings.data_dir, os.getpid())
        guardian = Child(
            [sys.executable, "-m", "marketdata_tools.run.guardian", watched.path],
            log=self._settings.logs / "guardian.log",
            piped=True,
        )
        stack.callback(guardian.release)
        stack.callback(watched.remove)
        return watched.add

    def _run(self, crew: Crew, jobs: Sequence[PollingJob], on_spawn: Callable[[int], None]) -> int:
        settings = self._settings
        self._say(f"Market data starts; its data and logs are in {shown_path(settings.data_dir)}")
        addresses = servers.start(settings, crew, on_spawn=on_spawn)
        for name, address in (
            ("PostgreSQL", addresses.database_url),
            ("Redis", addresses.redis_url),
            ("Kafka", f"//{addresses.kafka_bootstrap_servers}"),
        ):
            self._tell(name, servers.shown(address))
        if self._stopping.is_asked:
            return 0
        counts = prepare(addresses.database_url, jobs)
        retired = f", {counts.retired} retired" if counts.retired else ""
        self._tell("jobs", f"{len(jobs)} of {shown_path(self._samples)}{retired}")
        self._start_services(crew, addresses.variables())
        self._tell("API", f"{self._address}   Swagger {self._address}/docs")
        return self._watch(crew)

    def _start_services(self, crew: Crew, addresses: Mapping[str, str]) -> None:
        own = {**addresses, **self._wishes()}
        if self._settings.yahoo_standin:
            port = free_port()
            crew.start_service(
                _YAHOO, "marketdata_tools.standins.yahoo", "--port", str(port), environ=self._environ
            )
            own["MARKETDATA_YFINANCE_BASE_URL"] = f"http://{LOOPBACK}:{port}"
            self._tell("Yahoo", f"{LOOPBACK}:{port}, a stand-in")
        environments = services.environments(services.SERVICES, outer=self._environ, own=own)
        self._services_started_at = monotonic()
        for service in services.SERVICES:
            metrics = str(free_port())
            environ = {"MARKETDATA_METRICS_PORT": metrics, **environments[service.name]}
            crew.start_service(service.name, service.module, environ=environ)
            self._tell(service.name, f"metrics at {LOOPBACK}:{environ['MARKETDATA_METRICS_PORT']}/metrics")

    def _wishes(self) -> dict[str, str]:
        return {
            "MARKETDATA_API_HOST": self._host,
            "MARKETDATA_API_PORT": str(self._settings.port),
            "MARKETDATA_METRICS_HOST": LOOPBACK,
            "MARKETDATA_DEFAULT_PROVIDER": self._default_provider,
            "MARKETDATA_YFINANCE_CACHE_DIR": str(self._settings.data_dir / "yfinance"),
        }

    def _watch(self, crew: Crew) -> int:
        feed = ApiFeed(LOOPBACK if self._host == _EVERYWHERE else self._host, self._settings.port)
        screen: Screen = PlainLines(self._say)
        is_shown = False
        last = "ended before there was a price"
        try:
            while not self._stopping.wait(_REFRESH_SECONDS if is_shown else _IMPATIENT_SECONDS):
                fallen = crew.fallen()
                if fallen is not None:
                    screen.close()
                    return self._report(fallen)
                crew.bound_logs()
                reading = feed.read(most=screen.most())
                self._note_first_price(reading)
                if not is_shown and self._is_time_to_show():
                    is_shown = True
                    if can_be_live(sys.stdout, self._environ):
                        screen = LiveTable(self._console, self._heading)
                if is_shown:
                    screen.show(reading)
                    last = plain.totals(reading)
            screen.close()
            self._say(last)
            return 0
        finally:
            screen.close()
            feed.close()

    def _note_first_price(self, reading: Reading) -> None:
        if reading.prices and self._first_price_seconds is None:
            self._first_price_seconds = monotonic() - self._services_started_at
            first = min(reading.prices.values(), key=lambda price: price.age_seconds)
            self._say(f"first price after {self._first_price_seconds:.1f} s: {plain.price_line(first)}")

    def _is_time_to_show(self) -> bool:
        if self._first_price_seconds is not None:
            return True
        if monotonic() - self._services_started_at < _PATIENCE_SECONDS:
            return False
        self._say(f"no price after {_PATIENCE_SECONDS:.0f} s; the logs tell why")
        return True

    def _heading(self) -> Heading:
        return Heading(
            address=self._address,
            up_seconds=int(monotonic() - self._services_started_at),
            first_price_seconds=self._first_price_seconds,
            logs=shown_path(self._settings.logs),
        )

    def _report(self, fallen: Fallen) -> int:
        how = f"ended with exit status {fallen.status}"
        if fallen.status < 0:
            how = f"was killed by {signal.Signals(-fallen.status).name}"
        self._say(f"{fallen.name} {how}; {shown_path(fallen.log)} ends with")
        for line in fallen.last_words.splitlines():
            self._say(f"  {line}")
        return 1

    def _end(self, crew: Crew) -> None:
        started_at = monotonic()
        self._say("ending; again Ctrl-C hurries")
        crew.end()
        stays = shown_path(self._settings.data_dir)
        self._say(f"ended in {monotonic() - started_at:.1f} s; the data stays in {stays}")

    def _tell(self, name: str, words: str) -> None:
        self._say(f"  {name:<14} {words}")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
