"""Runs a service as it ships, but dies by SIGKILL at a chosen step.

    python crash.py MODULE [--at STEP --nth N | --after-steps N | --after-seconds S] -- ARGUMENTS…

A script, not a module: the service's process imports nothing else of the tests.
"""

import argparse
import importlib
import os
import signal
import sys
import threading

KILLED = "crash: killed at step"


def _die(step: str) -> None:
    os.write(2, f"{KILLED} {step}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


class Killer:
    """Counts the steps from all threads and kills the process at the one asked for."""

    def __init__(self, *, at: str | None, nth: int, after_steps: int | None) -> None:
        self._at = at
        self._left = after_steps if at is None else nth
        self._lock = threading.Lock()

    def __call__(self, step: str) -> None:
        if self._left is None or (self._at is not None and str(step) != self._at):
            return
        with self._lock:
            self._left -= 1
            if self._left <= 0:
                _die(str(step))


def main() -> int:
    """Run the service's own `main` and return its exit code, if it gets that far."""
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("--at")
    parser.add_argument("--nth", type=int, default=1)
    parser.add_argument("--after-steps", type=int)
    parser.add_argument("--after-seconds", type=float)
    own, arguments = sys.argv[1 : sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1 :]
    asked = parser.parse_args(own)
    if asked.after_seconds is not None:
        timer = threading.Timer(asked.after_seconds, _die, ("after seconds",))
        timer.daemon = True
        timer.start()
    killer = Killer(at=asked.at, nth=asked.nth, after_steps=asked.after_steps)
    entry = importlib.import_module(f"{asked.module}.__main__")
    return int(entry.main(arguments, on_step=killer))


if __name__ == "__main__":
    sys.exit(main())
