"""The poller's externally visible effects, by name: where a crash is rehearsed."""

from enum import StrEnum


class PollerStep(StrEnum):
    """Polling, in the order of one round; RELEASED happens at the end of the process only."""

    REGISTERED = "poller.registered"  # the providers row says that this process has the provider
    CLAIMED = "poller.claimed"  # due jobs are leased
    ADMITTED = "poller.admitted"  # budget taken for one upstream request, not sent yet
    FETCHED = "poller.fetched"  # answered; the answer is in memory only
    RENEWED = "poller.renewed"  # leases extended during a long fetch
    RECORDED = "poller.recorded"  # answer, events, ledgers and completions committed
    RELEASED = "poller.released"  # leases given up


class RelayStep(StrEnum):
    """Publishing events, and dead letters both ways."""

    ENTERED = "relay.entered"  # the log is known as an account
    CLAIMED = "relay.claimed"  # outbox rows locked
    PUBLISHED = "relay.published"  # confirmed by the broker, not marked
    MARKED = "relay.marked"  # coordinates committed
    FORWARDED = "relay.forwarded"  # dead letters in their topic, not marked
    FORWARD_MARKED = "relay.forward_marked"
    REPLAYED = "relay.replayed"  # dead letters published again, not marked
    REPLAY_MARKED = "relay.replay_marked"


class SweepStep(StrEnum):
    """Settling."""

    SWEPT = "sweep.swept"  # verdicts and their ledger committed


class MaintenanceStep(StrEnum):
    """Partitions, and rows that end."""

    ENSURED = "maintenance.ensured"  # partitions of the coming days exist
    DROPPED = "maintenance.dropped"  # old ones are gone
    EXPIRED = "maintenance.expired"  # old rows are deleted


class PromiseStep(StrEnum):
    """Judging how promises about age are kept."""

    JUDGED = "promises.judged"  # a stretch of time is in the ledger of promises, and the clock after it
