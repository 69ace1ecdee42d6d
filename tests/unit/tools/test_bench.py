"""What `make bench` tells of what it measured."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from marketdata_tools.bench import claims
from marketdata_tools.bench.__main__ import main

NAME = "event published → visible in the application interface at 33,172 events/s, p99"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[float], None]:
    """Have the part `claims` measure a ratio, in an empty folder and a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def measure(ratio: float) -> None:
        row: dict[str, Any] = {
            "name": NAME,
            "ours": 1_024_384,
            "theirs": 251_710,
            "unit": "events/s",
            "ratio": ratio,
            "floor": 10.0,
            "ours_cpu_seconds_per_million": 16.2,
            "theirs_cpu_seconds_per_million": 1042.3,
        }
        monkeypatch.setattr(claims, "measure", lambda: [row])

    return measure


def test_a_ratio_below_its_floor_fails_the_run_and_is_told(
    measured: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    measured(9.99)

    assert main(["claims"]) == 1
    assert f"below its floor: {NAME}: 9.99 < 10.0" in capsys.readouterr().err


def test_the_report_is_written_and_its_table_cuts_no_word_in_80_columns(
    measured: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    measured(10.0)

    assert main(["claims"]) == 0

    shown = capsys.readouterr().out
    assert {*NAME.split(), "1,024,384", "251,710", "10.00", "16.2", "1,042"} <= set(
        shown.replace("p99,", "p99").split()
    )
    assert max(map(len, shown.splitlines())) <= 80
    report = json.loads(Path("build/bench.json").read_text())
    assert [(row["name"], row["ratio"], row["floor"]) for row in report] == [(NAME, 10.0, 10.0)]


def test_an_unknown_part_is_refused_with_the_parts_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["claim"])

    assert ended.value.code == 2
    assert "claim is no part of the benchmark; there are consumer, freshness, claims" in (
        capsys.readouterr().err
    )
