"""Many values as the text Postgres reads, at the speed of one call.

msgspec renders a whole column at once, far sooner than psycopg2 quotes each value. A JSON array of
strings, numbers and nulls is a Postgres array but for its brackets: both quote with `"` and escape it,
and a backslash, with a backslash.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec

_encoder = msgspec.json.Encoder()


def array(values: Sequence[str | int | Decimal | datetime | UUID | None]) -> str:
    """Return an array literal; strings are printable ASCII, which needs no other escape."""
    return f"{{{_encoder.encode(values).decode()[1:-1]}}}"
