"""Opaque page tokens.

A token says where the page before ended and for which filters it was issued; it is signed, so a
damaged or invented one, or one used with other filters, is refused and never misread. It grants
nothing: a position is all it holds. That is why a deployment without a key of its own may share
the one built in; a key makes tokens of one deployment worthless to another. As anybody can sign
with the one built in, a position is not believed for its signature: it is parsed like other input.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from marketdata.errors import InvalidInput
from marketdata_api.problems import PAGE_TOKEN_INVALID, FieldError, Problem

_BUILT_IN_KEY = b"marketdata page tokens, version 1"
_SIGNATURE_BYTES = 12
_LONGEST = 512

Position = tuple[str, str]
"""What the page before ended with: a time in RFC 3339, and what breaks its ties."""

Tie = TypeVar("Tie")


class PageTokens:
    """Makes and reads tokens."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or _BUILT_IN_KEY

    def issue(self, position: Position, *, of: str, filters: Mapping[str, object]) -> str:
        """Return the token for the page after `position` of the listing `of`."""
        payload = msgspec.json.encode(position)
        return base64.urlsafe_b64encode(self._sign(payload, of, filters) + payload).decode().rstrip("=")

    def read(
        self, token: str, *, of: str, filters: Mapping[str, object], tie: Callable[[str], Tie]
    ) -> tuple[datetime, Tie]:
        """Return the position, its time in UTC and what breaks ties as `tie` parses it.

        Raises Problem for a token not issued for this listing and filters, and for one that holds no
        such position; `tie` refuses by ValueError or InvalidInput.
        """
        try:
            if len(token) > _LONGEST:
                raise ValueError("longer than any token")
            blob = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            signature, payload = blob[:_SIGNATURE_BYTES], blob[_SIGNATURE_BYTES:]
            if not hmac.compare_digest(signature, self._sign(payload, of, filters)):
                raise ValueError("wrong signature")
            at, breaker = msgspec.json.decode(payload, type=Position)
            return _time(at), tie(breaker)
        except (ValueError, OverflowError, InvalidInput, msgspec.MsgspecError):
            entry = FieldError("query", ["page_token"], "not a token of this listing and these filters")
            raise Problem(
                PAGE_TOKEN_INVALID,
                "page_token is not valid here; begin again without it",
                errors=[entry],
            ) from None

    def _sign(self, payload: bytes, of: str, filters: Mapping[str, object]) -> bytes:
        about = msgspec.json.encode([of, {name: filters[name] for name in sorted(filters)}])
        digest = hmac.new(self._key, about + b"\0" + payload, hashlib.sha256).digest()
        return digest[:_SIGNATURE_BYTES]


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at.astimezone(UTC)
