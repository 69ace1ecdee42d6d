"""The deployables as real processes, under a test's control.

Everything started here is ended here, by its own process group. A process that ended on its own
without the test asking how, and a stack trace in a log, fail the test at its end: nothing goes
wrong in silence.
"""

import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from support import crash
from support.faults import stand_still
from support.waiting import eventually

_CRASH = Path(crash.__file__)
_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
_TRACE = "Traceback (most recent call last)"


_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h; elsewhere there is no such thing, and a killed run leaves processes


def _end_with_us() -> None:
    """In the child: be killed when the test run itself is killed, so that nothing is left running."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


class Process:
    """One running process; its standard output and error go to `log`."""

    def __init__(self, name: str, command: Sequence[str], *, env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.asked_to_end = False
        self.may_trace = False
        inherited = {key: value for key in _PASSED_ON if (value := os.getenv(key))}  # noqa: TID251 - passed on
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                env={**inherited, "PYTHONUNBUFFERED": "1", **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_us,  # noqa: PLW1509 - one system call, bound before the fork
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        return self._popen.poll() is None

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._popen.poll()

    def output(self) -> str:
        """Return what it wrote so far."""
        return self.log.read_text(errors="replace")

    def says(self, pattern: str, *, within: float = 60.0) -> re.Match[str]:
        """Wait until its output matches `pattern`, and return the match; fails if it ends before."""

        def look() -> re.Match[str] | None:
            ended = not self.is_running
            found = re.search(pattern, self.output())
            if ended and not found:
                raise RuntimeError(f"{self.name} ended with {self.returncode}:\n{self.output()[-4000:]}")
            return found

        found = eventually(look, within=within)
        assert found is not None
        return found

    def wait(self, within: float = 30.0) -> int:
        """Return its exit code, waiting for up to `within` seconds."""
        self.asked_to_end = True
        try:
            return self._popen.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {within} s") from None

    def crashed(self, within: float = 30.0) -> None:
        """Wait for the crash that was ordered, and assert that it is what ended the process."""
        code = self.wait(within)
        assert code == -signal.SIGKILL, f"{self.name} ended with {code}, not by the crash"
        assert crash.KILLED in self.output(), f"{self.name} was killed, but not at its step"

    def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        self.wait(10)

    def terminate(self) -> None:
        """Send SIGTERM; does not wait."""
        self._signal(signal.SIGTERM)

    def interrupt(self) -> None:
        """Send SIGINT, as Ctrl-C does; does not wait."""
        self._signal(signal.SIGINT)

    def stop(self) -> None:
        """SIGSTOP, and return when it stands still, as in a long pause of its machine."""
        stand_still(psutil.Process(self.pid))

    def cont(self) -> None:
        """SIGCONT: it goes on."""
        self._popen.send_signal(signal.SIGCONT)

    def _signal(self, which: signal.Signals) -> None:
        self.asked_to_end = True
        self._popen.send_signal(which)

    def end(self) -> None:
        """End it and all it started, whatever state they are in."""
        for which in (signal.SIGCONT, signal.SIGKILL):
            try:
                os.killpg(self.pid, which)
            except ProcessLookupError:
                break
        self._popen.wait(10)


class Processes:
    """Starts processes for one test and ends them with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.started: list[Process] = []

    def start(
        self,
        module: str,
        *arguments: str,
        env: Mapping[str, str],
        crash_at: str | None = None,
        nth: int = 1,
        crash_after_steps: int | None = None,
        crash_after_seconds: float | None = None,
    ) -> Process:
        """Start `python -m module arguments…` with `env` and little else in its environment.

        With one of `crash_at` (a step, the `nth` time it is reached), `crash_after_steps` (of any
        kind) and `crash_after_seconds` the process kills itself there, as by kill -9.
        """
        orders: list[str] = []
        if crash_at is not None:
            orders = ["--at", str(crash_at), "--nth", str(nth)]
        elif crash_after_steps is not None:
            orders = ["--after-steps", str(crash_after_steps)]
        elif crash_after_seconds is not None:
            orders = ["--after-seconds", str(crash_after_seconds)]
        command = (
            [sys.executable, "-P", str(_CRASH), module, *orders, "--", *arguments]
            if orders
            else [sys.executable, "-m", module, *arguments]
        )
        return self.run(module, *command, env=env)

    def run(self, name: str, *command: str, env: Mapping[str, str]) -> Process:
        """Start any command the same way."""
        log = self._folder / f"{len(self.started):02}-{name}.log"
        process = Process(name, command, env=env, log=log)
        self.started.append(process)
        return process

    def logs(self) -> list[tuple[str, str]]:
        """Return the end of each process's output, for a report."""
        return [(f"{p.name} (pid {p.pid}, exit {p.returncode})", p.output()[-6000:]) for p in self.started]

    def end(self) -> list[str]:
        """End everything and return what went wrong unasked."""
        unasked = [
            f"{p.name} ended on its own with exit code {p.returncode}"
            for p in self.started
            if not p.is_running and not p.asked_to_end
        ]
        for process in self.started:
            process.end()
        traced = [
            f"{p.name} logged a stack trace" for p in self.started if _TRACE in p.output() and not p.may_trace
        ]
        return unasked + traced
