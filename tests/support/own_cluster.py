"""The one-node cluster beside this repository, whose parts a test may stop."""

import os
import re
import signal
import subprocess

from support.servers import ROOT

COMMAND = ROOT.parent / "shared" / "cluster" / "cluster"


def kill(component: str) -> None:
    """Kill -9 a part of the cluster, such as kube-apiserver."""
    found = re.search(rf"^{re.escape(component)} +(\d+)$", _run("status"), re.MULTILINE)
    assert found, f"{component} does not run"
    os.kill(int(found[1]), signal.SIGKILL)


def up() -> None:
    """Start what is missing, on its data; block until the cluster answers."""
    _run("up")


def _run(*arguments: str) -> str:
    done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
