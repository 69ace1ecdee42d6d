"""An even stream of price events, made so cheaply that it is the consumer that is measured.

    python -m marketdata_tools.bench.price_load BOOTSTRAP TOPIC EVENTS_PER_SECOND

A process of its own, so that it takes no turn from whoever measures. Events of the 500 symbols in
turn, each round newer than the one before; a message is two halves made beforehand around its
time, and a tick's messages are one call. Says `begun` when the first are on their way, runs until
its input closes, and says how many it has sent and in how many seconds, as two numbers on one line.
"""

import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
from confluent_kafka import Producer

from marketdata.messages import price_event
from marketdata.messages.topics import event_key
from marketdata_tools.bench.grounds import SYMBOLS, some_events

# The broker is told once a tick and partition: it shares the cores with what is measured.
_TICK_SECONDS = 0.02
_LINGER_MS = 10
_MARK = "2000-01-01T00:00:00.123456Z"
_STEP = timedelta(milliseconds=1)


def main() -> None:
    """Send until the input closes."""
    bootstrap, topic, rate = sys.argv[1:]
    stop = threading.Event()
    threading.Thread(target=_await_end, args=(stop,), daemon=True).start()
    sent, seconds = send(bootstrap, topic, float(rate), stop)
    sys.stdout.write(f"{sent} {seconds}\n")


def send(bootstrap: str, topic: str, rate: float, stop: threading.Event) -> tuple[int, float]:
    """Publish `rate` events a second until `stop`; return how many were taken, in how many seconds."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": _LINGER_MS})
    messages = _messages()
    next(messages)  # what is made beforehand is made before the clock starts
    producer.list_topics(topic, 30)
    began, sent = time.monotonic(), 0
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    while not stop.wait(_TICK_SECONDS - (time.monotonic() - began) % _TICK_SECONDS):
        due = int((time.monotonic() - began) * rate) - sent
        batch = [next(messages) for _ in range(due)]
        if batch and producer.produce_batch(topic, batch) != due:
            raise RuntimeError("the broker does not take what the load offers")
        sent += due
        producer.poll(0)
    seconds = time.monotonic() - began
    if producer.flush(30):
        raise RuntimeError("the broker did not take the events in time")
    return sent, seconds


def _messages() -> Iterator[dict[str, bytes]]:
    mark = datetime.fromisoformat(_MARK)
    halves: list[tuple[bytes, bytes, bytes, bytes]] = []
    for event in some_events(SYMBOLS):
        body = price_event.encode(msgspec.structs.replace(event, observed_at=mark, fetched_at=mark))
        head, middle, tail = body.split(_MARK.encode())
        halves.append((event_key(event.provider, event.symbol), head, middle, tail))
    at = datetime.now(UTC)  # noqa: TID251 - the tool's own clock
    while True:
        at += _STEP
        time_text = at.isoformat(timespec="microseconds").encode()
        for key, head, middle, tail in halves:
            yield {"key": key, "value": b"".join((head, time_text, middle, time_text, tail))}


def _await_end(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


if __name__ == "__main__":
    main()
