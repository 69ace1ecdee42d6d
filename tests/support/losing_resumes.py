"""Runs the consumer as it ships, with a client that loses the first resume of the partitions named.

    python losing_resumes.py PARTITION…

As librdkafka does where its own pause for a rebalance overtakes the resume (its issue 5591): no
error, and nothing more comes from that partition. A script, not a module: the service's process
imports nothing else of the tests.
"""

import sys

from confluent_kafka import Consumer, TopicPartition

from marketdata.streaming import consumer
from marketdata_consumer.__main__ import main

_to_lose = set(map(int, sys.argv[1:]))


class _Losing(Consumer):
    def resume(self, partitions: list[TopicPartition]) -> None:
        kept = [each for each in partitions if each.partition not in _to_lose]
        _to_lose.difference_update(each.partition for each in partitions)
        if kept:
            super().resume(kept)


if __name__ == "__main__":
    vars(consumer)["Consumer"] = _Losing  # the fault
    sys.exit(main([]))
