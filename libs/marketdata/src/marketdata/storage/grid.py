"""The grid of due times, in SQL, so that it lies on the database's clock.

The rule is `domain.schedule.next_tick`; a property test holds the two against each other.
"""

from marketdata.domain.schedule import ANCHOR

_ANCHOR = f"timestamptz '{ANCHOR.isoformat()}'"


def next_tick_sql(*, after: str, provider: str, interval_seconds: str) -> str:
    """Return the SQL expression of the first tick strictly after `after`.

    The arguments are SQL expressions of types timestamptz, text and integer, never values.
    """
    phase = (
        f"(('x' || encode(substr(sha256(convert_to({provider}, 'UTF8')), 1, 4), 'hex'))::bit(32)::bigint"
        f" % {interval_seconds})"
    )
    passed = f"floor((extract(epoch from ({after}) - {_ANCHOR}) - {phase}) / {interval_seconds})"
    return f"({_ANCHOR} + ({phase} + ({passed} + 1) * {interval_seconds}) * interval '1 second')"
