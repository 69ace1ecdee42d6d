"""Waiting on conditions, the only kind of waiting that a test may do.

A test never sleeps for a guessed time: it says what it waits for and how long that may take at
worst, and fails with what it saw last.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_never = threading.Event()


def eventually(check: Callable[[], T], *, within: float, every: float = 0.05) -> T:
    """Return the first true result of `check`, called again and again for up to `within` seconds.

    An AssertionError of `check` means "not yet". At the end the last one is raised, or an
    AssertionError with the last result.
    """
    deadline = time.monotonic() + within
    while True:
        is_over = time.monotonic() >= deadline
        try:
            result = check()
        except AssertionError:
            if is_over:
                raise
        else:
            if result:
                return result
            assert not is_over, f"still {result!r} after {within} s"
        _never.wait(every)


def holds(check: Callable[[], object], *, during: float, every: float = 0.05) -> None:
    """Assert that `check` stays true for `during` seconds: for what must not happen."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        result = check()
        assert result, f"became {result!r}"
        _never.wait(every)
