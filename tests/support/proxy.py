"""A TCP proxy on loopback that can fail the ways a network does.

Stands in front of Postgres, Redis, or Kafka's advertised port. Its modes: pass everything; cut
(every connection reset, new ones reset at once); delay (each chunk held back); half-open
(connections stay up and accept, and nothing comes through any more: what a lost peer or a
firewall that drops looks like).
"""

import asyncio
import socket
import ssl
import struct
import threading
from pathlib import Path
from typing import Literal, Self

Mode = Literal["pass", "cut", "delay", "half_open"]
_CHUNK = 65_536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards `port` (any free one by default) on loopback to `target_port`, from its own thread."""

    def __init__(
        self, target_port: int, *, port: int = 0, path: Path | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        """Listen on the Unix socket `path` where one is given; speak TLS to clients with `tls`."""
        self._target_port = target_port
        self._mode: Mode = "pass"
        self._delay = 0.0
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing: asyncio.Event
        self._tls = tls
        self._listener = _listener(port, path)
        self.port = 0 if path else int(self._listener.getsockname()[1])
        self.accepted = 0
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"proxy-{self.port}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(30), "the proxy's thread does not start"
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def retarget(self, port: int) -> None:
        """Send new connections to another port; those that are open stay where they are."""
        self._target_port = port

    def pass_all(self) -> None:
        """Forward again; what was held back goes out, what was reset stays reset."""
        self._set("pass")

    def cut(self) -> None:
        """Reset every connection, and each new one at once."""
        self._set("cut")

    def delay(self, seconds: float) -> None:
        """Hold every chunk back for `seconds`, in both directions."""
        self._delay = seconds
        self._set("delay")

    def half_open(self) -> None:
        """Keep connections up, accept new ones, and let nothing through."""
        self._set("half_open")

    def close(self) -> None:
        """Reset everything and stop; idempotent."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._listener.close()

    def _set(self, mode: Mode) -> None:
        done = threading.Event()

        def change() -> None:
            self._mode = mode
            if mode == "half_open":
                self._flowing.clear()
            else:
                self._flowing.set()
            if mode == "cut":
                self._reset_all()
            done.set()

        self._loop.call_soon_threadsafe(change)
        assert done.wait(30), "the proxy's thread does not answer"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._flowing = asyncio.Event()
        self._flowing.set()
        server = self._loop.run_until_complete(
            asyncio.start_server(self._accept, sock=self._listener, ssl=self._tls)
        )
        self._started.set()  # not before: who closes at once would end the loop in the middle of that
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._end(server))
            self._loop.close()

    async def _end(self, server: asyncio.Server) -> None:
        self._loop.remove_reader(self._listener)
        # What was accepted a moment ago is still asyncio's for a few turns; cancelled there, or with its
        # server closed, its socket would be nobody's to close.
        await _turns(5)
        server.close()
        self._reset_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await _turns(2)  # an aborted transport closes its socket in the turn after

    def _reset_all(self) -> None:
        for writer in list(self._open):
            _reset(writer)
        self._open.clear()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: a task that is cancelled before its first step would leave the socket open.
        self.accepted += 1
        if self._mode == "cut":
            _reset(writer)
            return
        self._open.add(writer)
        task = self._loop.create_task(self._forward(reader, writer))
        self._tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream: asyncio.StreamWriter | None = None
        try:
            await self._flowing.wait()
            back, upstream = await asyncio.open_connection("127.0.0.1", self._target_port)
            self._open.add(upstream)
            await asyncio.gather(self._pump(reader, upstream), self._pump(back, writer))
        except asyncio.CancelledError:
            pass  # the proxy closes: this is the end of the task, and asyncio's streams would log it
        except OSError:
            pass  # a refused or broken target shows to the client as a reset, below
        finally:
            for side in (writer, upstream):
                if side is not None:
                    self._open.discard(side)
                    _reset(side)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while chunk := await source.read(_CHUNK):
            if self._mode == "delay":
                await asyncio.sleep(self._delay)
            await self._flowing.wait()
            sink.write(chunk)
            await sink.drain()
        await self._flowing.wait()
        if sink.can_write_eof() and not sink.is_closing():
            sink.write_eof()


def _listener(port: int, path: Path | None) -> socket.socket:
    if path is None:
        return socket.create_server(("127.0.0.1", port))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


async def _turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
