"""Which providers are installed, and the one object of each that this process uses.

Promises: names are known without importing anything; a provider is imported and configured at its
first use; one that cannot be made says so each time it is asked for and never harms another.
"""

import threading
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points

from marketdata.errors import Misconfigured, UnknownProvider
from marketdata_poller.ports import Provider, ProviderFactory
from marketdata_poller.providers import settings

GROUP = "marketdata.providers"


class InstalledProviders:
    """The plug-ins of this environment; safe to use from several threads."""

    def __init__(self, *, environ: Mapping[str, str], found: Iterable[EntryPoint] | None = None) -> None:
        """Look up names only; `found` replaces the installed entry points."""
        points = entry_points(group=GROUP) if found is None else found
        self._points = {point.name: point for point in points}
        self._environ = environ
        self._made: dict[str, Provider] = {}
        self._lock = threading.Lock()

    def names(self) -> tuple[str, ...]:
        """Return the names of all installed providers, sorted; imports none."""
        return tuple(sorted(self._points))

    def prefixes(self) -> tuple[str, ...]:
        """Return what the environment variables of the installed providers begin with."""
        return tuple(settings.prefix(name) for name in self.names())

    def get(self, name: str) -> Provider:
        """Return the provider `name`, made at the first call.

        Raises UnknownProvider listing those installed, and Misconfigured where it cannot be made;
        the next call tries again, so a Secret that appears later needs no restart.
        """
        with self._lock:
            if name not in self._made:
                self._made[name] = self._factory(name)(self._environ)
            return self._made[name]

    def close(self) -> None:
        """Close every provider made; idempotent."""
        with self._lock:
            made, self._made = self._made, {}
        for provider in made.values():
            provider.close()

    def _factory(self, name: str) -> ProviderFactory:
        point = self._points.get(name)
        if point is None:
            installed = ", ".join(self.names()) or "none"
            raise UnknownProvider(f"no provider {name!r} is installed; installed: {installed}")
        try:
            factory: ProviderFactory = point.load()
        except (ImportError, AttributeError) as error:
            raise Misconfigured(f"provider {name} cannot be loaded: {error}") from error
        return factory
