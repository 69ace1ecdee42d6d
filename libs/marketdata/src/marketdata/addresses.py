"""Addresses of servers, as settings give them: one that no connection could use stops the start.

Looks at the words only, never at the network. Raises ValueError with one sentence, which repeats
no secret.
"""

import re
from urllib.parse import SplitResult, urlsplit

_NAME = r"[^\s\[\]:/?#@,]+"  # libpq's sockets too, in which each slash is %2F
_HOST = re.compile(rf"\[[0-9A-Fa-f:.]+(%[^\s\[\]]+)?\]|{_NAME}")
_PROTOCOL = re.compile(r"(SASL_)?(PLAINTEXT|SSL)://", re.IGNORECASE)
_PORT = re.compile(r"[0-9]{1,5}")


def url(text: str, form: str) -> SplitResult:
    """Return the parts of `text`; its port is one. `form` is the sentence for one that is malformed."""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(f"{form}: its host is malformed") from None
    # libpq takes several hosts, and leaves the rest of a port that is none to the name service.
    for _, port in places(parts):
        if port and not _is_port(port):
            raise ValueError(f"{form}: its port is not a number from 1 to 65535")
    return parts


def require_hosts(parts: SplitResult, form: str) -> None:
    """Return if each place in `parts` names a host: clients take this machine for one that is missing."""
    for host, _ in places(parts):
        if not host:
            raise ValueError(f"{form}: its host is missing")
        if not _HOST.fullmatch(host):
            raise ValueError(f"{form}: its host is malformed")


def places(parts: SplitResult) -> list[tuple[str, str]]:
    """Return host and port of each place that an address names, either of them empty if it is missing."""
    return [_host_and_port(place) for place in parts.netloc.rpartition("@")[2].split(",")]


def require_servers(text: str, variable: str) -> None:
    """Return if `text` is HOST:PORT, or several with commas between them.

    librdkafka takes a protocol before it (rd_kafka_brokers_add). We do not: it could only repeat
    KAFKA_SECURITY_PROTOCOL, as librdkafka leaves out a server that says another one.
    """
    servers = [server.strip() for server in text.split(",")]
    if not any(servers):
        raise ValueError(f"{variable} is not set; give HOST:PORT[,HOST:PORT…]")
    if not all(servers):
        raise ValueError(f"{variable} has a comma without an address beside it; leave that comma out")
    for server in servers:
        host, port = _host_and_port(server)
        told = "an address with a user" if "@" in server else repr(server)
        if not (port and _HOST.fullmatch(host)):
            raise ValueError(f"{variable} has {told}, which is not HOST:PORT{_remedy(server, host)}")
        if not _is_port(port):
            raise ValueError(f"{variable} has {told}, whose port is not a number from 1 to 65535")


def _remedy(server: str, host: str) -> str:
    if protocol := _PROTOCOL.match(server):
        return f"; leave {protocol[0]} to KAFKA_SECURITY_PROTOCOL"
    return "; an IPv6 address stands in brackets" if host.count(":") > 1 and "[" not in host else ""


def _host_and_port(place: str) -> tuple[str, str]:
    """Return what stands before the last colon outside of brackets, and what stands behind it."""
    if ":" not in place.rpartition("]")[2]:
        return place, ""
    host, _, port = place.rpartition(":")
    return host, port


def _is_port(text: str) -> bool:
    return bool(_PORT.fullmatch(text)) and 1 <= int(text) <= 65535
