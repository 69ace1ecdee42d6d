"""Every way to say where Redis is and who asks works for both of its clients, and a wrong one is told.

The API's reader has a connection of its own and the consumer's writer that of redis-py: what one
writes through an address, the other reads through the same.
"""

import asyncio
import itertools
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
import trustme
from pydantic import SecretStr

from marketdata.cache.latest import RedisLatestPrices
from marketdata.cache.reader import RedisLatestReader, latest_key
from marketdata.domain.price import PricePoint
from marketdata.errors import CacheUnavailable, Misconfigured
from marketdata.settings import RedisSettings
from marketdata_tools.embedded.redis import EmbeddedRedis
from support.builders import a_price
from support.ports import free_port
from support.proxy import Proxy

PASSWORD = "p@ss/word:é%41"
QUOTED = "p%40ss%2Fword%3A%C3%A9%2541"
READERS = "another"

_numbers = itertools.count()


class Guarded:
    """A server that wants a password, on TCP, on TCP with TLS, and on a Unix socket."""

    def __init__(
        self, *, port: int, tls_port: int, socket_path: Path, authority: Path, stranger: Path, client: Path
    ) -> None:
        self.plain = f"127.0.0.1:{port}"
        self.tls = f"127.0.0.1:{tls_port}"
        self.tls_by_another_name = f"localhost:{tls_port}"
        self.socket = socket_path
        self.authority = authority
        self.authority_text = quote(authority.read_text(encoding="utf-8"))
        self.stranger = stranger
        self.client = client


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    ours, another = trustme.CA(), trustme.CA()
    for name, authority in (("ours", ours), ("another", another)):
        authority.cert_pem.write_to_path(str(folder / f"{name}.pem"))
    ours.issue_cert("reader").private_key_and_cert_chain_pem.write_to_path(str(folder / "client.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.issue_cert("127.0.0.1").configure_cert(context)
    server = EmbeddedRedis(folder, port=free_port())
    server.start()
    with (
        tempfile.TemporaryDirectory() as short,  # the path of a Unix socket has 107 bytes at most
        Proxy(server.port, tls=context) as tls,
        Proxy(server.port, path=Path(short) / "redis.sock"),
    ):
        with redis.Redis.from_url(server.url()) as client:
            client.acl_setuser(
                "reader", enabled=True, passwords=[f"+{READERS}"], keys="*", commands=["+@all"], reset=True
            )
            client.config_set("requirepass", PASSWORD)
        yield Guarded(
            port=server.port,
            tls_port=tls.port,
            socket_path=Path(short) / "redis.sock",
            authority=folder / "ours.pem",
            stranger=folder / "another.pem",
            client=folder / "client.pem",
        )
    server.stop()


def read(settings: RedisSettings, point: PricePoint) -> bytes | None:
    async def ask() -> bytes | None:
        reader = RedisLatestReader(settings, timeout_seconds=settings.timeout_seconds)
        try:
            (value,) = await reader.get_many([latest_key(point.symbol, point.provider)])
        finally:
            await reader.close()
        return value

    return asyncio.run(ask())


def both_work(settings: RedisSettings) -> None:
    settings = settings.model_copy(update={"timeout_seconds": 30})  # of a handshake on a busy machine
    point = a_price(symbol=f"S{next(_numbers)}")  # a point that is there already is not written again
    writer = RedisLatestPrices(settings)
    assert writer.write([point]) > 0
    writer.close()
    assert b"231.5" in (read(settings, point) or b"")


def neither_works(settings: RedisSettings) -> None:
    with pytest.raises(CacheUnavailable):
        RedisLatestPrices(settings).write([a_price()])
    with pytest.raises(CacheUnavailable):
        read(settings, a_price())


@pytest.mark.parametrize(
    "form",
    [
        "redis://:{quoted}@{plain}/3",
        "redis://reader:another@{plain}/3",
        "rediss://:{quoted}@{tls}/3?ssl_ca_certs={authority}",
        "rediss://reader:another@{tls}/3?ssl_ca_certs={authority}",
        "rediss://:{quoted}@{tls}/3?ssl_cert_reqs=none",
        "unix://:{quoted}@{socket}?db=3",
        "unix://reader:another@{socket}?db=3",
        "redis://:{quoted}@{plain}/0?db=3&protocol=2",
        "redis://:{quoted}@{plain}/3?protocol=3&max_connections=4&socket_keepalive=true&socket_read_size=4096",
        "rediss://:{quoted}@{tls}/3?ssl_ca_certs={authority}&ssl_min_version=771&ssl_ciphers=DEFAULT",
        "rediss://:{quoted}@{tls_by_another_name}/3?ssl_ca_certs={authority}&ssl_check_hostname=false",
        "rediss://:{quoted}@{tls}/3?ssl_ca_data={authority_text}",
        "rediss://:{quoted}@{tls}/3?ssl_ca_certs={authority}&ssl_certfile={client}&ssl_keyfile={client}",
    ],
)
def test_an_address_may_carry_user_password_authority_and_database(guarded: Guarded, form: str) -> None:
    both_work(RedisSettings(url=SecretStr(form.format(quoted=QUOTED, **vars(guarded)))))


@pytest.mark.parametrize(
    "form",
    [
        "redis://{plain}/3",
        "redis://reader@{plain}/3",
        "rediss://reader@{tls}/3?ssl_ca_certs={authority}",
        "unix://{socket}?db=3",
    ],
)
@pytest.mark.parametrize("is_file", [False, True], ids=["variable", "file"])
def test_the_password_may_stand_beside_the_address(
    guarded: Guarded, form: str, tmp_path: Path, *, is_file: bool
) -> None:
    file = tmp_path / "password"
    password = READERS if "reader@" in form else PASSWORD
    file.write_text(password + "\n", encoding="utf-8")
    url = SecretStr(form.format(**vars(guarded)))

    both_work(
        RedisSettings(url=url, password_file=file)
        if is_file
        else RedisSettings(url=url, password=SecretStr(password))
    )


@pytest.mark.parametrize(
    "form",
    [
        "redis://{plain}/3",
        "redis://:wrong@{plain}/3",
        "redis://nobody:{quoted}@{plain}/3",
        "redis://:{quoted}@{tls}/3",
        "rediss://:{quoted}@{tls}/3?ssl_ca_certs={stranger}",
        "rediss://:{quoted}@{tls}/3",
        "rediss://:{quoted}@{tls_by_another_name}/3?ssl_ca_certs={authority}",
        "redis://:{quoted}@{plain}/99",
        "unix://:{quoted}@{socket}.gone?db=3",
    ],
)
def test_a_wrong_password_user_authority_database_or_protocol_is_told_and_never_hangs(
    guarded: Guarded, form: str
) -> None:
    neither_works(RedisSettings(url=SecretStr(form.format(quoted=QUOTED, **vars(guarded)))))


def test_a_password_in_the_address_goes_before_one_beside_it(guarded: Guarded) -> None:
    url = SecretStr(f"redis://:{QUOTED}@{guarded.plain}/3")

    both_work(RedisSettings(url=url, password=SecretStr("not this one")))


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache/0?db=two",
        "redis://cache/0?protocol=4",
        "redis://cache/0?max_connections=many",
        "rediss://cache/0?ssl_cert_reqs=perhaps",
        "rediss://cache/0?ssl_min_version=9",
        "rediss://cache/0?ssl_ciphers=none-of-these",
        "rediss://cache/0?ssl_include_verify_flags=VERIFY_NOTHING",
        "rediss://cache/0?ssl_ca_data=no-certificate",
    ],
)
def test_a_value_in_the_address_that_no_connection_could_use_is_told_before_the_first(url: str) -> None:
    settings = RedisSettings(url=SecretStr(url))

    with pytest.raises(Misconfigured, match="REDIS_URL"):
        RedisLatestPrices(settings)
    with pytest.raises(Misconfigured, match="REDIS_URL"):
        RedisLatestReader(settings, timeout_seconds=5)
