"""Which log this is: the name under which positions are kept.

A topic's name says nothing about its contents: it may be deleted and made again, or live on another
cluster after a move, and offsets then mean other messages. Cluster id and topic id together name
one log for ever (KIP-516). librdkafka's mock cluster tells no topic id and, being made anew at
each start, needs none.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from marketdata.errors import StreamUnavailable
from marketdata.streaming.credentials import Credentials

# Its describe_topics only runs into the timeout, so it is not asked.
_MOCK_CLUSTER = "mockCluster"


class LogDirectory:
    """Tells the accounts of topics over one connection that is kept; for callers that ask again."""

    def __init__(self, config: Callable[[], Mapping[str, Any]], *, timeout: float = 5.0) -> None:
        """Connect to nothing yet.

        `config` gives what reaches the cluster (KafkaSettings.client_config), asked again for a
        password that changed; `timeout` bounds each request.
        """
        self._credentials = Credentials(config)
        self._timeout = timeout
        self._made: AdminClient | None = None
        self._making = threading.Lock()

    def account(self, topic: str) -> str | None:
        """Return the account of `topic`, or None where the cluster has no such topic.

        Blocks for two requests; idempotent. Raises StreamUnavailable.
        """
        timeout = self._timeout
        try:
            admin = self._admin()
            cluster = admin.list_topics(topic=topic, timeout=timeout)
            if cluster.cluster_id is None:
                raise StreamUnavailable("the broker did not tell its cluster id")
            if cluster.cluster_id.startswith(_MOCK_CLUSTER):
                return str(cluster.cluster_id)
            known = cluster.topics.get(topic)
            if known is None or known.error is not None:
                return None
            future = admin.describe_topics(TopicCollection([topic]), request_timeout=timeout)[topic]
            return f"{cluster.cluster_id}:{future.result(timeout + 1).topic_id}"
        except (KafkaException, TimeoutError) as error:
            raise StreamUnavailable(f"the broker did not tell which log {topic} is: {error}") from error

    def ends(self, topic: str) -> dict[int, int]:
        """Return the offset that the next message of each partition will have.

        Blocks for two requests; idempotent. Raises StreamUnavailable.
        """
        try:
            admin = self._admin()
            known = admin.list_topics(topic=topic, timeout=self._timeout).topics[topic]
            newest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client's own gap
            asked = {TopicPartition(topic, partition): newest for partition in known.partitions}
            found = admin.list_offsets(asked, request_timeout=self._timeout)
            return {
                where.partition: int(future.result(self._timeout + 1).offset)
                for where, future in found.items()
            }
        except (KafkaException, KeyError, TimeoutError) as error:
            raise StreamUnavailable(f"the broker did not tell where {topic} ends: {error}") from error

    def _admin(self) -> AdminClient:
        with self._making:  # the loop and the watch beside it both ask
            if self._made is None:
                self._made = AdminClient({**self._credentials.read(), "log_level": 2})
            else:
                self._credentials.renew(self._made)
            return self._made


def log_account(config: Mapping[str, Any], topic: str, timeout: float) -> str:
    """Return "<cluster id>:<topic id>", or "<cluster id>" where the broker tells no topic id.

    Blocks; for callers that ask once. Raises StreamUnavailable, also where the topic is missing.
    """
    account = LogDirectory(lambda: config, timeout=timeout).account(topic)
    if account is None:
        raise StreamUnavailable(f"the cluster has no topic {topic}")
    return account
