"""Alpha Vantage as a test needs it: GLOBAL_QUOTE answers, and its refusals with status 200."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

KEY = "s3cret-key-0451"
UNKNOWN = "NOSUCH"


class AlphaVantage(ThreadingHTTPServer):
    """Answers every symbol with one price; `answer` replaces all answers, `asked` lists requests.

    `status` and `headers` go with every answer.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.answer: dict[str, object] | None = None
        self.status = 200
        self.headers: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: AlphaVantage

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self.server.asked.append(self.path)
        (symbol,) = query["symbol"]
        content: dict[str, object] = {"Global Quote": {} if symbol == UNKNOWN else _row(symbol)}
        if query["apikey"] != [KEY]:
            content = {"Error Message": "the parameter apikey is invalid or missing."}
        body = json.dumps(self.server.answer or content).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _row(symbol: str) -> dict[str, str]:
    return {
        "01. symbol": symbol,
        "02. open": "230.0000",
        "05. price": "231.5000",
        "06. volume": "3402145",
        "07. latest trading day": "2026-02-27",
        "08. previous close": "230.1000",
    }


@contextmanager
def serving() -> Iterator[AlphaVantage]:
    """Serve on a free port for as long as the context lasts."""
    server = AlphaVantage()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
