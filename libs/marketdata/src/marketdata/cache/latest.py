"""The cache's write side: latest prices, each put only over an older one.

Writers race and messages come late, so the decision is made where the value is, in one script
that takes all values of a batch in one round trip, each for two keys. Two renderings of a series
compare by rank as plain bytes (messages.latest.rank_prefix), so the script parses nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import unquote, urlsplit

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from marketdata.cache.connection import check_address
from marketdata.cache.reader import latest_key
from marketdata.domain.price import PricePoint
from marketdata.errors import CacheUnavailable
from marketdata.messages.latest import RANK_LENGTH, render_all
from marketdata.settings import RedisSettings

# Compared byte by byte through the position of the first difference: Lua's own `<` follows the
# server's locale. The parts compared are of fixed width, digits and a-f with the same punctuation at
# the same places, which every locale sorts alike. A key that another program made a list, or the like,
# is no latest price: SET overwrites whatever there is, and a script that ended there would leave the
# series behind it unwritten, at each batch. Asking for the failure costs under 2 % of 500 series' time.
_SCRIPT = """
local ttl, length, written = ARGV[1], tonumber(ARGV[2]), 0
for i, key in ipairs(KEYS) do
  local value = ARGV[2 + math.ceil(i / 2)]
  local known = redis.pcall('GETRANGE', key, 0, length - 1)
  if type(known) == 'table' then
    if not string.find(known.err, 'WRONGTYPE', 1, true) then
      return known
    end
    known = ''
  end
  if known == '' or known <= string.sub(value, 1, length) then
    redis.call('SET', key, value, 'EX', ttl)
    written = written + 1
  end
end
return written
"""
# A batch has up to 5,000 series, and one script call blocks the server meanwhile.
_AT_ONCE = 500


class RedisLatestPrices:
    """Latest prices in Redis under `latest_price_{symbol}_{provider}` and `latest_price_{symbol}_any`."""

    def __init__(self, settings: RedisSettings) -> None:
        """Open nothing yet. Raises Misconfigured for an address that can never be used."""
        self._ttl = settings.ttl_seconds
        check_address(settings.location())
        address, password = _credentials(settings)
        self._client = redis.Redis.from_url(
            address,
            socket_timeout=settings.timeout_seconds,
            socket_connect_timeout=settings.timeout_seconds,
            health_check_interval=15,
            retry=Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.1), 1),
            credential_provider=password,
        )
        self._script = self._client.register_script(_SCRIPT)

    def write(self, points: Sequence[PricePoint]) -> int:
        """Put each point unless a newer one is there; return how many keys were written.

        One round trip for up to 500 points. Idempotent; writing the same again renews the TTL. A key
        that holds no string counts as missing. Raises CacheUnavailable within a few timeouts.
        """
        written = 0
        try:
            for start in range(0, len(points), _AT_ONCE):
                chunk = points[start : start + _AT_ONCE]
                written += int(
                    self._script(keys=list(_keys(chunk)), args=[self._ttl, RANK_LENGTH, *render_all(chunk)])
                )
        except (redis.RedisError, OSError) as error:
            raise CacheUnavailable(f"the cache cannot be reached: {error}") from error
        return written

    def close(self) -> None:
        """Let go of the connections; idempotent."""
        self._client.close()


class _Password(redis.CredentialProvider):
    """Reads the password again for each new connection, so a rotated one needs no restart."""

    def __init__(self, settings: RedisSettings, user: str | None) -> None:
        self._settings = settings
        self._user = user

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        password = self._settings.secret() or ""
        return (self._user, password) if self._user else (password,)


def _credentials(settings: RedisSettings) -> tuple[str, _Password | None]:
    """Return the address to connect to, and what knows the password where the address does not."""
    address = settings.location()
    parts = urlsplit(address)
    if not settings.has_secret or parts.password:
        return address, None
    # redis-py takes a user from the address or from a provider, not one half from each.
    user = parts.netloc.rpartition("@")[0]
    return address.replace(f"//{user}@", "//", 1), _Password(settings, unquote(user.rstrip(":")))


def _keys(points: Iterable[PricePoint]) -> Iterator[bytes]:
    """Yield two for each point: its series' own, and the one for the newest of any provider."""
    for point in points:
        yield latest_key(point.symbol, point.provider)
        yield latest_key(point.symbol, None)
