"""Breakers, shared by all pollers: the rules of `domain.breaker` on rows in Postgres.

A 429 seen by one poller silences all of them, and one probe serves all. A closed breaker is only
read, so that the ordinary request pays for one indexed select.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa

from marketdata.domain import breaker as rules
from marketdata.domain.breaker import CLOSED, Breaker
from marketdata.errors import BreakerOpen, MarketDataError
from marketdata.storage.engine import transaction

# Below the time that the alert on a blocked provider waits.
FORGOTTEN_AFTER = timedelta(minutes=5)

_COLUMNS = "failures, open_until, cooldown_seconds, probe_owner, probe_until"
_READ = sa.text(f"""
    select {_COLUMNS} from provider_breakers where provider = :provider and endpoint = :endpoint
""")
_LOCK = sa.text(f"""
    select {_COLUMNS}, clock_timestamp() as now from provider_breakers
    where provider = :provider and endpoint = :endpoint for update
""")
_INSERT = sa.text("""
    insert into provider_breakers (provider, endpoint) values (:provider, :endpoint) on conflict do nothing
""")
_WRITE = sa.text("""
    update provider_breakers set failures = :failures, open_until = :open_until,
      cooldown_seconds = :cooldown_seconds, probe_owner = :probe_owner, probe_until = :probe_until
    where provider = :provider and endpoint = :endpoint
""")
_OPEN = sa.text("""
    select provider, endpoint, open_until > now() from provider_breakers
    where open_until > now() - cast(:forgotten_after as interval) or probe_until > now()
""")


class PostgresBreakers:
    """The breakers in `provider_breakers`; safe to use from several threads."""

    def __init__(self, engine: sa.Engine, *, owner: str) -> None:
        """`owner` names this poller in the probe it holds."""
        self._engine = engine
        self._owner = owner

    def admit(self, provider: str, endpoint: str) -> None:
        """Return if a request may be sent now; in a half-open breaker to one caller only.

        Raises BreakerOpen with the time left.
        """
        if self._read(provider, endpoint).open_until is None:
            return
        admitted = False
        left = timedelta(0)

        def decide(state: Breaker, now: datetime) -> Breaker:
            nonlocal admitted, left
            after, admitted = rules.admit(state, owner=self._owner, now=now)
            left = max(timedelta(0), (state.open_until or now) - now)
            return after

        self._change(provider, endpoint, decide)
        if not admitted:
            raise BreakerOpen(
                f"{provider} is left alone for {left.total_seconds():.0f} s more", retry_after=left
            )

    def succeeded(self, provider: str, endpoint: str) -> None:
        """Note an answer; a half-open breaker whose probe this was closes. Idempotent."""
        if self._read(provider, endpoint) != CLOSED:
            self._change(provider, endpoint, lambda state, _: rules.after_success(state, owner=self._owner))

    def failed(self, provider: str, endpoint: str, error: MarketDataError) -> None:
        """Note a failure, which opens the breaker or counts towards it."""
        self._change(
            provider,
            endpoint,
            lambda state, now: rules.after_failure(state, error, owner=self._owner, now=now),
        )

    def give_up_probe(self, provider: str, endpoint: str) -> None:
        """Let another take the probe that this poller holds and cannot send; idempotent."""
        if self._read(provider, endpoint).probe_owner == self._owner:
            self._change(provider, endpoint, lambda state, _: rules.give_up_probe(state, owner=self._owner))

    def open_now(self) -> dict[tuple[str, str], bool]:
        """Return the breakers that are not closed: True is open, False is half open.

        Left out is one that might have been probed for FORGOTTEN_AFTER and was not: its endpoint may
        never be asked again, and its provider is not to be called blocked for that.
        """
        with transaction(self._engine) as connection:
            rows = connection.execute(_OPEN, {"forgotten_after": FORGOTTEN_AFTER})
            return {(provider, endpoint): is_open for provider, endpoint, is_open in rows}

    def _read(self, provider: str, endpoint: str) -> Breaker:
        with transaction(self._engine) as connection:
            row = connection.execute(_READ, {"provider": provider, "endpoint": endpoint}).one_or_none()
        return _breaker(row) if row else CLOSED

    def _change(self, provider: str, endpoint: str, decide: Callable[[Breaker, datetime], Breaker]) -> None:
        key = {"provider": provider, "endpoint": endpoint}
        with transaction(self._engine) as connection:
            row = connection.execute(_LOCK, key).one_or_none()
            if row is None:
                connection.execute(_INSERT, key)
                row = connection.execute(_LOCK, key).one()
            before = _breaker(row)
            after = decide(before, row.now)
            if after != before:
                connection.execute(
                    _WRITE,
                    {
                        **key,
                        "failures": after.failures,
                        "open_until": after.open_until,
                        "cooldown_seconds": after.cooldown.total_seconds(),
                        "probe_owner": after.probe_owner,
                        "probe_until": after.probe_until,
                    },
                )


def _breaker(row: sa.Row[tuple[object, ...]]) -> Breaker:
    return Breaker(
        failures=row.failures,
        open_until=row.open_until,
        cooldown=timedelta(seconds=row.cooldown_seconds),
        probe_owner=row.probe_owner,
        probe_until=row.probe_until,
    )
