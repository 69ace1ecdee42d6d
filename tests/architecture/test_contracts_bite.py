"""Every import contract is seen failing, in a copy with one violation seeded.

A rule that is never seen failing rots: a renamed module or a changed option makes it say yes to
everything.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.servers import ROOT

LIBRARY = "libs/marketdata/src/marketdata"
API = "services/api/src/marketdata_api"
POLLER = "services/poller/src/marketdata_poller"
CONSUMER = "services/consumer/src/marketdata_consumer"
OPERATOR = "operator/src/marketdata_operator"

VIOLATIONS = [
    ("directions", f"{LIBRARY}/clock.py", "import marketdata_api"),
    ("directions", f"{API}/ports.py", "import marketdata_poller.ports"),
    ("directions", f"{CONSUMER}/ports.py", "import marketdata_tools"),
    ("library", f"{LIBRARY}/utils.py", ""),
    ("library", f"{LIBRARY}/errors.py", "import marketdata.settings"),
    ("library", f"{LIBRARY}/storage/ledger.py", "import marketdata.cache.latest"),
    ("api", f"{API}/helpers.py", ""),
    ("api", f"{API}/ports.py", "import marketdata_api.wiring"),
    ("poller", f"{POLLER}/common.py", ""),
    ("poller", f"{POLLER}/ports.py", "import marketdata_poller.wiring"),
    ("consumer", f"{CONSUMER}/manager.py", ""),
    ("consumer", f"{CONSUMER}/ports.py", "import marketdata_consumer.wiring"),
    ("operator", f"{OPERATOR}/helpers.py", ""),
    ("operator", f"{OPERATOR}/plan.py", "import marketdata_operator.reconciler"),
    ("pure", f"{LIBRARY}/domain/schedule.py", "import time"),
    ("pure", f"{LIBRARY}/messages/latest.py", "import marketdata.telemetry.logs"),
    ("decisions", f"{POLLER}/plan.py", "import logging"),
    ("decisions", f"{CONSUMER}/fold.py", "import marketdata.telemetry.logs"),
    ("decisions", f"{OPERATOR}/conditions.py", "import kopf"),
    ("sql", f"{LIBRARY}/cache/latest.py", "import sqlalchemy"),
    ("sql", f"{API}/store.py", "import psycopg2"),
    ("kafka", f"{CONSUMER}/loop.py", "import confluent_kafka"),
    ("redis", f"{API}/latest.py", "import redis.asyncio"),
    ("traces", f"{POLLER}/relay.py", "import opentelemetry.trace"),
    ("api-image", f"{API}/latest.py", "import marketdata.streaming.producer"),
    ("poller-image", f"{POLLER}/cycle.py", "import marketdata.cache.latest"),
    ("operator-image", f"{OPERATOR}/reporter.py", "import marketdata.streaming.accounts"),
    ("kubernetes", f"{API}/store.py", "import lightkube"),
    ("tests-stay-out", f"{LIBRARY}/clock.py", "import support.waiting"),
    ("acyclic", f"{LIBRARY}/domain/symbol.py", "import marketdata.domain.job"),
]


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the sources and of the contracts, with a cache of its own."""

    folder: Path

    def lint(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        paths = [
            str(path) for path in sorted(self.folder.glob("*/*/src")) + sorted(self.folder.glob("*/src"))
        ]
        return subprocess.run(
            [Path(sys.executable).parent / "lint-imports", "--cache-dir", ".cache", *arguments],
            cwd=self.folder,
            env={"PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    folder = tmp_path_factory.mktemp("copy")
    for source in (*ROOT.glob("*/*/src"), *ROOT.glob("*/src")):
        shutil.copytree(
            source,
            folder / source.relative_to(ROOT),
            ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
        )
    shutil.copy(ROOT / "pyproject.toml", folder)
    return Copy(folder)


def test_the_code_keeps_every_contract(copy: Copy) -> None:
    done = copy.lint()

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("contract", "file", "line"), VIOLATIONS)
def test_a_violation_breaks_its_contract(copy: Copy, contract: str, file: str, line: str) -> None:
    path = copy.folder / file
    before = path.read_text() if path.exists() else None
    if before is None:
        assert not line, f"{file} is to be seeded and is not there"
    path.write_text((before or "") + f"\n{line}\n")
    try:
        done = copy.lint("--contract", contract)
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_text(before)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 broken" in done.stdout


def test_every_contract_has_a_violation_here() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]

    assert {contract["id"] for contract in contracts} == {contract for contract, _, _ in VIOLATIONS}
