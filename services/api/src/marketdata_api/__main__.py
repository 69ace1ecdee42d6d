"""`python -m marketdata_api`: serve the API until SIGTERM."""

import argparse
import errno
import sys
from collections.abc import Sequence

from marketdata.clock import SystemClock
from marketdata.errors import Misconfigured
from marketdata.steps import StepObserver, unobserved
from marketdata.telemetry import logs, tracing
from marketdata_api import server
from marketdata_api.app import create_app
from marketdata_api.connection import ConnectionLimits
from marketdata_api.settings import read
from marketdata_api.tracing import traced
from marketdata_api.wiring import wire

_TRACES_SECONDS = 2.0


def main(argv: Sequence[str] | None = None, *, on_step: StepObserver = unobserved) -> int:  # noqa: ARG001
    """Return 0 after a clean stop, 2 with one sentence on standard error where it cannot start.

    `on_step` is every service's; the API orders no effects, each of its writes is one transaction.
    """
    argparse.ArgumentParser(prog="python -m marketdata_api", description=__doc__).parse_args(argv)
    try:
        settings = read()
        logs.configure(level=settings.process.log_level, style=settings.process.log_format, service="api")
        try:
            listener = server.listen(settings.api.host, settings.api.port)
        except OSError as error:
            # A name that does not resolve has no errno of the system's.
            at_fault = "PORT" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "HOST"
            sys.stderr.write(
                f"MARKETDATA_API_{at_fault}: {settings.api.host} port {settings.api.port} cannot be used: "
                f"{error.strerror or error}\n"
            )
            return 2
        wired = wire(settings, SystemClock())
    except Misconfigured as error:
        sys.stderr.write(f"{error}\n")
        return 2
    traces = tracing.start("api", settings.traces)
    host, port = listener.getsockname()[:2]
    logs.get("main").info("listening", host=host, port=port, metrics_port=wired.health.port)
    wired.health.start()
    server.serve(
        traced(create_app(wired.dependencies), traces),
        listener,
        wired.heartbeats,
        limits=ConnectionLimits(
            max_connections=settings.api.max_connections,
            receive_seconds=settings.api.receive_seconds,
            send_seconds=settings.api.send_seconds,
            keep_alive_seconds=settings.api.keep_alive_seconds,
        ),
        shutdown_seconds=settings.api.shutdown_seconds,
    )
    wired.health.stop()
    traces.close(within_seconds=_TRACES_SECONDS)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
