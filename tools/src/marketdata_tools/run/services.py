"""The deployables as `make run` starts them: the shipped modules, and the environment of each.

A deployable refuses a MARKETDATA_ variable that it does not know. The person who runs all three
sets such a variable once, so each is given only what its own settings name.
"""

import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic_settings import BaseSettings

from marketdata.settings import (
    PREFIX,
    KafkaSettings,
    PostgresSettings,
    RedisSettings,
    variable_names,
)
from marketdata_api import settings as api
from marketdata_consumer import settings as consumer
from marketdata_poller import settings as poller
from marketdata_poller.providers import settings as providers
from marketdata_poller.providers.registry import InstalledProviders


@dataclass(frozen=True, slots=True)
class Service:
    """One deployable: the module that is run, and the modules that read its settings."""

    name: str
    module: str
    settings_modules: tuple[str, ...]
    takes_plugins: bool = False


SERVICES = (
    Service("api", "marketdata_api", ("marketdata_api.settings",)),
    Service(
        "poller",
        "marketdata_poller",
        ("marketdata_poller.settings", "marketdata_poller.providers.settings"),
        takes_plugins=True,
    ),
    Service("consumer", "marketdata_consumer", ("marketdata_consumer.settings",)),
)

_ADDRESSES: Mapping[str, type[BaseSettings]] = {
    "DATABASE_URL": PostgresSettings,
    "REDIS_URL": RedisSettings,
    "KAFKA_BOOTSTRAP_SERVERS": KafkaSettings,
}
# The launcher has made these of what it was given.
FIXED = frozenset({*_ADDRESSES, "MARKETDATA_API_PORT"})


def known_variables(service: Service) -> frozenset[str]:
    """Return every environment variable that the service reads."""
    groups = {
        member
        for name in service.settings_modules
        for _, member in inspect.getmembers(importlib.import_module(name), inspect.isclass)
        if issubclass(member, BaseSettings)
    }
    return frozenset(name for group in groups for name in variable_names(group))


def check(environments: Mapping[str, Mapping[str, str]]) -> None:
    """Read each service's settings as it will; raises Misconfigured with the sentence it would end with.

    What only a running service can know is left to it, such as which providers can be loaded.
    """
    api.read(environments["api"])
    consumer.load(environments["consumer"])
    poller.read(InstalledProviders(environ={}).prefixes(), environments["poller"])
    providers.check(environments["poller"])


def environments(
    services: Sequence[Service], *, outer: Mapping[str, str], own: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Return the environment of each service by its name.

    `outer` is the launcher's environment and wins over `own`, the launcher's wishes, except for
    FIXED names. Where an address is the launcher's, a user name or a password that was meant for
    another server is left out. A variable that no service names goes to
    the one that takes plug-ins, which knows those of its providers and refuses the rest.
    """
    known = {service.name: known_variables(service) for service in services}
    anywhere = frozenset[str]().union(*known.values())
    replaced = {
        name
        for address, group in _ADDRESSES.items()
        if not outer.get(address)
        for name in variable_names(group)
        if not name.startswith(PREFIX)
    }
    inherited = {name: value for name, value in outer.items() if name not in replaced}
    fixed = {name: value for name, value in own.items() if name in FIXED}
    merged = {"PYTHONUNBUFFERED": "1", **own, **inherited, **fixed}

    def is_for(service: Service, name: str) -> bool:
        if not name.startswith(PREFIX) or name in known[service.name]:
            return True
        return service.takes_plugins and name not in anywhere

    return {
        service.name: {name: value for name, value in merged.items() if is_for(service, name)}
        for service in services
    }
