"""What others wrote, made fit for Postgres, whose text and jsonb hold neither NUL nor lone surrogates.

A provider's message or header may hold both, an annotation a NUL. Refusing them would fail the same
recording, or the same sync, for ever.
"""


def storable(text: str) -> str:
    """Return `text` with NUL and lone surrogates written as escapes."""
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()
