"""API keys: off unless a file of them is given.

Each line of the file is the SHA-256 of a key in hex, its scopes separated by commas, and a name
for people; `#` begins a comment. Keys are random and long, so a plain hash is enough, and the
file is worthless to who reads it. It is read again when it changes, so a key can be added and
taken away while the process runs. While it is missing or broken the keys known before stay valid,
also one that was to be taken away: a slip in a rotation is told, and is no outage.

    9f86d0…  prices:read,raw:read  dashboard
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from marketdata.clock import Clock
from marketdata.errors import Misconfigured
from marketdata.telemetry import logs
from marketdata_api.problems import FORBIDDEN, UNAUTHORIZED, Problem

SCOPES = frozenset({"prices:read", "jobs:write", "raw:read"})
_OPEN = re.compile(
    r"/(healthz|readyz|version|docs|openapi\.json|problems|static|test-db)(/.*)?|/prices/test-db|/"
)
_line = re.compile(r"(?P<digest>[0-9a-f]{64})\s+(?P<scopes>[a-z:,]+)(\s+(?P<name>\S.*))?")
_REREAD_SECONDS = 5.0

_log = logs.get("keys")


class _Key(NamedTuple):
    digest: bytes
    scopes: frozenset[str]


def scope_of(method: str, path: str) -> str | None:
    """Return the scope that a request needs, None where it needs none."""
    if _OPEN.fullmatch(path):
        return None
    if path.startswith("/prices/raw/"):
        return "raw:read"
    return "prices:read" if method in ("GET", "HEAD", "OPTIONS") else "jobs:write"


class KeyRing:
    """The keys that may be used now."""

    def __init__(self, file: Path, *, clock: Clock, tell: Callable[[float], None]) -> None:
        """Read the file; raises Misconfigured. `tell` hears 1 when it cannot be read again, 0 when it can."""
        self._file = file
        self._clock = clock
        self._keys = _read(file)
        self._modified = file.stat().st_mtime_ns
        self._looked_at = clock.monotonic()
        self._tell = tell
        self._is_unreadable = False
        tell(0)

    def check(self, headers: Iterable[tuple[bytes, bytes]], *, method: str, path: str) -> None:
        """Return if the request may go on; raises Problem. A wrong key takes as long as a right one."""
        needed = scope_of(method, path)
        if needed is None:
            return
        presented = hashlib.sha256(_key_in(headers)).digest()
        scopes: frozenset[str] | None = None
        for key in self._current():
            if hmac.compare_digest(key.digest, presented):
                scopes = key.scopes
        if scopes is None:
            raise Problem(UNAUTHORIZED, headers={"www-authenticate": "Bearer"})
        if needed not in scopes:
            raise Problem(FORBIDDEN, f"this address needs the scope {needed}")

    def _current(self) -> tuple[_Key, ...]:
        now = self._clock.monotonic()
        if now - self._looked_at >= _REREAD_SECONDS:
            self._looked_at = now
            self._look()
        return self._keys

    def _look(self) -> None:
        reason = None
        try:
            modified = self._file.stat().st_mtime_ns
            if modified != self._modified:
                self._keys, self._modified = _read(self._file), modified
        except OSError as error:
            reason = f"MARKETDATA_API_KEYS_FILE cannot be read: {error.strerror or error}"
        except Misconfigured as error:
            reason = str(error)
        if (reason is not None) is self._is_unreadable:
            return
        self._is_unreadable = reason is not None
        self._tell(1 if self._is_unreadable else 0)
        if self._is_unreadable:
            _log.warning("API keys unreadable, those known stay valid", reason=reason)
        else:
            _log.info("API keys read again", keys=len(self._keys))


def _key_in(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    for name, value in headers:
        if name == b"x-api-key":
            return value
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip()
    return b""


def _read(file: Path) -> tuple[_Key, ...]:
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"MARKETDATA_API_KEYS_FILE cannot be read: {file}") from error
    keys = []
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        found = _line.fullmatch(content)
        scopes = frozenset(found["scopes"].split(",")) if found else frozenset()
        if found is None or not scopes <= SCOPES:
            raise Misconfigured(
                f"MARKETDATA_API_KEYS_FILE line {number} is not a SHA-256 in hex, scopes out of "
                f"{', '.join(sorted(SCOPES))}, and a name"
            )
        keys.append(_Key(bytes.fromhex(found["digest"]), scopes))
    return tuple(keys)
