"""Secrets that are given as files: a mounted Secret is replaced in place when it rotates."""

from pathlib import Path

from marketdata.errors import Transient


def content(file: Path, variable: str, *, otherwise: type[Transient]) -> str:
    """Return what the file that `variable` names says now; raises `otherwise` if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise otherwise(f"the file of {variable} cannot be read: {_why(error)}") from None


def check_readable(file: Path | None, variable: str) -> None:
    """Return if there is no file or it can be read; raises ValueError naming `variable` otherwise."""
    if file is None:
        return
    try:
        file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{variable} names {file}, which cannot be read: {_why(error)}") from None


def _why(error: OSError | UnicodeDecodeError) -> str:
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror or str(error)
