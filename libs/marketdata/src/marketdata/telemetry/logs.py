"""Structured logs: fixed event strings with fields, JSON in a pod, readable on a terminal.

No secret may reach a field: URLs are logged without user info, and settings never.
"""

import logging
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(*, level: str, style: str, service: str, stream: TextIO | None = None) -> None:
    """Send logs of `level` and above to `stream` (standard error); `style` is auto, json or console.

    `auto` is console where the stream is a terminal. Idempotent. Library loggers are quietened to
    warnings and rendered the same way.
    """
    target = stream or sys.stderr
    readable = style == "console" or (style == "auto" and target.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=target.isatty(), pad_event_to=32)
        if readable
        else structlog.processors.JSONRenderer()
    )

    def name_service(_: object, __: str, entry: EventDict) -> EventDict:
        entry.setdefault("service", service)  # not by contextvars: a new thread has none of them
        return entry

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        name_service,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(target),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def get(name: str) -> Any:
    """Return the logger of one part of a service; `name` shows as the field `part`."""
    return structlog.get_logger(part=name)
