"""Completing polls inside the recording transaction: the poll, its ledger, the job's state, the next tick.

Each statement serves all completed jobs of the transaction. The caller holds the rows of the
schedule, so a job is completed once and under its own lease.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from marketdata.domain.poll import DueJob, Outcome, SymbolOutcome, Tally
from marketdata.storage.grid import next_tick_sql
from marketdata.storage.job_queue import tokens
from marketdata.storage.storable import storable

MAX_FAILING_SHOWN = 20  # in a job's state; the counts are complete

_POLLS = sa.text("""
    insert into polls (job_id, tick_at, poller, asked, fresh, unchanged, failed, skipped, reasons)
    select job_id, tick_at, :poller, asked, fresh, unchanged, failed, skipped, cast(reasons as jsonb)
    from unnest(cast(:jobs as uuid[]), cast(:ticks as timestamptz[]), cast(:asked as int[]),
        cast(:fresh as int[]), cast(:unchanged as int[]), cast(:failed as int[]), cast(:skipped as int[]),
        cast(:reasons as text[]))
      as new (job_id, tick_at, asked, fresh, unchanged, failed, skipped, reasons)
""")


def _summed(column: str) -> str:
    return f"""case when excluded.{column} = '{{}}' then ledger.{column} else (
        select jsonb_object_agg(reason, count) from (
          select key as reason, sum(cast(value as bigint)) as count
          from (select * from jsonb_each_text(ledger.{column})
                union all select * from jsonb_each_text(excluded.{column})) as both_counts
          group by key) as sums) end"""


_LEDGER = sa.text(f"""
    insert into poll_ledger as ledger (job_id, hour, polls, asked, fresh, unchanged, failed, skipped)
    select job_id, date_trunc('hour', tick_at, 'UTC'), 1, asked, fresh, unchanged,
      cast(failed as jsonb), cast(skipped as jsonb)
    from unnest(cast(:jobs as uuid[]), cast(:ticks as timestamptz[]), cast(:asked as int[]),
        cast(:fresh as int[]), cast(:unchanged as int[]), cast(:failed_by as text[]),
        cast(:skipped_by as text[]))
      as new (job_id, tick_at, asked, fresh, unchanged, failed, skipped)
    order by job_id
    on conflict (job_id, hour) do update set
      polls = ledger.polls + 1, asked = ledger.asked + excluded.asked, fresh = ledger.fresh + excluded.fresh,
      unchanged = ledger.unchanged + excluded.unchanged,
      failed = {_summed("failed")}, skipped = {_summed("skipped")}
""")

_FAILING = sa.text("""
    select job_id, failing from job_states where job_id = any(:jobs) and failing <> '{}'
""")

_STATES = sa.text("""
    update job_states as state set
      last_poll_at = now(),
      last_success_at = case when succeeded then now() else last_success_at end,
      consecutive_failures = case when succeeded then 0 else consecutive_failures + 1 end,
      last_reason = new.reason,
      failing = cast(new.failing as jsonb)
    from unnest(cast(:jobs as uuid[]), cast(:succeeded as boolean[]), cast(:main_reasons as text[]),
        cast(:failing as text[])) as new (job_id, succeeded, reason, failing)
    where state.job_id = new.job_id
""")

_NEXT_TICK = next_tick_sql(
    after="greatest(now(), done.tick_at)",
    provider="job.provider",
    interval_seconds="job.interval_seconds",
)
# An extra tick asked for during the lease is kept; else the grid, and always later than the tick.
_SCHEDULE = sa.text(f"""
    update polling_schedule as schedule set
      due_at = case when schedule.due_at > done.tick_at then schedule.due_at else {_NEXT_TICK} end,
      lease_owner = null, lease_token = null, lease_until = null
    from unnest(cast(:jobs as uuid[]), cast(:ticks as timestamptz[])) as done (job_id, tick_at)
    join polling_jobs as job using (job_id)
    where schedule.job_id = done.job_id
""")

_EXTEND = sa.text("""
    update polling_schedule as schedule set lease_until = now() + :lease
    from unnest(cast(:jobs as uuid[]), cast(:tokens as uuid[])) as held (job_id, token)
    where schedule.job_id = held.job_id and schedule.lease_token = held.token
""")


def complete(
    connection: sa.Connection,
    jobs: Sequence[DueJob],
    tallies: Mapping[UUID, Tally],
    outcomes: Mapping[str, SymbolOutcome],
    *,
    poller: str,
) -> None:
    """Record the polls of `jobs`, whose schedule rows the caller has locked under their tokens."""
    if not jobs:
        return
    counted = [tallies[job.job_id] for job in jobs]
    ids = [job.job_id for job in jobs]
    shared = {
        "jobs": ids,
        "ticks": [job.tick_at for job in jobs],
        "asked": [each.asked for each in counted],
        "fresh": [each.fresh for each in counted],
        "unchanged": [each.unchanged for each in counted],
    }
    connection.execute(
        _POLLS,
        {
            **shared,
            "poller": poller,
            "failed": [sum(each.failed.values()) for each in counted],
            "skipped": [sum(each.skipped.values()) for each in counted],
            "reasons": [json.dumps({**each.failed, **each.skipped}) for each in counted],
        },
    )
    connection.execute(
        _LEDGER,
        {
            **shared,
            "failed_by": [json.dumps(dict(each.failed)) for each in counted],
            "skipped_by": [json.dumps(dict(each.skipped)) for each in counted],
        },
    )
    before = {row.job_id: row.failing for row in connection.execute(_FAILING, {"jobs": ids})}
    connection.execute(
        _STATES,
        {
            "jobs": ids,
            "succeeded": [each.succeeded for each in counted],
            "main_reasons": [each.main_reason for each in counted],
            "failing": [json.dumps(_failing(job, outcomes, before.get(job.job_id, {}))) for job in jobs],
        },
    )
    connection.execute(_SCHEDULE, {"jobs": ids, "ticks": shared["ticks"]})


def extend(connection: sa.Connection, jobs: Sequence[DueJob], lease: timedelta) -> None:
    """Give `jobs`, still waiting for other symbols, their whole lease again."""
    if jobs:
        connection.execute(_EXTEND, {**tokens(jobs), "lease": lease})


def _failing(
    job: DueJob, outcomes: Mapping[str, SymbolOutcome], before: Mapping[str, Any]
) -> dict[str, dict[str, str]]:
    """Return the symbols without a price, each with since when; a skipped one stays as it was."""
    failing: dict[str, dict[str, str]] = {}
    for symbol in job.symbols:
        if len(failing) == MAX_FAILING_SHOWN:
            break
        found = outcomes[symbol]
        if found.outcome is Outcome.SKIPPED and symbol in before:
            failing[symbol] = before[symbol]
        elif found.outcome is Outcome.FAILED:
            since = before.get(symbol, {}).get("since", found.asked_at.isoformat())
            failing[symbol] = {
                "reason": found.reason or "unknown",
                "message": storable((found.message or "")[:500]),
                "since": since,
            }
    return failing
