"""Numbered effects, so that a crash after each can be rehearsed.

A function that orders externally visible effects reports each one as it is done. In the product
nobody listens; a test hands in an observer that kills the process there, and runs once for every
member of the service's step enumeration.
"""

from collections.abc import Callable

StepObserver = Callable[[str], None]


def unobserved(step: str) -> None:
    """Ignore the step: what the product runs with."""
