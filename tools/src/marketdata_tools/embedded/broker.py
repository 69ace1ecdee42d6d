"""A Kafka broker out of a package: librdkafka's mock cluster, in a process of its own.

`python -m marketdata_tools.embedded.broker` prints its bootstrap address as its one line, serves
any client on this machine, and ends on SIGTERM, or when its standard input closes, so that it
never outlives who started it. It makes topics at their first use, with four partitions, keeps the
last 5 MB of each in memory, has no topic administration, and is a new cluster at each start.
"""

import signal
import sys
from pathlib import Path
from types import FrameType

from confluent_kafka import Producer

from marketdata.messages import topics
from marketdata_tools.embedded.process import LOOPBACK, Child, OnSpawn, unwatched

_START_SECONDS = 30.0
_SILENT = 0  # the syslog level under which librdkafka says nothing, its announcement of the mock included


class EmbeddedBroker:
    """One mock cluster as a child process; its log is kept in `folder`, which is made if missing."""

    def __init__(self, folder: Path, *, on_spawn: OnSpawn = unwatched) -> None:
        """`on_spawn` is told the process id at each start."""
        self._folder = folder.absolute()
        self._on_spawn = on_spawn
        self._child: Child | None = None
        self._bootstrap = ""

    @property
    def child(self) -> Child:
        """Return the running broker's process. Raises RuntimeError if it is not started."""
        if self._child is None:
            message = "the broker is not started"
            raise RuntimeError(message)
        return self._child

    @property
    def pid(self) -> int:
        """Return the running broker's process id."""
        return self.child.pid

    @property
    def bootstrap(self) -> str:
        """Return HOST:PORT; another one after each start, as the port is librdkafka's to choose."""
        return self._bootstrap

    def start(self) -> None:
        """Start, empty, and block until it serves. Raises RuntimeError with the log's end."""
        self._child = Child(
            [sys.executable, "-m", "marketdata_tools.embedded.broker"],
            log=self._folder / "broker.log",
            piped=True,
            on_spawn=self._on_spawn,
        )
        self._bootstrap = self._child.read_line()
        if not self._bootstrap:
            tail = self._child.log_tail()
            self.stop()
            message = f"the broker did not start:\n{tail}"
            raise RuntimeError(message)
        for topic in (topics.PRICE_EVENTS, topics.DEAD_LETTERS):
            make_topic(self._bootstrap, topic)

    def stop(self) -> None:
        """Stop; everything it held is forgotten; idempotent."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def kill(self) -> None:
        """Kill -9 the broker, as a crash does."""
        self.child.kill()
        self._child = None


def make_topic(bootstrap: str, topic: str) -> None:
    """Have the topic made, by asking for it; idempotent.

    The mock does not assign a topic to members of a KIP-848 group that joined before it was there,
    as a real broker does: so topics are made before anybody subscribes.
    """
    Producer({"bootstrap.servers": bootstrap, "log_level": _SILENT}).list_topics(
        topic, timeout=_START_SECONDS
    )


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def main() -> int:
    """Serve until SIGTERM or the end of standard input; return 0, or 1 if the mock does not start."""
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    # The mock lives in this client and dies with it. Its metadata names the port that it listens on.
    owner = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": LOOPBACK, "log_level": _SILENT})
    brokers = owner.list_topics(timeout=_START_SECONDS).brokers.values()
    for broker in brokers:
        sys.stdout.write(f"{broker.host}:{broker.port}\n")
    sys.stdout.flush()
    if not brokers:
        return 1
    sys.stdin.buffer.read()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
