"""A newcomer's first hour: what README.md says to type works as it is written there."""

import json
import re
import subprocess
from functools import partial
from pathlib import Path

import pytest

from marketdata_tools.run import samples
from support.ports import free_port
from support.processes import Process, Processes
from support.servers import ROOT
from support.waiting import eventually

README = (ROOT / "README.md").read_text()


@pytest.fixture
def session(run_folder: Path, processes: Processes) -> tuple[Process, int]:
    """`make run` on a port of its own, its API up."""
    port = free_port()
    process = processes.start("marketdata_tools.run", env={"PORT": str(port), "DATA_DIR": str(run_folder)})
    eventually(lambda: _answers(port, process), within=120)
    return process, port


def _answers(port: int, process: Process) -> bool:
    assert process.is_running or process.output() == "", process.output()
    return curl(f"curl -s localhost:{port}/healthz")[0] == 0


def curl(command: str) -> tuple[int, str]:
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def documented() -> list[str]:
    """Return the README's curl commands, in order."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("curl ")]


@pytest.mark.timeout(300)  # a start, on a machine that may be busy
def test_prices_can_be_asked_for_as_the_readme_says(session: tuple[Process, int]) -> None:
    process, port = session
    commands = [command.replace("localhost:8000", f"localhost:{port}") for command in documented()]
    assert len(commands) >= 4

    accepted = json.loads(curl(commands[0])[1])
    assert accepted["status"] == "accepted"

    for command in commands[1:]:
        assert eventually(partial(_good, command), within=30), command

    process.interrupt()
    assert process.wait(120) == 0


def _good(command: str) -> dict[str, object]:
    status, body = curl(f"{command} -f")
    assert status == 0, body
    answer = json.loads(body)
    assert isinstance(answer, dict)
    return answer


def test_the_first_polling_job_of_the_readme_is_one() -> None:
    (document,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)

    (job,) = samples.read_documents(document, name="README.md", default_provider="synthetic")

    assert job.symbols == ("AAPL", "MSFT", "BRK-B")
