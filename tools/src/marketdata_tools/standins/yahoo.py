"""A stand-in for Yahoo Finance: `python -m marketdata_tools.standins.yahoo --port 8765`.

It speaks the paths and shapes that yfinance 1.7 uses, each upstream host being the first part of
the path (`/query1.finance.yahoo.com/v7/finance/quote?symbols=AAPL&crumb=…`), wants the cookie and
the crumb that Yahoo wants, and serves real price history that moves. Under `/_control` it can be
told what to do wrong, and lists everything it answered.

    POST /_control/faults   {"kind": "rate_limited", "endpoint": "quote", "times": 2, "retry_after": 30}
    POST /_control/reset    no faults, no answers, and the sessions stay valid
    POST /_control/anew     the same, and whoever connected before is not answered any more
    POST /_control/release  what is held goes out, and nothing more is held until the next reset
    POST /_control/expire   every cookie and crumb handed out so far is refused from now on
    GET  /_control/answers?after=0     GET /_control/counts     GET /_control/health
"""

import argparse
import gzip
import json
import secrets
import select
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from marketdata.clock import Clock, SystemClock
from marketdata.stopping import stop_on_signals
from marketdata_tools.standins import series, yahoo_shapes
from marketdata_tools.standins.yahoo_answers import Answers
from marketdata_tools.standins.yahoo_faults import Fault, Faults, parse
from marketdata_tools.standins.yahoo_market import Market
from marketdata_tools.standins.yahoo_shapes import Told

JSON = "application/json;charset=utf-8"
HTML = "text/html;charset=UTF-8"
MOST_SYMBOLS = 99  # Yahoo has refused longer lists since March 2025 (joshuaulrich/quantmod 432)
_COMPRESS_OVER = 1024
_HOSTS = frozenset(
    {
        "fc.yahoo.com",
        "guce.yahoo.com",
        "consent.yahoo.com",
        "finance.yahoo.com",
        "query1.finance.yahoo.com",
        "query2.finance.yahoo.com",
    }
)

_LOGIN_HOSTS = {"fc.yahoo.com": "cookie", "guce.yahoo.com": "consent", "consent.yahoo.com": "consent"}
_ONE_SYMBOL = {
    "/v8/finance/chart/": "chart",
    "/v10/finance/quoteSummary/": "summary",
    "/ws/fundamentals-timeseries/": "timeseries",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before it is sent."""

    status: int
    kind: str
    body: bytes
    told: Sequence[Told] = ()


class YahooStandIn(ThreadingHTTPServer):
    """The server and all it remembers."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], *, step_seconds: int, clock: Clock) -> None:
        self.clock = clock
        self.market = Market(listings=series.load(), step_seconds=step_seconds)
        self.faults = Faults()
        self.answers = Answers()
        self.stopping = threading.Event()
        self.released = threading.Event()
        self.turn = threading.Lock()  # of what one request, or one word of control, changes at once
        self.generation = 0  # of callers: those of an earlier one are not answered
        self.expire()
        super().__init__(address, _Handler)

    def now(self) -> float:
        """Return the Unix time."""
        return self.clock.now().timestamp()

    def expire(self) -> None:
        """Refuse every cookie and crumb handed out so far."""
        self.cookie = f"d=AQABB{secrets.token_hex(8)}&S=AQAAA{secrets.token_hex(8)}"
        self.crumb = secrets.token_urlsafe(8)

    def forget(self, *, callers: bool) -> None:
        """Put everything right and forget all answers; with `callers`, those that are connected too."""
        with self.turn:
            self.generation += int(callers)
            self.released.clear()
            self.faults.clear()
            self.answers.clear()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a caller its generation here, where callers come one by one, in the order of connecting."""
        super().process_request(request, (*client_address, self.generation))

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of callers that went away: that is what a deadline looks like from here."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: YahooStandIn
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        # With a body: yfinance sends one with its GET of copyConsent.
        self._serve(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent; /_control/answers says it better."""

    def _serve(self, sent: bytes) -> None:
        parts = urlsplit(self.path)
        host, _, path = parts.path.lstrip("/").partition("/")
        query = parse_qs(parts.query, keep_blank_values=True)
        if host == "_control":
            self._control(path, query, sent)
        elif host in _HOSTS:
            self._answer(host, "/" + path, query)
        else:
            self._send(404, HTML, b"no such host")

    # -- control ---------------------------------------------------------------------------------

    def _control(self, path: str, query: dict[str, list[str]], sent: bytes) -> None:
        server = self.server
        match (self.command, path):
            case ("GET", "health"):
                self._send(200, JSON, b'{"status":"ok"}')
            case ("GET", "answers"):
                self._send(200, JSON, server.answers.render(after=int(query.get("after", ["0"])[0])))
            case ("GET", "counts"):
                self._send(200, JSON, server.answers.counts())
            case ("POST", "faults"):
                try:
                    server.faults.add(parse(sent, now=int(server.now())))
                except ValueError as error:
                    self._send(422, JSON, json.dumps({"detail": str(error)}).encode())
                else:
                    self._send(200, JSON, b"{}")
            case ("POST", "reset" | "anew"):
                server.forget(callers=path == "anew")
                self._send(200, JSON, b"{}")
            case ("POST", "release"):
                server.released.set()
                self._send(200, JSON, b"{}")
            case ("POST", "expire"):
                server.expire()
                self._send(200, JSON, b"{}")
            case _:
                self._send(404, JSON, b'{"detail":"no such control"}')

    # -- Yahoo -----------------------------------------------------------------------------------

    def _answer(self, host: str, path: str, query: dict[str, list[str]]) -> None:
        endpoint, symbols = _asked(host, path, query)
        with self.server.turn:
            if self.client_address[-1] != self.server.generation:
                self.close_connection = True
                return
            delivery, content = self.server.faults.meet(endpoint, symbols)
            reply = self._sensible(endpoint, path, symbols, query, content)
            if delivery is not None:
                reply = _spoilt(delivery, reply)
            given = self.server.answers.add(
                time=self.server.now(),
                host=host,
                path=self.path,
                endpoint=endpoint,
                status=reply.status,
                symbols=symbols,
                body=reply.body,
                told=reply.told,
            )
        headers = {"x-yahoo-request-id": str(given.number)}
        if endpoint in {"cookie", "consent"} and reply.status in {200, 404}:
            headers["Set-Cookie"] = (
                f"A3={self.server.cookie}; Max-Age=31557600; Domain=.yahoo.com; Path=/; "
                "SameSite=None; Secure; HttpOnly"
            )
        if delivery is not None and delivery.retry_after is not None:
            headers["Retry-After"] = delivery.retry_after
        if delivery is not None and delivery.kind == "redirect":
            headers["Location"] = delivery.location
        if self._deliver(delivery, reply, headers):
            self.server.answers.completed(given)

    def _sensible(
        self,
        endpoint: str,
        path: str,
        symbols: Sequence[str],
        query: dict[str, list[str]],
        faults: Sequence[Fault],
    ) -> Reply:
        """Return the answer as Yahoo would give it."""
        market = self.server.market
        match endpoint:
            case "consent":
                reply = Reply(200, HTML, yahoo_shapes.CONSENT_PAGE if path == "/consent" else b"")
            case "crumb" if self._has_cookie():
                reply = Reply(200, "text/plain;charset=utf-8", self.server.crumb.encode())
            case "quote" if self._has_cookie() and query.get("crumb") == [self.server.crumb]:
                reply = self._quotes(symbols, faults)
            case "crumb" | "quote":
                reply = Reply(401, JSON, yahoo_shapes.unauthorized())
            case "chart":
                told = market.tell(symbols, now=int(self.server.now()), faults=faults)
                if told:
                    reply = Reply(200, JSON, yahoo_shapes.chart_body(told[0]), told)
                else:
                    reply = Reply(404, JSON, yahoo_shapes.chart_unknown())
            case "summary":
                listing = market.listing(symbols[0])
                body = yahoo_shapes.summary_body(symbols[0], listing)
                reply = Reply(200 if listing else 404, JSON, body)
            case "timeseries":
                reply = Reply(200, JSON, yahoo_shapes.timeseries_body(symbols[0]))
            case _:
                reply = Reply(404, HTML, b"")  # the cookie page too: its cookie is all that counts
        return reply

    def _quotes(self, symbols: Sequence[str], faults: Sequence[Fault]) -> Reply:
        if not 0 < len(symbols) <= MOST_SYMBOLS:
            return Reply(400, JSON, yahoo_shapes.bad_request("Missing or too many symbols"))
        told = self.server.market.tell(symbols, now=int(self.server.now()), faults=faults)
        return Reply(200, JSON, yahoo_shapes.quote_body(told), told)

    def _has_cookie(self) -> bool:
        return f"A3={self.server.cookie}" in self.headers.get("Cookie", "")

    # -- the wire --------------------------------------------------------------------------------

    def _deliver(self, fault: Fault | None, reply: Reply, headers: dict[str, str]) -> bool:
        """Send the answer the way `fault` has it; return whether all of it went out."""
        head = self._head(reply.status, reply.kind, len(reply.body), headers)
        complete = True
        match fault.kind if fault else "":
            case "hang":
                self._hang(until=self.server.stopping)
                complete = False
            case "hold":
                self._hang(until=self.server.released)
                self._send(reply.status, reply.kind, reply.body, headers)
            case "cut":
                self.wfile.write(head + reply.body[: len(reply.body) // 2])
                self.close_connection = True
                complete = False
            case "drip":
                complete = self._drip(head, reply.body, fault.seconds if fault else 0.0)
            case "huge":
                self._pour(reply, fault.megabytes if fault else 0, headers)
            case _:
                self._send(reply.status, reply.kind, reply.body, headers)
        return complete

    def _send(self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        more = dict(headers or {})
        if len(body) > _COMPRESS_OVER and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, compresslevel=1)
            more["Content-Encoding"] = "gzip"
        self.wfile.write(self._head(status, kind, len(body), more) + body)

    def _head(self, status: int, kind: str, length: int, headers: dict[str, str]) -> bytes:
        lines = [f"HTTP/1.1 {status} {self.responses.get(status, ('Status',))[0]}"]
        lines += [f"Content-Type: {kind}", f"Content-Length: {length}", f"Date: {self.date_time_string()}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    def _hang(self, *, until: threading.Event) -> None:
        while not until.is_set() and not self.server.stopping.is_set() and not self._caller_gone(0.1):
            pass
        self.close_connection = True

    def _drip(self, head: bytes, body: bytes, seconds: float) -> bool:
        self.wfile.write(head)
        for position in range(len(body)):
            if self.server.stopping.is_set() or self._caller_gone(seconds):
                self.close_connection = True
                return False
            self.wfile.write(body[position : position + 1])
        return True

    def _pour(self, reply: Reply, megabytes: int, headers: dict[str, str]) -> None:
        head = self._head(reply.status, reply.kind, megabytes << 20, headers)
        self.close_connection = True
        self.wfile.write(head)
        for _ in range(megabytes):
            self.wfile.write(b" " * 1_048_576)

    def _caller_gone(self, seconds: float) -> bool:
        """Wait up to `seconds` and say whether the caller closed the connection meanwhile."""
        readable, _, _ = select.select([self.connection], [], [], seconds)
        return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""


def _asked(host: str, path: str, query: dict[str, list[str]]) -> tuple[str, list[str]]:
    """Return the endpoint and the symbols that a request asks of it."""
    endpoint = "unknown"
    if host in _LOGIN_HOSTS:
        endpoint = _LOGIN_HOSTS[host]
    elif path == "/v1/test/getcrumb":
        endpoint = "crumb"
    elif path == "/v7/finance/quote":
        listed = ",".join(query.get("symbols", []))
        return "quote", [symbol for symbol in listed.split(",") if symbol]
    for part, one in _ONE_SYMBOL.items():
        if path.startswith(part):
            return one, [unquote(path.rsplit("/", 1)[-1])]
    return endpoint, []


def _spoilt(fault: Fault, reply: Reply) -> Reply:
    """Return what `fault` makes of the answer; what never arrives whole tells nobody a price."""
    apology = fault.body.encode() or yahoo_shapes.SORRY_PAGE
    spoilt = reply
    match fault.kind:
        case "rate_limited":
            spoilt = Reply(429, HTML, b"Too Many Requests\r\n")
        case "status":
            spoilt = Reply(fault.status, HTML, apology)
        case "html":
            spoilt = Reply(200, HTML, apology)
        case "redirect":
            spoilt = Reply(302, HTML, b"")
        case "not_json":
            spoilt = replace(reply, body=reply.body[: len(reply.body) // 2], told=())
        case "hang" | "cut" | "huge":
            spoilt = replace(reply, told=())
        case _:
            pass
    return spoilt


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; return 0."""
    parser = argparse.ArgumentParser(
        prog="python -m marketdata_tools.standins.yahoo", description="Stand in for Yahoo Finance."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes any that is free")
    parser.add_argument("--step-seconds", type=int, default=1, help="seconds between two prices of a symbol")
    options = parser.parse_args(argv)
    try:
        server = YahooStandIn(
            (options.host, options.port), step_seconds=options.step_seconds, clock=SystemClock()
        )
    except OSError as error:
        sys.stderr.write(f"cannot listen on {options.host}:{options.port}: {error.strerror}\n")
        return 1
    ended = threading.Event()
    stop_on_signals(ended)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    sys.stdout.write(f"Yahoo stand-in listening at http://{options.host}:{server.server_address[1]}\n")
    sys.stdout.flush()
    ended.wait()
    server.stopping.set()
    server.shutdown()
    server.server_close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
