"""Whether there are traces: as the standard variables say, and off where they say nothing."""

from marketdata.telemetry import logs
from marketdata.telemetry.settings import TraceSettings
from marketdata.telemetry.traces import NO_TRACES, Traces

_log = logs.get("traces")


def start(service: str, told: TraceSettings) -> Traces:
    """Return the traces that the standard variables ask for; off unless they name an exporter or endpoint.

    Raises nothing: what cannot be is off, and one line says why. Connects to nothing.
    """
    if not told.wanted:
        return NO_TRACES
    if told.why_not:
        _log.warning("traces are off", reason=told.why_not)
        return NO_TRACES
    try:
        # Loaded where it is wanted only: it costs time and memory, and an image may do without.
        from marketdata.telemetry import otlp  # noqa: PLC0415

        traces: Traces = otlp.OtlpTraces(service)
    except ImportError:
        _log.warning("traces are off", reason="the exporter is not installed")
        return NO_TRACES
    except Exception as error:  # noqa: BLE001 - ADR 17: whatever the variables made of it, prices go on
        _log.warning("traces are off", reason=type(error).__name__)
        return NO_TRACES
    _log.debug("traces are on")
    return traces
