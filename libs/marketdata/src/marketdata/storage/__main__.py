"""`python -m marketdata.storage migrate`: bring the schema up to date and exit."""

import argparse
import sys
import threading

from marketdata import settings
from marketdata.clock import SystemClock
from marketdata.errors import MarketDataError, StoreUnavailable
from marketdata.settings import PostgresSettings
from marketdata.storage import schema
from marketdata.storage.engine import create_engine

_PAUSE_SECONDS = 1.0


def main() -> int:
    """Return 0 when the schema is current, 1 with one sentence on standard error otherwise."""
    parser = argparse.ArgumentParser(prog="python -m marketdata.storage", description=__doc__)
    parser.add_argument(
        "command",
        choices=["migrate", "check"],
        help="migrate: bring up to date; check: exit 1 if this release does not fit",
    )
    parser.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="for a database that is not there yet"
    )
    asked = parser.parse_args()
    clock, never = SystemClock(), threading.Event()
    until = clock.monotonic() + asked.wait
    try:
        (postgres,) = settings.read(PostgresSettings)
        engine = create_engine(postgres, application="marketdata-migrate")
        while True:
            try:
                (schema.migrate if asked.command == "migrate" else schema.check)(engine)
                break
            except StoreUnavailable:
                if clock.monotonic() > until:
                    raise
                clock.wait(_PAUSE_SECONDS, never)
    except MarketDataError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
