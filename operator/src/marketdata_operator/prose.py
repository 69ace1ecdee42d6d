"""Sentences that are longer than a line of code."""


def joined(text: str) -> str:
    """Return `text` on one line, its line breaks and indentation taken as single spaces."""
    return " ".join(text.split())
