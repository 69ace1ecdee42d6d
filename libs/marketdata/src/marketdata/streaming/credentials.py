"""Passwords that change under clients that stand.

librdkafka keeps the password that it was made with and, once that is refused, offers it for ever. So
whoever holds a client asks here, now and then, for a newer one to be handed over.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from marketdata.errors import StreamUnavailable
from marketdata.telemetry import logs

_log = logs.get("streaming.credentials")


class Client(Protocol):
    """A producer, a consumer or an administrator of librdkafka."""

    def set_sasl_credentials(self, username: str, password: str) -> object:
        """Authenticate with these from the next connection on; those that stand go on."""


class Credentials:
    """What reaches the cluster, for one client at a time."""

    def __init__(self, config: Callable[[], Mapping[str, Any]]) -> None:
        """`config` (KafkaSettings.client_config) gives the settings as they are now."""
        self._config = config
        self._given: tuple[str, str] | None = None

    def read(self) -> Mapping[str, Any]:
        """Return the settings to make a client of. Raises StreamUnavailable where a file cannot be read."""
        config = self._config()
        self._given = _login(config)
        return config

    def renew(self, client: Client) -> None:
        """Give the client that was made of `read` the password, if it is another one by now.

        Never raises: while the file cannot be read the client keeps what it has.
        """
        if self._given is None:
            return
        try:
            login = _login(self._config())
        except StreamUnavailable:
            return
        if login is not None and login != self._given:
            client.set_sasl_credentials(*login)
            self._given = login
            _log.info("password read again", user=login[0])


def _login(config: Mapping[str, Any]) -> tuple[str, str] | None:
    if "sasl.password" not in config:
        return None
    return config["sasl.username"], config["sasl.password"]
