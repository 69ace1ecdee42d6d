"""Settings, read once from the environment by each service's own `settings.py`.

`DATABASE_URL`, `REDIS_URL` and `KAFKA_BOOTSTRAP_SERVERS` keep the names everybody knows; all
else begins with `MARKETDATA_`. A variable with that prefix that no setting knows stops the start:
a typo is never silent. Secrets may be given as files (`…_FILE`), which are read again at each new
connection, so a rotated password needs no restart. A file that cannot be read stops the start; one
that goes missing later means that what it opens is out of reach until it is back.
"""

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, quote

from pydantic import AliasChoices, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from marketdata import addresses, redis_parameters, secret_files
from marketdata.errors import CacheUnavailable, Misconfigured, StoreUnavailable, StreamUnavailable
from marketdata.messages import topics

PREFIX = "MARKETDATA_"
_PLACES_BY_PARAMETER = {"host", "hostaddr", "service"}  # libpq's, where no host stands in the address
_config = SettingsConfigDict(extra="ignore", frozen=True, populate_by_name=True)


def _env(name: str, *more: str) -> Any:
    return AliasChoices(name, *more)


class PostgresSettings(BaseSettings):
    """Where Postgres is: DATABASE_URL, or the parts DB_HOST, DB_PORT, DB_NAME, DB_USER, DB_PASSWORD."""

    model_config = _config

    url: SecretStr | None = Field(
        None,
        validation_alias=_env("DATABASE_URL"),
        description="The whole address: `postgresql://USER:PASSWORD@HOST:PORT/NAME`; wins over the parts.",
    )
    host: str | None = Field(
        None, validation_alias=_env("DB_HOST"), description="Its host, where no whole address is given."
    )
    port: int = Field(5432, validation_alias=_env("DB_PORT"), description="Its port.", ge=1, le=65535)
    name: str = Field("marketdata", validation_alias=_env("DB_NAME"), description="The database.")
    user: str = Field("marketdata", validation_alias=_env("DB_USER"), description="The user.")
    password: SecretStr | None = Field(
        None, validation_alias=_env("DB_PASSWORD"), description="The password."
    )
    password_file: Path | None = Field(
        None, validation_alias=_env("DB_PASSWORD_FILE"), description="A file with the password; wins over it."
    )
    sslmode: str | None = Field(
        None, validation_alias=_env("DB_SSLMODE"), description="libpq's `sslmode`, such as `verify-full`."
    )
    ca_file: Path | None = Field(
        None,
        validation_alias=_env("DB_CA_FILE"),
        description="The certificates that the server's is checked against.",
    )
    connect_timeout_seconds: int = Field(
        3,
        validation_alias=_env("MARKETDATA_POSTGRES_CONNECT_TIMEOUT_SECONDS"),
        description="How long connecting, and waiting for a pooled connection, may take.",
        ge=1,
        le=60,
    )
    statement_timeout_seconds: float = Field(
        10.0,
        validation_alias=_env("MARKETDATA_POSTGRES_STATEMENT_TIMEOUT_SECONDS"),
        description="How long one statement is waited for; a peer that answers nothing, 5 s longer. While it "
        "is silent a loop may take twice this, 11 s and the time for connecting: liveness must allow more.",
        gt=0,
        le=300,
    )
    pool_size: int = Field(
        5,
        validation_alias=_env("MARKETDATA_POSTGRES_POOL_SIZE"),
        description="Connections of one process, at most.",
        ge=1,
        le=100,
    )

    @model_validator(mode="after")
    def _address(self) -> Self:
        if self.url is None and not self.host:
            raise ValueError(
                "DATABASE_URL is not set; give postgresql://USER:PASSWORD@HOST:PORT/NAME, "
                "or DB_HOST, DB_NAME, DB_USER and DB_PASSWORD"
            )
        if self.url is not None:
            form = "DATABASE_URL is not of the form postgresql://USER:PASSWORD@HOST:PORT/NAME"
            parts = addresses.url(self.url.get_secret_value(), form)
            if parts.scheme not in {"postgresql", "postgres"} or not parts.path.strip("/"):
                raise ValueError(form)
            if parse_qs(parts.query).keys().isdisjoint(_PLACES_BY_PARAMETER):
                addresses.require_hosts(parts, form)
        secret_files.check_readable(self.password_file, "DB_PASSWORD_FILE")
        secret_files.check_readable(self.ca_file, "DB_CA_FILE")
        return self

    def dsn(self) -> str:
        """Return the libpq connection string, its password read from the file now if it is in one.

        Raises StoreUnavailable where that cannot be read.
        """
        if self.url is not None:
            url = self.url.get_secret_value()
            return "postgresql://" + url.split("://", 1)[1]
        secret = self.password.get_secret_value() if self.password else ""
        if self.password_file is not None:
            secret = secret_files.content(self.password_file, "DB_PASSWORD_FILE", otherwise=StoreUnavailable)
        query = "&".join(
            f"{key}={quote(str(value), safe='')}"
            for key, value in (("sslmode", self.sslmode), ("sslrootcert", self.ca_file))
            if value is not None
        )
        return (
            f"postgresql://{quote(self.user, safe='')}:{quote(secret, safe='')}"
            f"@{self.host}:{self.port}/{quote(self.name, safe='')}" + (f"?{query}" if query else "")
        )


class RedisSettings(BaseSettings):
    """Where the cache is: REDIS_URL, or REDIS_HOST, REDIS_PORT, REDIS_DB and REDIS_PASSWORD."""

    model_config = _config

    url: SecretStr | None = Field(
        None,
        validation_alias=_env("REDIS_URL"),
        description="The whole address: `redis://HOST:PORT/0`, or `rediss:` with TLS, for which it takes "
        "redis-py's parameters, such as `?ssl_ca_certs=FILE`; wins over the parts.",
    )
    host: str | None = Field(
        None, validation_alias=_env("REDIS_HOST"), description="Its host, where no whole address is given."
    )
    port: int = Field(6379, validation_alias=_env("REDIS_PORT"), description="Its port.", ge=1, le=65535)
    db: int = Field(0, validation_alias=_env("REDIS_DB"), description="The number of the database.", ge=0)
    password: SecretStr | None = Field(
        None, validation_alias=_env("REDIS_PASSWORD"), description="The password."
    )
    password_file: Path | None = Field(
        None,
        validation_alias=_env("REDIS_PASSWORD_FILE"),
        description="A file with the password; wins over it.",
    )
    ttl_seconds: int = Field(
        300,
        validation_alias=_env("REDIS_TTL"),
        description="Seconds that a latest price stays in the cache.",
        ge=1,
        le=86_400,
    )
    timeout_seconds: float = Field(
        1.0,
        validation_alias=_env("MARKETDATA_REDIS_TIMEOUT_SECONDS"),
        description="How long one call may take.",
        gt=0,
        le=30,
    )

    @model_validator(mode="after")
    def _address(self) -> Self:
        if self.url is None and not self.host:
            raise ValueError("REDIS_URL is not set; give redis://HOST:PORT/0, or REDIS_HOST")
        if self.url is not None:
            form = "REDIS_URL is not of the form redis://HOST:PORT/0"
            parts = addresses.url(self.url.get_secret_value(), form)
            if parts.scheme not in {"redis", "rediss", "unix"}:
                raise ValueError(form)
            if parts.scheme == "unix" and not parts.path.strip("/"):
                raise ValueError(f"{form}: its socket is missing")
            if parts.scheme != "unix":
                addresses.require_hosts(parts, form)
                if len(addresses.places(parts)) > 1:
                    raise ValueError(f"{form}: it names several hosts")
            # redis-py takes database 0 for a path that is no number, such as the rest of a password.
            if parts.scheme != "unix" and not re.fullmatch(r"/?[0-9]*/?", parts.path):
                raise ValueError(f"{form}: its database is not a number")
            redis_parameters.check(parts, form)
        secret_files.check_readable(self.password_file, "REDIS_PASSWORD_FILE")
        return self

    def location(self) -> str:
        """Return the URL without a password taken from REDIS_PASSWORD or its file."""
        return self.url.get_secret_value() if self.url else f"redis://{self.host}:{self.port}/{self.db}"

    @property
    def has_secret(self) -> bool:
        """Tell whether `secret` gives a password."""
        return self.password is not None or self.password_file is not None

    def secret(self) -> str | None:
        """Return the password as it is now, or None where the URL carries it or there is none.

        Raises CacheUnavailable where its file cannot be read.
        """
        if self.password_file is not None:
            return secret_files.content(self.password_file, "REDIS_PASSWORD_FILE", otherwise=CacheUnavailable)
        return self.password.get_secret_value() if self.password else None


class KafkaSettings(BaseSettings):
    """Where Kafka is and how to speak to it."""

    model_config = _config

    bootstrap_servers: str = Field(
        "",
        validation_alias=_env("KAFKA_BOOTSTRAP_SERVERS"),
        description="Where to begin: `HOST:PORT[,HOST:PORT…]`.",
    )
    topic: str = Field(
        topics.PRICE_EVENTS, validation_alias=_env("KAFKA_TOPIC"), description="The topic of price events."
    )
    dead_letter_topic: str = Field(
        topics.DEAD_LETTERS,
        validation_alias=_env("KAFKA_DEAD_LETTER_TOPIC"),
        description="The topic that dead letters are forwarded to.",
    )
    group: str = Field(
        topics.CONSUMER_GROUP, validation_alias=_env("KAFKA_GROUP"), description="The consumers' group."
    )
    group_protocol: str = Field(
        "consumer",
        validation_alias=_env("MARKETDATA_KAFKA_GROUP_PROTOCOL"),
        description="How the group is balanced; `classic` for brokers older than Kafka 4. A killed member's "
        "partitions stand for 10 s with `classic`, and for the brokers' `group.consumer.session.timeout.ms` "
        "(45 s by default) with `consumer`: see docs/guides/operations.md.",
        pattern="^(consumer|classic)$",
    )
    security_protocol: str = Field(
        "PLAINTEXT",
        validation_alias=_env("KAFKA_SECURITY_PROTOCOL"),
        description="Whether the connection is encrypted and authenticated.",
        pattern="^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$",
    )
    sasl_mechanism: str = Field(
        "SCRAM-SHA-512", validation_alias=_env("KAFKA_SASL_MECHANISM"), description="How to authenticate."
    )
    sasl_username: str | None = Field(
        None, validation_alias=_env("KAFKA_SASL_USERNAME"), description="As whom."
    )
    sasl_password: SecretStr | None = Field(
        None, validation_alias=_env("KAFKA_SASL_PASSWORD"), description="The password."
    )
    sasl_password_file: Path | None = Field(
        None,
        validation_alias=_env("KAFKA_SASL_PASSWORD_FILE"),
        description="A file with the password; wins over it.",
    )
    ca_file: Path | None = Field(
        None,
        validation_alias=_env("KAFKA_CA_FILE"),
        description="The certificates that the brokers' are checked against.",
    )

    @model_validator(mode="after")
    def _address(self) -> Self:
        addresses.require_servers(self.bootstrap_servers, "KAFKA_BOOTSTRAP_SERVERS")
        secret_files.check_readable(self.sasl_password_file, "KAFKA_SASL_PASSWORD_FILE")
        secret_files.check_readable(self.ca_file, "KAFKA_CA_FILE")
        return self

    def client_config(self) -> dict[str, Any]:
        """Return the librdkafka settings that reach and authenticate, the password read now.

        Raises StreamUnavailable where its file cannot be read.
        """
        config: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
        }
        if self.security_protocol.startswith("SASL"):
            secret = self.sasl_password.get_secret_value() if self.sasl_password else ""
            if self.sasl_password_file is not None:
                secret = secret_files.content(
                    self.sasl_password_file, "KAFKA_SASL_PASSWORD_FILE", otherwise=StreamUnavailable
                )
            config |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.sasl_username or "",
                "sasl.password": secret,
            }
        if self.ca_file is not None:
            config["ssl.ca.location"] = str(self.ca_file)
        return config


class ProcessSettings(BaseSettings):
    """What every service process has: logs and the port of its metrics and health answers."""

    model_config = _config

    log_level: str = Field(
        "info",
        validation_alias=_env("MARKETDATA_LOG_LEVEL"),
        description="The least severe line that is logged.",
        pattern="^(debug|info|warning|error)$",
    )
    log_format: str = Field(
        "auto",
        validation_alias=_env("MARKETDATA_LOG_FORMAT"),
        description="How a line looks; `auto` is readable on a terminal and JSON elsewhere.",
        pattern="^(auto|json|console)$",
    )
    metrics_host: str = Field(
        "0.0.0.0",  # noqa: S104 - scraped from other hosts
        validation_alias=_env("MARKETDATA_METRICS_HOST"),
        description="The address that metrics and health are served on.",
    )
    metrics_port: int = Field(
        9090,
        validation_alias=_env("MARKETDATA_METRICS_PORT"),
        description="Their port; 0 takes any that is free.",
        ge=0,
        le=65535,
    )
    default_provider: str = Field(
        "synthetic",
        validation_alias=_env("MARKETDATA_DEFAULT_PROVIDER"),
        description="The provider of jobs that name none.",
    )


Group = TypeVar("Group", bound=BaseSettings)


def read(*groups: type[BaseSettings], environ: Mapping[str, str] | None = None) -> tuple[Any, ...]:
    """Return one instance of each group, in order.

    Raises Misconfigured with one sentence that names the variable: for a value that is missing or
    malformed, and for a MARKETDATA_ variable that none of `groups` knows.
    """
    variables = os.environ if environ is None else environ
    known = {name for group in groups for name in variable_names(group)}
    unknown = sorted(name for name in variables if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise Misconfigured(f"{unknown[0]} is not a setting of this process; see docs/reference/settings.md")
    try:
        return tuple(
            _only_given(group).model_validate(
                {name: variables[name] for name in variable_names(group) if name in variables}
            )
            for group in groups
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        raise Misconfigured(f"{name}: {message}" if name else message) from None


@cache
def _only_given(group: type[BaseSettings]) -> type[BaseSettings]:
    """Return `group` reading what it is handed and nothing else: `environ` may be a plug-in's or a test's."""

    class Given(group):  # type: ignore[misc, valid-type]
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],  # noqa: ARG003 - the parent's signature
            init_settings: PydanticBaseSettingsSource,
            **_: Any,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings,)

    Given.__name__ = Given.__qualname__ = group.__name__
    return Given


def variable_names(group: type[BaseSettings]) -> list[str]:
    """Return the environment variables that `group` reads."""
    names: list[str] = []
    for field in group.model_fields.values():
        alias = field.validation_alias
        if isinstance(alias, AliasChoices):
            names.extend(str(choice) for choice in alias.choices)
    return names
