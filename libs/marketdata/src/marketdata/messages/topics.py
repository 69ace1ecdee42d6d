"""The topics: who writes them, who reads them, how they are keyed and kept.

price-events       written by the poller's relay, read by the consumer; key `provider:symbol`;
                   delete policy, 7 days: Postgres is the truth, the log only carries.
price-events.dlq   written by the poller's relay from the dead-letter table, for people and tools.
"""

PRICE_EVENTS = "price-events"
DEAD_LETTERS = "price-events.dlq"
CONSUMER_GROUP = "market-data-consumer"
PARTITIONS = 12  # 1, 2, 3, 4, 6 and 12 consumers share them evenly


def event_key(provider: str, symbol: str) -> bytes:
    """Return the message key that keeps one series in one partition."""
    return f"{provider}:{symbol}".encode()


# Message headers. EVENT_ID names the outbox row, so that even an unreadable body is accounted for.
HEADER_EVENT_ID = "event_id"
HEADER_TRACEPARENT = "traceparent"

# Headers on a forwarded dead letter.
HEADER_DLQ_REASON = "dlq_reason"
HEADER_DLQ_TOPIC = "dlq_topic"
HEADER_DLQ_PARTITION = "dlq_partition"
HEADER_DLQ_OFFSET = "dlq_offset"
HEADER_DLQ_ID = "dlq_id"
