"""HTTP with bounds: for providers whose upstream may drip, hang, pour or send us elsewhere.

libcurl (through curl_cffi, which comes with yfinance) limits the total time of a transfer, which
the usual clients do not: their timeouts begin again with every byte received.
"""

from collections.abc import Mapping
from typing import Any, cast

from curl_cffi import requests as curl
from curl_cffi.curl import CURL_WRITEFUNC_ERROR

from marketdata.errors import BadResponse, UpstreamTimeout, UpstreamUnavailable

LARGEST_ANSWER_BYTES = 8 * 1024 * 1024  # 90 quotes with every field are a quarter of a megabyte
_SHORTEST_SECONDS = 0.05  # libcurl takes whole milliseconds, and 0 as "for ever"


class BoundedSession(curl.Session):  # type: ignore[type-arg]
    """A curl_cffi session that can send one request with every bound in place; one thread at a time."""

    def __init__(self, **options: Any) -> None:
        # One handle for all threads: each fetch may come from another, and a handle of its own would
        # cost it a new connection.
        super().__init__(use_thread_local_curl=False, **options)

    def send(
        self, method: str, url: str, *, seconds: float, what: str, options: Mapping[str, Any]
    ) -> curl.Response:
        """Return the complete answer, its body in `content`; redirects are not followed.

        Blocks up to `seconds`, the body's last byte included. Raises UpstreamTimeout,
        UpstreamUnavailable, and BadResponse over 8 MiB; the messages name `what` and no address.
        """
        body = bytearray()

        def receive(chunk: bytes) -> int:
            body.extend(chunk)
            return len(chunk) if len(body) <= LARGEST_ANSWER_BYTES else CURL_WRITEFUNC_ERROR

        bounds = {
            "timeout": max(seconds, _SHORTEST_SECONDS),
            "allow_redirects": False,
            "content_callback": receive,
        }
        try:
            response = curl.Session.request(self, cast("Any", method), url, **{**options, **bounds})
        except curl.exceptions.Timeout as error:
            raise UpstreamTimeout(f"no complete {what} answer within the deadline") from error
        except curl.exceptions.RequestException as error:
            if len(body) > LARGEST_ANSWER_BYTES:
                raise BadResponse(f"the {what} answer is over {LARGEST_ANSWER_BYTES} bytes") from error
            raise UpstreamUnavailable(f"the {what} request failed: {type(error).__name__}") from error
        response.content = bytes(body)
        return cast("curl.Response", response)
