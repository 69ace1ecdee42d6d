"""A closed-loop HTTP client that costs less than the servers it drives: sockets and epoll.

Each connection has one request under way, never more (no pipelining). Every answer is checked for
its status, and counted only when all of its body is there. Run as a process of its own:
`python -m marketdata_tools.bench.http_load PORT SECONDS CONNECTIONS < paths`; prints one line of JSON.
"""

import json
import select
import socket
import sys
import time
from collections.abc import Sequence
from itertools import cycle

_LOOPBACK = "127.0.0.1"


class _Connection:
    """One keep-alive connection and what it has read of the answer under way."""

    __slots__ = ("left", "socket", "started")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((_LOOPBACK, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.left = 0
        self.started = 0.0

    def is_answered_by(self, data: bytes) -> bool:
        """Tell whether the answer is complete with `data`; raises RuntimeError for one that is not 200."""
        if self.left:
            self.left -= len(data)
            return self.left == 0
        if not data.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"unexpected answer: {data[:200]!r}")
        body = data.index(b"\r\n\r\n") + 4
        length = data.index(b"content-length: ") + 16
        self.left = body + int(data[length : data.index(b"\r", length)]) - len(data)
        return self.left == 0


def drive(port: int, *, seconds: float, connections: int, paths: Sequence[str]) -> dict[str, float]:
    """Return how many answers came, in how many seconds, with the median and 99th percentile of latency."""
    requests = cycle(
        f"GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\n\r\n".encode() for path in paths
    )
    poll = select.epoll()
    opened = {}
    for _ in range(connections):
        connection = _Connection(port)
        opened[connection.socket.fileno()] = connection
        poll.register(connection.socket.fileno(), select.EPOLLIN)
    begun = time.perf_counter()
    for connection in opened.values():
        connection.started = time.perf_counter()
        connection.socket.send(next(requests))
    latencies = []
    now = begun
    while now - begun < seconds:
        ready = poll.poll(1.0)
        now = time.perf_counter()
        for descriptor, _ in ready:
            connection = opened[descriptor]
            data = connection.socket.recv(65_536)
            if not data:
                raise RuntimeError("the server closed a connection")
            if connection.is_answered_by(data):
                latencies.append(now - connection.started)
                connection.started = now
                connection.socket.send(next(requests))
    for connection in opened.values():
        connection.socket.close()
    latencies.sort()
    return {
        "answers": len(latencies),
        "seconds": now - begun,
        "p50": latencies[len(latencies) // 2],
        "p99": latencies[len(latencies) * 99 // 100],
    }


if __name__ == "__main__":
    _port, _seconds, _connections = sys.argv[1:]
    _paths = sys.stdin.read().split()
    result = drive(int(_port), seconds=float(_seconds), connections=int(_connections), paths=_paths)
    sys.stdout.write(json.dumps(result) + "\n")
