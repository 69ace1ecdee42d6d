# ruff: noqa: INP001 - mounted into a pod as it is
"""Runs a command, and runs it anew whenever a Python file below a folder changes.

For `skaffold dev` only, mounted by the chart's `development.hotReload`: the process inside stops as
it would in a rollout, and the pod stays. A command that ends by itself is run again at the next
change, so that a typo costs no crash loop.

    python reload.py FOLDER COMMAND…
"""

import queue
import signal
import subprocess
import sys
from pathlib import Path

PAUSE_SECONDS = 0.5
GRACE_SECONDS = 20.0


def seen(folder: Path) -> dict[str, float]:
    """Return when each file was last changed."""
    times = {}
    for path in folder.rglob("*.py"):
        try:
            times[str(path)] = path.stat().st_mtime
        except FileNotFoundError:
            continue  # replaced this moment; the next look sees it
    return times


def end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def told_to_end(asked: "queue.SimpleQueue[int]") -> bool:
    """Wait a moment for it."""
    try:
        asked.get(timeout=PAUSE_SECONDS)
    except queue.Empty:
        return False
    return True


def main(folder: Path, command: list[str]) -> None:
    asked: queue.SimpleQueue[int] = queue.SimpleQueue()  # which a handler may put into at any moment
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: asked.put(number))
    before = seen(folder)
    process = subprocess.Popen(command)  # noqa: S603 - the chart says what to run
    while not told_to_end(asked):
        now = seen(folder)
        if now != before:
            sys.stdout.write("the code has changed: starting anew\n")
            sys.stdout.flush()
            end(process)
            before, process = now, subprocess.Popen(command)  # noqa: S603
    end(process)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
