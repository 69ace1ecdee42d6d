"""Ends a launcher's children when the launcher is killed: nobody else can.

It waits on a pipe whose other end only the launcher holds, so the kernel tells it of any end.
It costs one sleeping process and no signal, thread or platform-dependent call.
"""

import signal
import sys
from pathlib import Path

from marketdata_tools.run.roster import Roster


def main(arguments: list[str]) -> int:
    """Wait for the end of standard input, then end whoever is left on the roster of that path."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    sys.stdin.buffer.read()
    Roster(Path(arguments[0])).end_all()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
