"""`make run` as a person meets it: a real launcher, real servers, the deployables as they ship."""

import json
import os
import re
import signal
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
import redis

from marketdata_tools.embedded.process import is_alive, is_listening
from support.ports import free_port
from support.processes import Process, Processes
from support.servers import Database, Kafka
from support.slowness import slowness
from support.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # up to two starts, on a machine that may be busy

# When to give up, in seconds; what a run promises about its start is held against its own words.
STARTING, ENDING = 120, 120
FIRST_PRICE = r"first price after (\d+\.\d) s: (\S+) "


@dataclass
class Launch:
    """One start of the launcher."""

    process: Process
    port: int
    data_dir: Path

    def get(self, path: str) -> Any:
        """Return the JSON that the API serves under `path`; fails for anything but 200."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return json.load(response)
        except OSError as error:
            raise AssertionError(f"GET {path}: {error}") from None

    def first_price(self) -> float:
        """Wait for the first price, and return after how many seconds the launcher says it came."""
        return float(self.process.says(FIRST_PRICE, within=STARTING)[1])

    def children(self) -> list[psutil.Process]:
        """Return every process that it started, directly or not."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, module: str) -> psutil.Process:
        """Return the one process that it started to run this module."""
        (found,) = (child for child in self.children() if module in _command(child))
        return found

    def assert_nothing_is_left(self, children: list[psutil.Process]) -> None:
        assert [child for child in children if is_alive(child)] == []
        assert not is_listening(self.port)
        assert not (self.data_dir / "postgres" / "data" / "postmaster.pid").exists()
        assert list(self.data_dir.glob("processes-*")) == []


def _command(process: psutil.Process) -> list[str]:
    """Return how it was called; nothing once it has ended, as backends of a database do at any time."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


class Launcher:
    """Starts launchers on one folder."""

    def __init__(self, processes: Processes, data_dir: Path) -> None:
        self._processes = processes
        self.data_dir = data_dir

    def start(self, **environ: str) -> Launch:
        port = int(environ.get("PORT") or free_port())
        settings = {"PORT": str(port), "DATA_DIR": str(self.data_dir), **environ}
        process = self._processes.start("marketdata_tools.run", env=settings)
        return Launch(process, port, self.data_dir)


@pytest.fixture
def launcher(run_folder: Path, processes: Processes) -> Launcher:
    return Launcher(processes, run_folder)


def test_a_price_is_served_within_seconds_everything_ends_and_the_next_start_finds_its_data(
    launcher: Launcher,
) -> None:
    first = launcher.start()
    seconds = first.first_price()
    served = eventually(lambda: first.get("/prices/latest?symbol=AAPL&provider=synthetic"), within=20)
    eventually(lambda: first.get("/prices/average?symbol=AAPL&provider=synthetic"), within=20)
    children = first.children()

    assert seconds <= 10 * slowness()
    assert f"http://127.0.0.1:{first.port}/docs" in first.process.output()
    first.process.terminate()
    assert first.process.wait(ENDING) == 0
    first.assert_nothing_is_left(children)

    second = launcher.start()
    second.first_price()
    again = eventually(lambda: second.get("/prices/latest?symbol=AAPL&provider=synthetic"), within=20)
    assert again["timestamp"] >= served["timestamp"]
    history = second.get("/prices/history?symbol=AAPL&provider=synthetic")["data"]
    assert served["raw_response_id"] in {point["raw_response_id"] for point in history}
    eventually(lambda: second.get("/prices/ledger")["balanced"], within=20)

    children = second.children()
    second.process.interrupt()
    assert second.process.wait(ENDING) == 0
    second.assert_nothing_is_left(children)


def test_ctrl_c_in_the_shell_reaches_the_launcher_alone_and_it_ends_the_rest_in_order(
    launcher: Launcher,
) -> None:
    launch = launcher.start()
    launch.first_price()
    children = launch.children()

    os.killpg(launch.process.pid, signal.SIGINT)

    assert launch.process.wait(ENDING) == 0
    launch.assert_nothing_is_left(children)
    stopped = [json.loads(line) for log in ("poller", "consumer") for line in _lines(launch, log)]
    assert [line["service"] for line in stopped if line["event"] == "stopped"] == ["poller", "consumer"]


def _lines(launch: Launch, log: str) -> list[str]:
    return (launch.data_dir / "logs" / f"{log}.log").read_text().splitlines()


def test_a_log_that_grew_over_days_is_cut_while_its_process_runs(launcher: Launcher) -> None:
    launch = launcher.start()
    launch.first_price()
    log = launch.data_dir / "logs" / "poller.log"
    os.truncate(log, 17 * 1024 * 1024)  # a hole, as long as days of lines

    eventually(lambda: log.stat().st_size < 1024 * 1024, within=20)
    eventually(lambda: "polled" in log.read_text(encoding="utf-8"), within=30)
    beside = log.with_name("poller.log.before").read_text(encoding="utf-8")
    assert json.loads(beside.splitlines()[0])["service"] == "poller"
    launch.process.terminate()
    assert launch.process.wait(ENDING) == 0


def test_a_killed_launcher_leaves_nothing_running_and_the_next_one_starts(launcher: Launcher) -> None:
    launch = launcher.start()
    launch.first_price()
    children = launch.children()

    launch.process.kill()

    eventually(lambda: not any(is_alive(child) for child in children), within=ENDING)
    launch.assert_nothing_is_left(children)
    again = launcher.start()
    again.first_price()
    again.process.terminate()
    assert again.process.wait(ENDING) == 0


def test_what_a_killed_launcher_and_its_killed_guardian_left_is_ended_by_the_next_start(
    launcher: Launcher,
) -> None:
    launch = launcher.start()
    launch.first_price()
    children = launch.children()
    guardian, api = launch.child("marketdata_tools.run.guardian"), launch.child("marketdata_api")
    guardian.kill()
    launch.process.kill()
    assert is_alive(api)

    again = launcher.start(PORT=str(launch.port))
    again.first_price()

    assert [child for child in children if is_alive(child)] == []
    again.process.terminate()
    assert again.process.wait(ENDING) == 0


def test_a_part_that_dies_ends_the_run_and_is_named_with_its_last_words(launcher: Launcher) -> None:
    launch = launcher.start()
    launch.first_price()
    children = launch.children()
    consumer = launch.child("marketdata_consumer")

    consumer.kill()

    assert launch.process.wait(ENDING) == 1
    assert re.search(r"consumer was killed by SIGKILL; \S*consumer\.log ends with", launch.process.output())
    launch.assert_nothing_is_left(children)


def test_servers_that_are_named_are_used_and_left_running(
    launcher: Launcher, database: Database, redis_url: str, kafka: Kafka
) -> None:
    launch = launcher.start(DATABASE_URL=database.url, REDIS_URL=redis_url, **kafka.env())
    launch.first_price()
    programs = {Path(child.exe()).name for child in launch.children()}

    launch.process.terminate()

    assert launch.process.wait(ENDING) == 0
    assert not programs & {"postgres", "valkey-server"}
    assert not (launch.data_dir / "postgres").exists()
    with psycopg2.connect(database.url) as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from price_points")
        assert cursor.fetchone() != (0,)
    connection.close()
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys("latest_price_*")


_ON_A_TERMINAL = """
import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))
"""
_PRICE = re.compile(r"AAPL +synthetic +\d")
_OTHER_SCREEN, _SCREEN_OF_BEFORE = "\x1b[?1049h", "\x1b[?1049l"


def _words(output: str) -> str:
    """Return the output without what moves the cursor and colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output)


def test_on_a_terminal_the_table_lives_and_leaves_the_screen_as_it_was(
    launcher: Launcher, processes: Processes
) -> None:
    environ = {
        "PORT": str(free_port()), "DATA_DIR": str(launcher.data_dir),
        "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", "NO_COLOR": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "marketdata_tools.run"]
    terminal = processes.run("terminal", sys.executable, "-c", _ON_A_TERMINAL, *command, env=environ)
    terminal.says(FIRST_PRICE, within=STARTING)
    eventually(lambda: terminal.output().count(" Market data") >= 4, within=30)
    eventually(lambda: _PRICE.search(_words(terminal.output())), within=30)
    eventually(lambda: "ledger balanced" in terminal.output(), within=30)
    (process,) = psutil.Process(terminal.pid).children()

    process.terminate()

    assert terminal.wait(ENDING) == 0
    before, _, rest = terminal.output().partition(_OTHER_SCREEN)
    table, _, after = rest.partition(_SCREEN_OF_BEFORE)
    assert _PRICE.search(_words(table))
    assert "average 5" in table
    assert "ledger balanced" in table
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", table), "NO_COLOR is there"
    assert "Market data starts" in before
    assert "ended in" in after


def test_closing_the_terminal_ends_everything(launcher: Launcher) -> None:
    launch = launcher.start()
    launch.first_price()
    children = launch.children()

    os.kill(launch.process.pid, signal.SIGHUP)

    assert launch.process.wait(ENDING) == 0
    launch.assert_nothing_is_left(children)


def test_yahoos_stand_in_is_polled_by_the_real_library(launcher: Launcher) -> None:
    launch = launcher.start(YAHOO="standin")
    launch.first_price()

    quote = eventually(lambda: launch.get("/prices/latest?symbol=VOD.L&provider=yfinance"), within=30)

    assert quote["currency"] == "GBP"
    launch.process.terminate()
    assert launch.process.wait(ENDING) == 0


def test_a_taken_port_is_told_in_one_line_before_anything_starts(launcher: Launcher, redis_url: str) -> None:
    taken = re.search(r":(\d+)/", redis_url)
    assert taken is not None

    launch = launcher.start(PORT=taken[1])

    assert launch.process.wait(STARTING) == 1
    assert launch.process.output() == (
        f"port {taken[1]} is taken; stop what listens there, or choose another with PORT=\n"
    )
    assert not (launcher.data_dir / "postgres").exists()


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"PORT": "http"}, "PORT is 'http'; give a number from 1 to 65535\n"),
        ({"YAHOO": "real"}, "YAHOO is 'real'; the one value it takes is standin\n"),
        ({"REDIS_URL": "cache"}, "REDIS_URL is not of the form redis://HOST:PORT/0\n"),
        (
            {"KAFKA_BOOTSTRAP_SERVERS": "x:99999"},
            "KAFKA_BOOTSTRAP_SERVERS has 'x:99999', whose port is not a number from 1 to 65535\n",
        ),
        (
            {"MARKETDATA_SEDE": "7"},
            "MARKETDATA_SEDE is not a setting of this process; see docs/reference/settings.md\n",
        ),
        (
            {"MARKETDATA_SYNTHETIC_SEDE": "7"},
            "MARKETDATA_SYNTHETIC_SEDE is not a setting of this process; see docs/reference/settings.md\n",
        ),
        (
            {"MARKETDATA_CONSUMER_BATCH_SIZE": "0"},
            "MARKETDATA_CONSUMER_BATCH_SIZE: Input should be greater than or equal to 1\n",
        ),
    ],
)
def test_a_malformed_setting_is_told_in_one_line(
    processes: Processes, tmp_path: Path, environ: dict[str, str], sentence: str
) -> None:
    process = processes.start("marketdata_tools.run", env={"DATA_DIR": str(tmp_path / "data"), **environ})

    assert process.wait(STARTING) == 2
    assert process.output() == sentence
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("folder", ["/proc/nowhere", "/sys/nowhere", "/dev/null"])
def test_a_folder_that_cannot_be_used_is_told_in_one_line(processes: Processes, folder: str) -> None:
    process = processes.start("marketdata_tools.run", env={"DATA_DIR": folder})

    assert process.wait(STARTING) == 1
    (line,) = process.output().splitlines()
    assert line.startswith(f"folder {folder} cannot be used: ")
    assert line.endswith("; choose another with DATA_DIR=")


def test_one_folder_has_one_launcher_at_a_time(launcher: Launcher) -> None:
    first = launcher.start()
    first.process.says("PostgreSQL ")

    second = launcher.start()

    assert second.process.wait(STARTING) == 1
    assert (
        second.process.output()
        == f"another `make run` uses {launcher.data_dir}; end it, or give another DATA_DIR\n"
    )
    first.process.terminate()
    assert first.process.wait(ENDING) == 0


def test_what_a_process_alone_can_know_is_wrong_ends_the_run_with_its_sentence(launcher: Launcher) -> None:
    launch = launcher.start(MARKETDATA_POLLER_PROVIDERS="nosuch")

    assert launch.process.wait(STARTING) == 1
    assert "poller ended with exit status 2" in launch.process.output()
    assert "MARKETDATA_POLLER_PROVIDERS: nosuch is not installed" in launch.process.output()
