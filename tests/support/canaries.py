"""Marked secrets: texts that stand in for every credential and must be found nowhere."""

import socketserver
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import sqlalchemy as sa

from marketdata.clock import SystemClock
from marketdata_tools.standins.yahoo import YahooStandIn

MARK = "cnry"  # in every one of them; in no other text of the product or its tests' servers
DATABASE, REDIS, KAFKA = f"{MARK}-database", f"{MARK}-redis", f"{MARK}-kafka"
ALPHA_VANTAGE, API_KEY, PAGE_KEY = f"{MARK}-alpha", f"{MARK}-api-key", f"{MARK}-page-key"
TRACES, KUBERNETES = f"{MARK}-traces", f"{MARK}-kubernetes"
COOKIE, CRUMB = f"d=A{MARK}cookie", f"{MARK}.crumb"


def check(texts: Iterable[tuple[str, str]]) -> None:
    """Assert that no text, each named, holds a marked secret; says where, with what is around it."""
    for where, text in texts:
        at = text.find(MARK)
        assert at < 0, f"{where}: …{text[max(0, at - 200) : at + 100]}…"


def tables(engine: sa.Engine) -> Iterator[tuple[str, str]]:
    """Return all rows of all tables as text, bytes as what they spell."""
    with engine.connect() as connection:
        names = connection.scalars(
            sa.text("select tablename from pg_tables where schemaname = 'public' order by 1")
        ).all()
        for name in names:
            for row in connection.execute(sa.text(f'select * from "{name}"')):
                cells = (
                    bytes(cell).decode("latin-1") if isinstance(cell, bytes | memoryview) else str(cell)
                    for cell in row
                )
                yield name, " ".join(cells)


class _RefusingPostgres(socketserver.StreamRequestHandler):
    """Speaks PostgreSQL's protocol 3 as far as a wrong password, which its refusal repeats."""

    def handle(self) -> None:
        while True:
            (size,) = struct.unpack("!i", self.rfile.read(4))
            (code,) = struct.unpack("!i", self.rfile.read(size - 4)[:4])
            if code not in (80877103, 80877104):  # requests for TLS and GSS, which it has not
                break
            self.wfile.write(b"N")
        self.wfile.write(b"R" + struct.pack("!ii", 8, 3))  # AuthenticationCleartextPassword
        self.rfile.read(1)
        (size,) = struct.unpack("!i", self.rfile.read(4))
        password = self.rfile.read(size - 4).rstrip(b"\0")
        fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed: " + password + b"\0\0"
        self.wfile.write(b"E" + struct.pack("!i", 4 + len(fields)) + fields)


@contextmanager
def refusing_postgres() -> Iterator[int]:
    """Yield the port of a database that no password opens."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _RefusingPostgres)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # of clients that went away
    with _serving(server):
        yield int(server.server_address[1])


class _RefusingHttp(BaseHTTPRequestHandler):
    """Refuses everything, repeating what it was shown."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        shown = f'{{"message": "no: {self.headers.get("Authorization")} {self.path}"}}'.encode()
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(shown)))
        self.end_headers()
        self.wfile.write(shown)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def refusing_http() -> Iterator[str]:
    """Yield the address of a server that refuses everybody: a collector, a Kubernetes API."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _RefusingHttp)
    server.daemon_threads = True
    with _serving(server):
        yield f"http://127.0.0.1:{server.server_address[1]}"


@contextmanager
def marked_yahoo() -> Iterator[str]:
    """Yield the address of a Yahoo stand-in whose cookie and crumb are marked."""
    server = YahooStandIn(("127.0.0.1", 0), step_seconds=1, clock=SystemClock())
    server.cookie, server.crumb = COOKIE, CRUMB
    with _serving(server):
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.stopping.set()


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def kubeconfig(folder: Path, server: str) -> Path:
    """Write a kubeconfig with a marked token and return its path."""
    path = folder / "kubeconfig"
    path.write_text(
        f"""
apiVersion: v1
kind: Config
current-context: it
clusters: [{{name: it, cluster: {{server: "{server}"}}}}]
users: [{{name: it, user: {{token: {KUBERNETES}}}}}]
contexts: [{{name: it, context: {{cluster: it, user: it, namespace: default}}}}]
"""
    )
    return path
