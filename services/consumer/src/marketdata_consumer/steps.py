"""The consumer's externally visible effects, in the order they happen."""

from enum import StrEnum


class ConsumerStep(StrEnum):
    """Each is reported after its effect; a test kills the process at each."""

    ACCOUNT_OPENED = "account_opened"
    GAP_REOPENED = "gap_reopened"
    POSITIONS_READ = "positions_read"
    CACHE_REPAIRED = "cache_repaired"
    BATCH_TAKEN = "batch_taken"
    POSITIONS_LOCKED = "positions_locked"
    SERIES_LOCKED = "series_locked"
    POINTS_WRITTEN = "points_written"
    AVERAGES_WRITTEN = "averages_written"
    LATEST_WRITTEN = "latest_written"
    DEAD_LETTERS_WRITTEN = "dead_letters_written"
    POSITIONS_MOVED = "positions_moved"
    TRANSACTION_COMMITTED = "transaction_committed"
    CACHE_WRITTEN = "cache_written"
    OFFSETS_COMMITTED = "offsets_committed"
