from pathlib import Path

import pytest

from marketdata import settings
from marketdata.errors import CacheUnavailable, Misconfigured, StoreUnavailable, StreamUnavailable
from marketdata.settings import KafkaSettings, PostgresSettings, ProcessSettings, RedisSettings
from marketdata.storage.engine import create_engine
from marketdata.streaming.consumer import KafkaEventStream

URL = "postgresql://user:secret@db:5432/prices"


def postgres(**environ: str) -> PostgresSettings:
    (read,) = settings.read(PostgresSettings, environ=environ)
    assert isinstance(read, PostgresSettings)
    return read


def redis(**environ: str) -> RedisSettings:
    (read,) = settings.read(RedisSettings, environ=environ)
    assert isinstance(read, RedisSettings)
    return read


def kafka(**environ: str) -> KafkaSettings:
    (read,) = settings.read(KafkaSettings, environ=environ)
    assert isinstance(read, KafkaSettings)
    return read


def test_a_url_is_handed_on_as_it_is() -> None:
    assert postgres(DATABASE_URL=URL).dsn() == URL
    assert postgres(DATABASE_URL=URL.replace("postgresql:", "postgres:")).dsn() == URL


def test_parts_make_an_address_with_every_character_quoted() -> None:
    made = postgres(
        DB_HOST="db", DB_NAME="a b", DB_USER="u@x", DB_PASSWORD="p/w:d@?", DB_SSLMODE="verify-full"
    )

    assert made.dsn() == "postgresql://u%40x:p%2Fw%3Ad%40%3F@db:5432/a%20b?sslmode=verify-full"


def test_a_password_file_is_read_again_each_time(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old\n")
    made = postgres(DB_HOST="db", DB_PASSWORD_FILE=str(file))
    assert ":old@" in made.dsn()

    file.write_text("new\n")

    assert ":new@" in made.dsn()


@pytest.mark.parametrize("fault", ["missing", "half written"])
def test_a_secret_s_file_that_goes_bad_later_means_that_what_it_opens_is_away(
    tmp_path: Path, fault: str
) -> None:
    file = tmp_path / "password"
    file.write_text("old\n")
    store = postgres(DB_HOST="db", DB_PASSWORD_FILE=str(file))
    cache = redis(REDIS_HOST="cache", REDIS_PASSWORD_FILE=str(file))
    stream = kafka(
        KAFKA_BOOTSTRAP_SERVERS="b:1",
        KAFKA_SECURITY_PROTOCOL="SASL_SSL",
        KAFKA_SASL_PASSWORD_FILE=str(file),
    )

    if fault == "missing":
        file.unlink()
    else:
        file.write_bytes(b"\xff\xfe")

    with (
        pytest.raises(StoreUnavailable, match="DB_PASSWORD_FILE"),
        create_engine(store, application="test").connect(),
    ):
        pass
    with pytest.raises(CacheUnavailable, match="REDIS_PASSWORD_FILE"):
        cache.secret()
    with pytest.raises(StreamUnavailable, match="KAFKA_SASL_PASSWORD_FILE"):
        KafkaEventStream(stream, client_id="test")


def test_a_url_may_name_several_hosts_and_no_port() -> None:
    for hosts in ("db", "db:5432,other:5433", "[::1]", "[::1]:5432", "a,b"):
        url = f"postgresql://u:p:w@{hosts}/name"
        assert postgres(DATABASE_URL=url).dsn() == url


def test_a_url_of_several_hosts_may_ask_for_the_one_that_takes_writes() -> None:
    url = "postgresql://u:p@one:5432,two:5432/prices?target_session_attrs=read-write"
    read = postgres(DATABASE_URL=url)

    assert read.dsn() == url
    create_engine(read, application="tests").dispose()  # libpq takes it too


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///name?host=/run/postgresql",
        "postgresql://u:p@/name?host=/run/postgresql",
        "postgresql://:5433/name?host=%2Frun%2Fpostgresql",
        "postgresql://%2Frun%2Fpostgresql/name",
        "postgresql:///name?hostaddr=127.0.0.1",
        "postgresql:///name?service=prices",
    ],
)
def test_a_url_may_name_a_socket_or_leave_its_host_to_a_parameter(url: str) -> None:
    assert postgres(DATABASE_URL=url).dsn() == url


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("postgresql://:5432/x", "its host is missing"),
        ("postgresql:///x", "its host is missing"),
        ("postgresql:///x?host=", "its host is missing"),
        ("postgresql://u:hunter2@/x", "its host is missing"),
        ("postgresql://u:hunter2@:5432/x", "its host is missing"),
        ("postgresql://db:5432,/x", "its host is missing"),
        ("postgresql://a b:5432/x", "its host is malformed"),
        ("postgresql://::1/x", "its host is malformed"),
        ("postgresql://db:0/x", "its port is not a number from 1 to 65535"),
        (f"postgresql://db:{'9' * 5000}/x", "its port is not a number from 1 to 65535"),
    ],
)
def test_a_database_s_address_that_leads_nowhere_is_told_with_its_fault(url: str, fault: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        postgres(DATABASE_URL=url)

    form = "DATABASE_URL is not of the form postgresql://USER:PASSWORD@HOST:PORT/NAME"
    assert str(caught.value) == f"{form}: {fault}"


@pytest.mark.parametrize(
    "url", ["redis://cache", "redis://:p@[::1]:6379/0", "rediss://cache:6380/1", "unix:///run/cache.sock"]
)
def test_a_cache_s_address_names_a_host_or_a_socket(url: str) -> None:
    assert redis(REDIS_URL=url).location() == url


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("redis://", ": its host is missing"),
        ("redis://:6379/0", ": its host is missing"),
        ("redis:///0", ": its host is missing"),
        ("redis://:hunter2@/0", ": its host is missing"),
        ("redis://one:6379,two:6379/0", ": it names several hosts"),
        ("redis://a b:6379/0", ": its host is malformed"),
        ("redis://cache:0/0", ": its port is not a number from 1 to 65535"),
        ("unix://", ": its socket is missing"),
    ],
)
def test_a_cache_s_address_that_leads_nowhere_is_told_with_its_fault(url: str, fault: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        redis(REDIS_URL=url)

    assert str(caught.value) == f"REDIS_URL is not of the form redis://HOST:PORT/0{fault}"


@pytest.mark.parametrize(
    "servers", ["b:1", "one:9092,two:9092", "one:9092, two:9092", "[::1]:9092,b_c.d-e:65535"]
)
def test_brokers_are_hosts_with_ports(servers: str) -> None:
    assert kafka(KAFKA_BOOTSTRAP_SERVERS=servers).bootstrap_servers == servers


@pytest.mark.parametrize(
    ("servers", "fault"),
    [
        ("x:99999", "has 'x:99999', whose port is not a number from 1 to 65535"),
        ("kafka:0", "has 'kafka:0', whose port is not a number from 1 to 65535"),
        ("kafka:9092999", "has 'kafka:9092999', whose port is not a number from 1 to 65535"),
        ("b:1,c:x", "has 'c:x', whose port is not a number from 1 to 65535"),
        ("b:٣", "has 'b:٣', whose port is not a number from 1 to 65535"),
        ("broker", "has 'broker', which is not HOST:PORT"),
        ("broker:", "has 'broker:', which is not HOST:PORT"),
        (":9092", "has ':9092', which is not HOST:PORT"),
        ("http://x:1", "has 'http://x:1', which is not HOST:PORT"),
        (
            "a:1,SASL_SSL://b:9092",
            "has 'SASL_SSL://b:9092', which is not HOST:PORT; leave SASL_SSL:// to KAFKA_SECURITY_PROTOCOL",
        ),
        (
            "ssl://b:9092",
            "has 'ssl://b:9092', which is not HOST:PORT; leave ssl:// to KAFKA_SECURITY_PROTOCOL",
        ),
        ("a b:9092", "has 'a b:9092', which is not HOST:PORT"),
        ("::1:9092", "has '::1:9092', which is not HOST:PORT; an IPv6 address stands in brackets"),
        ("[x]:9092", "has '[x]:9092', which is not HOST:PORT"),
        ("x:1,", "has a comma without an address beside it; leave that comma out"),
        (",x:1", "has a comma without an address beside it; leave that comma out"),
        ("x:1,,y:1", "has a comma without an address beside it; leave that comma out"),
        (" , ", "is not set; give HOST:PORT[,HOST:PORT…]"),
    ],
)
def test_brokers_that_nobody_could_reach_are_named(servers: str, fault: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        kafka(KAFKA_BOOTSTRAP_SERVERS=servers)

    assert str(caught.value) == f"KAFKA_BOOTSTRAP_SERVERS {fault}"


def test_a_password_among_the_brokers_is_not_repeated() -> None:
    with pytest.raises(Misconfigured) as caught:
        kafka(KAFKA_BOOTSTRAP_SERVERS="SASL_SSL://me:hunter2@x:1")

    assert "hunter2" not in str(caught.value)


def test_an_empty_host_counts_as_none() -> None:
    with pytest.raises(Misconfigured, match="DATABASE_URL is not set"):
        postgres(DB_HOST="")
    with pytest.raises(Misconfigured, match="REDIS_URL is not set"):
        redis(REDIS_HOST="")


def test_a_secret_never_shows() -> None:
    made = postgres(DATABASE_URL=URL), redis(REDIS_URL="redis://:secret@cache/0")

    assert "secret" not in repr(made)
    assert "secret" not in str(made)


@pytest.mark.parametrize(
    ("group", "environ", "named"),
    [
        (PostgresSettings, {}, "DATABASE_URL"),
        (PostgresSettings, {"DATABASE_URL": ""}, "DATABASE_URL"),
        (PostgresSettings, {"DATABASE_URL": "mysql://db/x"}, "DATABASE_URL"),
        (PostgresSettings, {"DATABASE_URL": "postgresql://db"}, "DATABASE_URL"),
        (PostgresSettings, {"DB_HOST": "db", "DB_PORT": "70000"}, "DB_PORT"),
        (PostgresSettings, {"DB_HOST": "db", "DB_PORT": "many"}, "DB_PORT"),
        (PostgresSettings, {"DATABASE_URL": "postgresql://u:p@db:54x/name"}, "DATABASE_URL"),
        (PostgresSettings, {"DATABASE_URL": "postgresql://u:p@db:70000/name"}, "DATABASE_URL"),
        (PostgresSettings, {"DATABASE_URL": "postgresql://u:p@[::1/name"}, "DATABASE_URL"),
        (PostgresSettings, {"DB_HOST": "db", "DB_PASSWORD_FILE": "/nowhere"}, "DB_PASSWORD_FILE"),
        (PostgresSettings, {"DB_HOST": "db", "DB_CA_FILE": "/nowhere"}, "DB_CA_FILE"),
        (RedisSettings, {}, "REDIS_URL"),
        (RedisSettings, {"REDIS_URL": "redis://cache:63x/0"}, "REDIS_URL"),
        (RedisSettings, {"REDIS_HOST": "cache", "REDIS_PASSWORD_FILE": "/nowhere"}, "REDIS_PASSWORD_FILE"),
        (
            KafkaSettings,
            {"KAFKA_BOOTSTRAP_SERVERS": "b:1", "KAFKA_SASL_PASSWORD_FILE": "/nowhere"},
            "KAFKA_SASL_PASSWORD_FILE",
        ),
        (KafkaSettings, {"KAFKA_BOOTSTRAP_SERVERS": "b:1", "KAFKA_CA_FILE": "/nowhere"}, "KAFKA_CA_FILE"),
        (RedisSettings, {"REDIS_URL": "localhost:6379"}, "REDIS_URL"),
        (RedisSettings, {"REDIS_HOST": "cache", "REDIS_TTL": "0"}, "REDIS_TTL"),
        (KafkaSettings, {}, "KAFKA_BOOTSTRAP_SERVERS"),
        (KafkaSettings, {"KAFKA_BOOTSTRAP_SERVERS": "broker"}, "KAFKA_BOOTSTRAP_SERVERS"),
        (KafkaSettings, {"KAFKA_BOOTSTRAP_SERVERS": " , "}, "KAFKA_BOOTSTRAP_SERVERS"),
        (
            KafkaSettings,
            {"KAFKA_BOOTSTRAP_SERVERS": "b:1", "KAFKA_SECURITY_PROTOCOL": "TLS"},
            "KAFKA_SECURITY_PROTOCOL",
        ),
        (ProcessSettings, {"MARKETDATA_LOG_LEVEL": "loud"}, "MARKETDATA_LOG_LEVEL"),
        (ProcessSettings, {"MARKETDATA_LOG_LEVLE": "info"}, "MARKETDATA_LOG_LEVLE"),
    ],
)
def test_a_missing_malformed_or_unknown_setting_is_named_in_one_sentence(
    group: type[PostgresSettings], environ: dict[str, str], named: str
) -> None:
    with pytest.raises(Misconfigured) as caught:
        settings.read(group, environ=environ)

    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "parameter"),
    [
        ("redis://cache/0?foo=1", "foo"),
        ("redis://cache/0?foo=", "foo"),
        ("redis://cache/0?socket_timout=5", "socket_timout"),
        ("redis://cache/0?db=1&decode_responses=1", "decode_responses"),
        ("rediss://cache/0?ssl_validate_ocsp=True", "ssl_validate_ocsp"),
        ("redis://cache/0?ssl_cert_reqs=required", "ssl_cert_reqs"),
        ("unix:///cache.sock?socket_keepalive=1", "socket_keepalive"),
        ("redis://cache/0?password=hunter2", "password"),
        ("redis://cache/0?health_check_interval=60", "health_check_interval"),
        ("redis://cache/0?retry_on_timeout=1", "retry_on_timeout"),
        ("rediss://cache/0?ssl_ca_certs=/nowhere", "ssl_ca_certs"),
        ("rediss://cache/0?ssl_keyfile=/nowhere", "ssl_keyfile"),
    ],
)
def test_a_parameter_of_the_cache_s_address_that_would_fail_later_or_do_nothing_is_named(
    url: str, parameter: str
) -> None:
    with pytest.raises(Misconfigured) as caught:
        redis(REDIS_URL=url)

    assert str(caught.value).startswith("REDIS_URL")
    assert parameter in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("parameter", ["socket_timeout", "socket_connect_timeout"])
def test_a_time_that_a_setting_is_for_is_not_taken_from_the_cache_s_address(parameter: str) -> None:
    with pytest.raises(Misconfigured, match=rf"{parameter}.*MARKETDATA_REDIS_TIMEOUT_SECONDS"):
        redis(REDIS_URL=f"redis://cache/0?{parameter}=60")


def test_the_rest_of_a_password_behind_a_question_mark_is_not_repeated() -> None:
    with pytest.raises(Misconfigured, match="REDIS_URL") as caught:
        redis(REDIS_URL="redis://user:12?hunter2@cache/0")

    assert "hunter2" not in str(caught.value)


def test_a_malformed_secret_is_not_repeated_in_the_message() -> None:
    with pytest.raises(Misconfigured) as caught:
        postgres(DATABASE_URL="mysql://user:hunter2@db/x")

    assert "hunter2" not in str(caught.value)


def test_a_setting_of_another_group_of_the_same_process_is_known() -> None:
    environ = {"DATABASE_URL": URL, "MARKETDATA_LOG_LEVEL": "debug"}

    _, process = settings.read(PostgresSettings, ProcessSettings, environ=environ)

    assert process.log_level == "debug"


def test_only_the_environment_given_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", URL)

    with pytest.raises(Misconfigured):
        postgres()


def test_settings_cannot_be_changed() -> None:
    made = postgres(DATABASE_URL=URL)

    with pytest.raises(ValueError, match="frozen"):
        made.pool_size = 7


def test_a_cache_s_secret_comes_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("word\n")

    made = redis(REDIS_HOST="cache", REDIS_DB="2", REDIS_PASSWORD_FILE=str(file))

    assert made.location() == "redis://cache:6379/2"
    assert made.secret() == "word"
    assert redis(REDIS_HOST="cache", REDIS_PASSWORD="other").secret() == "other"
    assert redis(REDIS_URL="rediss://cache:6380/1").secret() is None


def test_kafka_s_client_settings_authenticate_only_where_asked(tmp_path: Path) -> None:
    plain = kafka(KAFKA_BOOTSTRAP_SERVERS="a:9092,b:9092")
    file = tmp_path / "password"
    file.write_text("word\n")
    ca = tmp_path / "ca.crt"
    ca.write_text("certificates")
    secure = kafka(
        KAFKA_BOOTSTRAP_SERVERS="a:9093",
        KAFKA_SECURITY_PROTOCOL="SASL_SSL",
        KAFKA_SASL_USERNAME="poller",
        KAFKA_SASL_PASSWORD_FILE=str(file),
        KAFKA_CA_FILE=str(ca),
    )

    assert plain.client_config() == {"bootstrap.servers": "a:9092,b:9092", "security.protocol": "PLAINTEXT"}
    assert secure.client_config() == {
        "bootstrap.servers": "a:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "poller",
        "sasl.password": "word",
        "ssl.ca.location": str(ca),
    }
