"""One background thread that does one thing at a time.

The database is waited for here while the loop goes on taking and decoding messages: psycopg2
lets go of the interpreter while it waits. A daemon, so that a call that never returns cannot keep
the process from ending.
"""

import contextvars
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class Worker:
    """Runs what it is given, in order."""

    def __init__(self, name: str) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        # A new thread begins with an empty context; the fields of its log lines live there.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run,), name=name, daemon=True).start()

    def submit(self, task: Callable[[], T]) -> Future[T]:
        """Run `task` after all given before; its result or error is in the future."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                result = task()
            except BaseException as error:  # noqa: BLE001 - handed to whoever asks the future
                future.set_exception(error)
            else:
                future.set_result(result)

        self._tasks.put(run)
        return future

    def _run(self) -> None:
        while True:
            self._tasks.get()()
