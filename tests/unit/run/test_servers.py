"""What a run shows of the servers it was given."""

import pytest

from marketdata_tools.run.servers import shown


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("postgresql://me:secret@db:5432/prices", "db:5432/prices"),
        ("postgresql://me:secret@one:5432,two:5433/prices", "one:5432,two:5433/prices"),
        ("postgresql://me:secret@/prices?host=/run/postgresql", "/run/postgresql/prices"),
        ("postgresql://db/prices?sslmode=require&password=secret", "db/prices"),
        ("redis://:secret@[::1]:6379/0", "[::1]:6379/0"),
        ("unix://:secret@/run/cache.sock", "/run/cache.sock"),
        ("//one:9092,two:9092", "one:9092,two:9092"),
    ],
)
def test_an_address_is_shown_without_who_asks_and_the_password(address: str, words: str) -> None:
    assert shown(address) == words
