"""The environment that the launcher gives to each deployable."""

from marketdata_tools.run import services
from marketdata_tools.run.services import SERVICES

OWN = {
    "DATABASE_URL": "postgresql://postgres@127.0.0.1:1/marketdata",
    "REDIS_URL": "redis://127.0.0.1:2/0",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:3",
    "MARKETDATA_API_PORT": "8000",
    "MARKETDATA_DEFAULT_PROVIDER": "synthetic",
    "MARKETDATA_YFINANCE_CACHE_DIR": "/data/yfinance",
}


def environments(**outer: str) -> dict[str, dict[str, str]]:
    return services.environments(SERVICES, outer=outer, own=OWN)


def test_each_deployable_gets_only_the_variables_that_it_knows() -> None:
    found = environments(MARKETDATA_SYNTHETIC_SEED="7", PATH="/bin")

    assert found["poller"]["MARKETDATA_SYNTHETIC_SEED"] == "7"
    assert "MARKETDATA_SYNTHETIC_SEED" not in found["api"] | found["consumer"]
    assert found["api"]["MARKETDATA_API_PORT"] == "8000"
    assert "MARKETDATA_API_PORT" not in found["poller"] | found["consumer"]
    assert all(environ["PATH"] == "/bin" for environ in found.values())


def test_the_users_variable_wins_over_the_launchers_wish_but_not_over_its_addresses() -> None:
    found = environments(MARKETDATA_DEFAULT_PROVIDER="yfinance", MARKETDATA_API_PORT="1", DATABASE_URL="")

    assert found["api"]["MARKETDATA_DEFAULT_PROVIDER"] == "yfinance"
    assert found["api"]["MARKETDATA_API_PORT"] == "8000"
    assert found["api"]["DATABASE_URL"] == OWN["DATABASE_URL"]


def test_a_password_meant_for_another_server_does_not_reach_an_embedded_one() -> None:
    found = environments(REDIS_PASSWORD="x", DB_HOST="db", KAFKA_SECURITY_PROTOCOL="SASL_SSL")

    for environ in found.values():
        assert not {"REDIS_PASSWORD", "DB_HOST", "KAFKA_SECURITY_PROTOCOL"} & environ.keys()


def test_a_password_stays_beside_the_address_it_belongs_to() -> None:
    found = environments(REDIS_URL="redis://cache:6379/0", REDIS_PASSWORD="x")

    assert found["api"]["REDIS_PASSWORD"] == "x"


def test_a_variable_that_nobody_knows_reaches_the_poller_which_takes_plugins_and_refuses_the_rest() -> None:
    found = environments(MARKETDATA_MYPROVIDER_URL="http://x")

    assert found["poller"]["MARKETDATA_MYPROVIDER_URL"] == "http://x"
    assert "MARKETDATA_MYPROVIDER_URL" not in found["api"] | found["consumer"]
