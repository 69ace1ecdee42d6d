"""docs/guides/add-a-provider.md, done as it says."""

import json
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from marketdata.errors import Misconfigured, Transient
from marketdata_poller.ports import Provider
from marketdata_poller.providers import registry
from marketdata_poller.providers.registry import InstalledProviders
from support.processes import Processes
from support.providers import OpenGate
from support.servers import ROOT
from support.yahoo import Yahoo, start

GUIDE = (ROOT / "docs/guides/add-a-provider.md").read_text()


def block(language: str, containing: str) -> str:
    """Return the guide's one code block of `language` that contains this."""
    found = re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    (one,) = (text for text in found if containing in text)
    return str(one)


class Acme(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        symbol = self.path.rpartition("=")[2]
        status, content = {
            "AAPL": (200, {"price": "231.50", "time": 1_772_452_800}),
            "BUSY": (429, {}),
            "NAN": (200, {"price": "NaN", "time": 1_772_452_800}),
        }.get(symbol, (404, {}))
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "7")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def acme_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Acme)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The worked package, written as the guide shows it."""
    folder = tmp_path / "acme-prices"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(block("toml", "acme-prices"))
    (folder / "acme_prices.py").write_text(block("python", "class AcmeProvider"))
    return folder


@pytest.fixture
def acme(package: Path, acme_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.delitem(sys.modules, "acme_prices", raising=False)
    provider = InstalledProviders(
        environ={"MARKETDATA_ACME_BASE_URL": acme_url},
        found=[EntryPoint("acme", "acme_prices:create", registry.GROUP)],
    ).get("acme")
    yield provider
    provider.close()


def test_the_worked_provider_reads_a_price_and_keeps_its_bytes(acme: Provider) -> None:
    gate = OpenGate()

    answer = acme.fetch(("AAPL",), gate=gate)

    ((quote, raw_response_id),) = answer.quotes.values()
    assert str(quote.price) == "231.50"
    assert [raw.raw_response_id for raw in answer.raws] == [raw_response_id]
    assert json.loads(answer.raws[0].body) == {"price": "231.50", "time": 1_772_452_800}
    assert (gate.passed, gate.told) == (["price"], [("price", None)])


@pytest.mark.parametrize(
    ("symbol", "reason"), [("ZZZZ", "unknown_symbol"), ("BUSY", "rate_limited"), ("NAN", "bad_response")]
)
def test_the_worked_provider_fails_as_the_contract_asks(acme: Provider, symbol: str, reason: str) -> None:
    error = acme.fetch((symbol,), gate=OpenGate()).failures[symbol]

    assert error.reason == reason
    if isinstance(error, Transient) and reason == "rate_limited":
        assert error.retry_after is not None
        assert error.retry_after.total_seconds() == 7


def test_the_worked_provider_without_its_setting_says_which_is_missing(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(package))
    found = [EntryPoint("acme", "acme_prices:create", registry.GROUP)]

    with pytest.raises(Misconfigured, match="MARKETDATA_ACME_BASE_URL"):
        InstalledProviders(environ={}, found=found).get("acme")


def test_installing_the_package_makes_the_provider_known(package: Path, tmp_path: Path) -> None:
    _, *arguments = shlex.split(block("sh", "uv pip install"))
    environment = Path(sys.executable)
    arguments[arguments.index(".venv/bin/python")] = str(environment)

    # Offline and into a folder of the test's own; else as the guide has it.
    subprocess.run(
        [environment.parent / "uv", *arguments, "--offline", "--target", tmp_path / "site"],
        cwd=package.parent,
        check=True,
        capture_output=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )

    program = (
        "from marketdata_poller.providers.registry import InstalledProviders as I\n"
        "print(*I(environ={}).names())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(tmp_path / "site")},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["acme", "alpha_vantage", "replay", "synthetic", "yfinance"]


def test_the_stand_in_is_started_and_told_what_to_do_wrong_as_shown(processes: Processes) -> None:
    shown = shlex.split(block("sh", "standins.yahoo"))
    assert shown[1:] == ["-m", "marketdata_tools.standins.yahoo", "--port", "8765"]
    yahoo: Yahoo = start(processes)

    for line in block("sh", "_control/faults").splitlines():
        command = shlex.split(line.replace("http://127.0.0.1:8765", yahoo.url))
        subprocess.run([*command, "--fail", "--silent"], check=True, capture_output=True)

    assert yahoo.answers() == []
