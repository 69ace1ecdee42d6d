"""The folder of yfinance's caches: there before the library looks, writable, and ours.

yfinance goes on quietly where it cannot write, and then fetches a cookie before every request.
The cookie cache is a pickle, so the folder is never one that others may write to.
"""

import os
import tempfile
from pathlib import Path

from marketdata.errors import Misconfigured

VARIABLE = "MARKETDATA_YFINANCE_CACHE_DIR"


class CacheFolder:
    """A folder given by setting, or a private one that ends with the provider."""

    def __init__(self, given: Path | None) -> None:
        """Make the folder; raises Misconfigured where it cannot be made or written."""
        self._own: tempfile.TemporaryDirectory[str] | None = None
        try:
            if given is None:
                self._own = tempfile.TemporaryDirectory(
                    prefix="marketdata-yfinance-", ignore_cleanup_errors=True
                )
                self.path = Path(self._own.name)
            else:
                self.path = given
                given.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, probe = tempfile.mkstemp(dir=self.path, prefix=".writable-")
            os.close(handle)
            Path(probe).unlink()
        except OSError as error:
            where = f"{given} cannot" if given else "is not set and no temporary folder can"
            raise Misconfigured(f"{VARIABLE}: {where} be written: {error.strerror}") from None

    def close(self) -> None:
        """Remove the folder if it is a private one."""
        if self._own is not None:
            self._own.cleanup()
