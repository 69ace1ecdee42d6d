"""`python -m marketdata_consumer`: consume until SIGTERM or SIGINT, then exit 0.

`python -m marketdata_consumer lag-exporter` consumes nothing and tells how far the consumers are behind.

Exit codes: 0 stopped as asked, 1 beyond help (a restart may be), 2 a setting is missing or malformed.
"""

import gc
import sys
import threading
from collections.abc import Sequence

from marketdata.errors import Misconfigured, SchemaMismatch, StoreUnavailable
from marketdata.steps import StepObserver, unobserved
from marketdata.stopping import stop_on_signals
from marketdata.storage import schema
from marketdata.telemetry import logs, tracing
from marketdata_consumer import lag_wiring, settings, wiring
from marketdata_consumer.loop import Stuck

_log = logs.get("consumer")
_SCHEMA_RETRY_SECONDS = 1.0
_TRACES_SECONDS = 2.0


def main(argv: Sequence[str] | None = None, *, on_step: StepObserver = unobserved) -> int:
    """Run the consumer and return its exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments == ["lag-exporter"]:
        return _export_lag()
    stop = threading.Event()
    why_not_ready: list[str | None] = ["starting"]
    try:
        if arguments:
            raise Misconfigured(f"{arguments[0]} is not an argument; there is only lag-exporter")
        process, postgres, redis, kafka, consumer, told = settings.load()
        logs.configure(level=process.log_level, style=process.log_format, service="consumer")
        built = wiring.build(
            process=process,
            postgres=postgres,
            redis=redis,
            kafka=kafka,
            consumer=consumer,
            traces=tracing.start("consumer", told),
            stop=stop,
            ready=lambda: why_not_ready[0],
            on_step=on_step,
        )
    except Misconfigured as error:
        sys.stderr.write(f"{error}\n")
        return 2
    stop_on_signals(stop)
    built.health.start()
    _log.info("started", topic=kafka.topic, group=kafka.group, metrics_port=built.health.port)
    try:
        if _schema_fits(built, stop, why_not_ready):
            _collect_rarely()
            built.loop.run()
    except Stuck as stuck:
        _log.error("stuck", detail=str(stuck))
        return 1
    finally:
        built.health.stop()
        built.cache.close()
        built.engine.dispose()
        built.traces.close(within_seconds=_TRACES_SECONDS)
    _log.info("stopped")
    return 0


def _export_lag() -> int:
    stop = threading.Event()
    try:
        process, kafka, lag = settings.load_exporter()
        logs.configure(level=process.log_level, style=process.log_format, service="lag-exporter")
        built = lag_wiring.build(process=process, kafka=kafka, lag=lag, stop=stop)
    except Misconfigured as error:
        sys.stderr.write(f"{error}\n")
        return 2
    stop_on_signals(stop)
    built.health.start()
    _log.info("started", topic=kafka.topic, group=kafka.group, metrics_port=built.health.port)
    try:
        built.loop.run()
    finally:
        built.health.stop()
    _log.info("stopped")
    return 0


def _schema_fits(built: wiring.Consumer, stop: threading.Event, why_not_ready: list[str | None]) -> bool:
    """Wait until the schema is there and fits; False where stopped before."""
    while not stop.is_set():
        try:
            schema.check(built.engine)
        except (StoreUnavailable, SchemaMismatch) as error:
            if why_not_ready[0] != str(error):
                _log.warning("waiting_for_schema", reason=str(error))
                why_not_ready[0] = str(error)
            built.clock.wait(_SCHEMA_RETRY_SECONDS, stop)
        else:
            why_not_ready[0] = None
            return True
    return False


def _collect_rarely() -> None:
    """Let the collector of cycles look at few of a batch's objects, and at none of the modules'.

    A batch of 5,000 makes some ten thousand, and no cycle: looking at them every 700, as CPython 3.11
    does, took a sixth of the CPU time of making and writing it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)


if __name__ == "__main__":
    sys.exit(main())
