"""OpenTelemetry: spans, sampled as the variables say, sent as protobuf over HTTP.

A thread of the SDK sends them, from a queue of OTEL_BSP_MAX_QUEUE_SIZE (2,048) spans; what does not
fit is dropped, so a collector that is away or hangs costs neither time nor memory. The SDK reads
its variables itself. Its own log lines, which may repeat addresses and headers, are not shown; that
a collector went away and came back is said here, once each.
"""

import logging
import threading
from collections.abc import Mapping, Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from marketdata.telemetry import logs
from marketdata.telemetry.traces import NONE, UNRECORDED, Attribute, Kind, Span

_log = logs.get("traces")

_KINDS = {
    "internal": trace.SpanKind.INTERNAL,
    "server": trace.SpanKind.SERVER,
    "producer": trace.SpanKind.PRODUCER,
    "consumer": trace.SpanKind.CONSUMER,
}
_propagator = TraceContextTextMapPropagator()


class OtlpTraces:
    """Spans of one process; safe to use from several threads."""

    on = True

    def __init__(self, service: str) -> None:
        """Start the thread that sends; connects once there is a span. Raises whatever the SDK does."""
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: f"market-data-{service}"}))
        # Not closed by the interpreter's end, which would wait for a collector that hangs.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_Told(OTLPSpanExporter())))
        self._tracer = self._provider.get_tracer("marketdata")

    def begin(
        self, name: str, *, kind: Kind = "internal", parent: str | None = None, links: Sequence[str] = ()
    ) -> Span:
        try:
            return _OtlpSpan(
                self._tracer.start_span(
                    name,
                    context=_context(parent),
                    kind=_KINDS[kind],
                    links=[trace.Link(place) for link in links if (place := _place(link)).is_valid],
                )
            )
        except Exception as error:  # noqa: BLE001 - ADR 17
            _log.debug("span not begun", reason=type(error).__name__)
            return UNRECORDED

    def close(self, *, within_seconds: float) -> None:
        # In a thread of its own, as shutting down waits for the export under way.
        thread = threading.Thread(target=self._provider.shutdown, name="traces-close", daemon=True)
        thread.start()
        thread.join(within_seconds)


class _OtlpSpan:
    """A span of the SDK, or one that is only a place because it is not sampled."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str | None:
        place = self._span.get_span_context()
        if not place.trace_flags.sampled:
            return None
        return f"00-{place.trace_id:032x}-{place.span_id:016x}-{place.trace_flags:02x}"

    @property
    def trace_id(self) -> str | None:
        place = self._span.get_span_context()
        return f"{place.trace_id:032x}" if place.is_valid else None

    def name(self, text: str) -> None:
        self._span.update_name(text)

    def tell(self, conventional: Mapping[str, Attribute] = NONE, /, **ours: Attribute) -> None:
        self._span.set_attributes({**conventional, **{f"marketdata.{name}": ours[name] for name in ours}})

    def fail(self, reason: str) -> None:
        self._span.set_status(trace.StatusCode.ERROR, reason)

    def end(self) -> None:
        try:
            self._span.end()
        except Exception as error:  # noqa: BLE001 - ADR 17
            _log.debug("span not ended", reason=type(error).__name__)


class _Told(SpanExporter):
    """The exporter, saying when its collector goes away and comes back."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
            reason = "refused or unreachable"
        except Exception as error:  # noqa: BLE001 - ADR 17
            result, reason = SpanExportResult.FAILURE, type(error).__name__
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._away:
            _log.warning("spans are dropped", reason=reason)
        elif self._away and not failed:
            _log.info("spans are sent again")
        self._away = failed
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _context(traceparent: str | None) -> Context:
    # Never the surrounding context: what a library left there is no parent of ours.
    carrier = {"traceparent": traceparent} if traceparent else {}
    return _propagator.extract(carrier, Context())


def _place(traceparent: str) -> trace.SpanContext:
    return trace.get_current_span(_context(traceparent)).get_span_context()
