"""The objects as they were last seen, and which of them wait to be written to the database.

Filled by the watch and by each sweep, read by the reconciler and the reporter. Promises: an older
moment of an object never replaces a newer one, but for a sweep's list, which is the truth except for
what the watch said while it was being read.
"""

import threading
from collections.abc import Mapping
from dataclasses import replace

from marketdata_operator.observed import Observed
from marketdata_operator.status import Status


class Board:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self.changed = threading.Event()  # something is dirty: wakes the reconciler
        self._lock = threading.Lock()
        self._objects: dict[str, Observed] = {}
        self._dirty: set[str] = set()
        self._gone: set[str] = set()
        self._touched: set[str] = set()  # by the watch since the sweep under way began

    def observe(self, observed: Observed) -> bool:
        """Take note of what the watch says; False where it is old news."""
        with self._lock:
            known = self._objects.get(observed.uid)
            if known is not None and 0 < observed.version <= known.version:
                return False
            self._objects[observed.uid] = observed
            self._touched.add(observed.uid)
            if known is None or known.wish != observed.wish:
                self._dirty.add(observed.uid)
                self.changed.set()
            return True

    def forget(self, uid: str) -> None:
        """Take note that the object is deleted: not merely absent."""
        with self._lock:
            self._objects.pop(uid, None)
            self._dirty.discard(uid)
            self._touched.add(uid)
            self._gone.add(uid)
            self.changed.set()

    def take(self) -> tuple[list[Observed], list[str]]:
        """Return what is dirty and the uids of what is deleted; both are clean from now on."""
        with self._lock:
            self.changed.clear()
            dirty = [self._objects[uid] for uid in self._dirty if uid in self._objects]
            gone = sorted(self._gone)
            self._dirty.clear()
            self._gone.clear()
        return dirty, gone

    def put_back(self, dirty: list[Observed], gone: list[str]) -> None:
        """Undo a `take` whose work could not be done; does not wake anybody."""
        with self._lock:
            self._dirty.update(each.uid for each in dirty)
            self._gone.update(gone)

    def waiting(self) -> int:
        """Return how many objects wait."""
        with self._lock:
            return len(self._dirty) + len(self._gone)

    def begin_sweep(self) -> None:
        """Say that a list is about to be read."""
        with self._lock:
            self._touched.clear()

    def finish_sweep(self, listed: Mapping[str, Observed]) -> dict[str, Observed]:
        """Take over a complete list, and return what there is now by uid."""
        with self._lock:
            kept = {uid: self._objects[uid] for uid in self._touched if uid in self._objects}
            others = {uid: each for uid, each in listed.items() if uid not in self._touched}
            late = {
                uid: each for uid, each in listed.items() if uid in kept and each.version > kept[uid].version
            }
            self._objects = {**others, **kept, **late}
            return dict(self._objects)

    def objects(self) -> list[Observed]:
        """Return all objects as they are now."""
        with self._lock:
            return list(self._objects.values())

    def wrote(self, uid: str, status: Status, version: int) -> None:
        """Take note of our own status write, so that its echo on the watch is no news."""
        with self._lock:
            known = self._objects.get(uid)
            if known is not None and known.version < version:
                self._objects[uid] = replace(known, status=status, version=version)
