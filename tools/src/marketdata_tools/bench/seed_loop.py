"""The seed's consumer: what the product is measured against.

One transaction, one average query, one cache write and one offset commit for each message, in the
obvious way; the same tables, the same durability.

    python -m marketdata_tools.bench.seed_loop DATABASE_URL REDIS_URL BOOTSTRAP TOPIC GROUP
"""

import json
import sys

import psycopg2
import redis
from confluent_kafka import Consumer

_POINT = """
    insert into price_points (provider, symbol, observed_at, price, currency, raw_response_id, fetched_at)
    values (%s, %s, %s, %s, %s, %s, %s)
    on conflict do nothing
"""
_AVERAGE = """
    select avg(price), count(*) from (
        select price from price_points where provider = %s and symbol = %s
        order by observed_at desc limit 5
    ) last
"""
_STORE = """
    insert into symbol_averages (provider, symbol, observed_at, "window", moving_average, sample_size)
    values (%s, %s, %s, 5, %s, %s)
    on conflict do nothing
"""


def main() -> None:
    """Consume until killed."""
    database_url, redis_url, bootstrap, topic, group = sys.argv[1:]
    database = psycopg2.connect(database_url)
    cache = redis.Redis.from_url(redis_url)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    while True:
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        event = json.loads(message.value() or b"")
        series = (event["source"], event["symbol"])
        with database, database.cursor() as cursor:
            cursor.execute(
                _POINT,
                (
                    *series,
                    event["timestamp"],
                    event["price"],
                    event.get("currency"),
                    event["raw_response_id"],
                    event["fetched_at"],
                ),
            )
            cursor.execute(_AVERAGE, series)
            row = cursor.fetchone()
            assert row is not None, "an aggregate has a row"
            average, size = row
            cursor.execute(_STORE, (*series, event["timestamp"], average, size))
        cache.set(
            f"latest_price_{event['symbol']}_{event['source']}",
            json.dumps(
                {
                    "symbol": event["symbol"],
                    "price": event["price"],
                    "timestamp": event["timestamp"],
                    "provider": event["source"],
                }
            ),
            ex=300,
        )
        consumer.commit(message=message, asynchronous=True)


if __name__ == "__main__":
    main()
