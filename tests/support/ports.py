"""Ports for servers that are started a moment later, and nobody takes them meanwhile.

A port that the system calls free may be gone when it is bound: the system gives it to the next who
connects or asks for any port. These lie below the range that it gives from, each worker has a part of
them to itself, and none comes twice before all the others came.
"""

import itertools
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import suppress

from marketdata_tools.embedded.process import LOOPBACK

# Up to 18,999: above are those of real brokers, from 30,000 on those of a Kubernetes on this machine, and
# from 32,768 on Linux gives them.
_FIRST, _WORKERS, _EACH = 11_000, 8, 1_000


def _in_turn() -> Iterator[int]:
    worker = os.getenv("PYTEST_XDIST_WORKER", "gw0")  # noqa: TID251 - how pytest-xdist names its workers
    first = _FIRST + int(worker.removeprefix("gw")) % _WORKERS * _EACH
    begin = secrets.randbelow(_EACH)  # another run beside this one begins elsewhere
    return itertools.cycle([first + (begin + number) % _EACH for number in range(_EACH)])


_ports = _in_turn()


def free_port() -> int:
    """Return a TCP port of loopback that nobody uses, or will use but who asked for it here."""
    while True:
        port = next(_ports)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
