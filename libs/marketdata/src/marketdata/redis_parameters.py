"""What may stand behind the `?` of REDIS_URL.

redis-py hands a parameter that it does not know to its connections, which fail at the first use;
one that a service sets itself would win over the setting; and the API's own connection would hear
of neither. So each scheme has a list, and whatever is not on it stops the start.
"""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, parse_qs

from marketdata import secret_files

# What redis-py documents, without what the services say: how long a call may take, how often it is
# tried, who asks. Those of its pool and sockets are kept for addresses shared with other programs;
# the API, which has one connection, is no other for them.
_ANY = frozenset({"db", "max_connections", "protocol", "socket_read_size"})
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_PARAMETERS: Mapping[str, frozenset[str]] = {
    "unix": _ANY,
    "redis": _ANY | {"socket_keepalive"},
    "rediss": _ANY
    | {"socket_keepalive", "ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_check_hostname", "ssl_ciphers"}
    | {"ssl_exclude_verify_flags", "ssl_include_verify_flags", "ssl_min_version", "ssl_password"}
    | frozenset(_FILES),
}
_TIMES = frozenset({"socket_connect_timeout", "socket_timeout", "timeout"})


def check(parts: SplitResult, form: str) -> None:
    """Return if each parameter is known and its file can be read; raises ValueError naming it otherwise.

    `form` is the sentence for an address that is malformed.
    """
    given = parse_qs(parts.query, keep_blank_values=True)
    known = _PARAMETERS[parts.scheme]
    for name in given:
        if name in known:
            continue
        if "@" in parts.query:  # behind a bare `?` of a password stands its rest, which is not repeated
            raise ValueError(f"{form}: a `?` in a password is written %3F")
        told = f"REDIS_URL has the parameter {name!r}, "
        if name in _TIMES:
            settings = "MARKETDATA_REDIS_TIMEOUT_SECONDS and MARKETDATA_API_CACHE_TIMEOUT_SECONDS"
            raise ValueError(f"{told}which it is for {settings} to say")
        raise ValueError(
            f"{told}which {parts.scheme}: does not take here; it takes {', '.join(sorted(known))}"
        )
    for name in _FILES:
        if name in given:
            secret_files.check_readable(Path(given[name][0]), f"REDIS_URL's {name}")
