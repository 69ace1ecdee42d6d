"""`python -m marketdata_operator`: reconcile PollingJobs until SIGTERM."""

import argparse
import sys
import threading
from collections.abc import Sequence
from functools import partial

from marketdata.clock import SystemClock
from marketdata.errors import Misconfigured
from marketdata.steps import StepObserver, unobserved
from marketdata.stopping import stop_on_signals
from marketdata.telemetry import logs, tracing
from marketdata_operator.settings import read
from marketdata_operator.wiring import Loop, Wired, wire

# Within a pod's usual 30 s, and longer than any call of a loop that is being stopped.
_GRACE_SECONDS = 20.0
_TRACES_SECONDS = 2.0


def main(argv: Sequence[str] | None = None, *, on_step: StepObserver = unobserved) -> int:
    """Return 0 after a clean stop, 1 where a loop died or hangs.

    Returns 2, with one sentence on standard error, where it cannot start.
    """
    argparse.ArgumentParser(prog="python -m marketdata_operator", description=__doc__).parse_args(argv)
    try:
        settings = read()
        process = settings.process
        logs.configure(level=process.log_level, style=process.log_format, service="operator")
        wired = wire(settings, SystemClock(), on_step, tracing.start("operator", settings.traces))
    except Misconfigured as error:
        sys.stderr.write(f"{error}\n")
        return 2
    stop = threading.Event()
    stop_on_signals(stop)
    wired.health.start()
    logs.get("main").info(
        "reconciling",
        release=settings.operator.release,
        namespaces=settings.operator.namespaces,
        metrics_port=wired.health.port,
    )
    code = _run(wired, stop)
    wired.health.stop()
    wired.traces.close(within_seconds=_TRACES_SECONDS)
    return code


def _run(wired: Wired, stop: threading.Event) -> int:
    """Run the loops until `stop` is set or one of them dies."""
    died = threading.Event()
    threads = [
        threading.Thread(
            target=_supervised,
            args=(name, loop, partial(wired.heartbeats.beat, name), stop, died),
            name=name,
            daemon=True,
        )
        for name, loop in wired.loops.items()
    ]
    for thread in threads:
        thread.start()
    stop.wait()
    wired.board.changed.set()  # the reconciler may be waiting on it
    clock = SystemClock()
    until = clock.monotonic() + _GRACE_SECONDS
    for thread in threads:
        thread.join(max(0.0, until - clock.monotonic()))
    hanging = [thread.name for thread in threads if thread.is_alive()]
    if hanging:
        logs.get("main").error("loops did not stop", loops=hanging)
    else:
        wired.api_server.close()
        logs.get("main").info("stopped")
    return 1 if died.is_set() or hanging else 0


def _supervised(
    name: str, loop: Loop, beat: partial[None], stop: threading.Event, died: threading.Event
) -> None:
    """Run `loop`; its unexpected end ends the process, which is then started anew."""
    beat()
    try:
        loop(stop, beat)
    except Exception:  # noqa: BLE001 - whatever it is, it is logged whole and ends the process
        logs.get("main").exception("loop died", loop=name)
        died.set()
    finally:
        stop.set()


if __name__ == "__main__":
    raise SystemExit(main())
