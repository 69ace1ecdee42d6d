"""What `make run` can be told."""

from pathlib import Path

import pytest

from marketdata.errors import Misconfigured
from marketdata_tools.run import settings


def test_without_any_variable_everything_is_embedded_and_the_data_lies_in_the_repository() -> None:
    read = settings.read({"MARKETDATA_WHATEVER": "1"})

    assert (read.port, read.data_dir, read.yahoo_standin) == (8000, settings.REPOSITORY / ".data", False)
    assert (read.database_url, read.redis_url, read.kafka_bootstrap_servers) == (None, None, None)
    assert (settings.REPOSITORY / "tools" / "pyproject.toml").exists()


def test_an_empty_variable_counts_as_not_given() -> None:
    names = ("PORT", "DATA_DIR", "DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS", "YAHOO")

    assert settings.read(dict.fromkeys(names, "")) == settings.read({})


def test_every_variable_is_honoured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {
        "PORT": "9001",
        "DATA_DIR": "elsewhere",
        "DATABASE_URL": "postgresql://me:secret@db:5432/prices",
        "REDIS_URL": "redis://cache:6379/0",
        "KAFKA_BOOTSTRAP_SERVERS": "one:9092,two:9092",
        "YAHOO": "standin",
    }

    assert settings.read(environ) == settings.RunSettings(
        port=9001,
        data_dir=tmp_path / "elsewhere",
        database_url="postgresql://me:secret@db:5432/prices",
        redis_url="redis://cache:6379/0",
        kafka_bootstrap_servers="one:9092,two:9092",
        yahoo_standin=True,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "٨"),
        ("PORT", "-1"),
        ("DATABASE_URL", "mysql://db/prices"),
        ("REDIS_URL", "cache:6379"),
        ("KAFKA_BOOTSTRAP_SERVERS", "broker"),
        ("YAHOO", "real"),
    ],
)
def test_a_malformed_variable_is_named_in_one_sentence(name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"^{name} ") as caught:
        settings.read({name: value})

    assert "\n" not in str(caught.value)
