"""The operator's externally visible effects, for crash tests."""

from enum import StrEnum


class OperatorStep(StrEnum):
    """Each is reported after the effect it names."""

    ROWS_SYNCED = "rows_synced"
    STATUS_APPLIED = "status_applied"
    EVENT_POSTED = "event_posted"
