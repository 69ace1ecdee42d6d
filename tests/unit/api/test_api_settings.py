import pytest

from marketdata.errors import Misconfigured
from marketdata_api.settings import read

_GOOD = {"DATABASE_URL": "postgresql://postgres@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in _GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://x/y"),
        ("REDIS_URL", "http://127.0.0.1"),
        ("MARKETDATA_API_PORT", "eighty"),
        ("MARKETDATA_API_PORT", "70000"),
        ("MARKETDATA_API_PROT", "8000"),
        ("MARKETDATA_API_MIN_INTERVAL_SECONDS", "0"),
        ("MARKETDATA_PROVIDERS", ""),
        ("MARKETDATA_PROVIDERS", "synthetic,Not A Name"),
        ("MARKETDATA_PROVIDERS", "synthetic,any"),
        ("MARKETDATA_DEFAULT_PROVIDER", "bloomberg"),
    ],
)
def test_a_malformed_setting_is_named(environ: pytest.MonkeyPatch, name: str, value: str) -> None:
    environ.setenv(name, value)

    with pytest.raises(Misconfigured, match=name):
        read()


def test_the_providers_are_those_shipped_unless_told_otherwise(environ: pytest.MonkeyPatch) -> None:
    shipped = read().api.provider_names()
    environ.setenv("MARKETDATA_PROVIDERS", " synthetic, mine ,synthetic")

    assert shipped == ("synthetic", "yfinance", "alpha_vantage", "replay")
    assert read().api.provider_names() == ("synthetic", "mine")
