"""The API's settings: read here and nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from marketdata import settings
from marketdata.domain.symbol import parse_provider
from marketdata.errors import InvalidInput, Misconfigured
from marketdata.settings import PostgresSettings, ProcessSettings, RedisSettings
from marketdata.telemetry.settings import TraceSettings

_config = SettingsConfigDict(extra="ignore", frozen=True, populate_by_name=True)


def _env(name: str) -> AliasChoices:
    return AliasChoices(name)


class ApiSettings(BaseSettings):
    """What the API alone has to be told."""

    model_config = _config

    host: str = Field(
        "0.0.0.0",  # noqa: S104 - a service in a pod
        validation_alias=_env("MARKETDATA_API_HOST"),
        description="The address that the API listens on.",
    )
    port: int = Field(
        8000,
        validation_alias=_env("MARKETDATA_API_PORT"),
        description="Its port; 0 takes any that is free.",
        ge=0,
        le=65_535,
    )
    # The names only: the API's image has no poller in it. A provider that is added to the pollers
    # as a plug-in is added here too.
    providers: str = Field(
        "synthetic,yfinance,alpha_vantage,replay",
        validation_alias=_env("MARKETDATA_PROVIDERS"),
        description="The providers that a job may name, separated by commas.",
    )
    min_interval_seconds: int = Field(
        1,
        validation_alias=_env("MARKETDATA_API_MIN_INTERVAL_SECONDS"),
        description="The shortest interval that a job made over REST may have.",
        ge=1,
        le=86_400,
    )
    max_body_bytes: int = Field(
        65_536,
        validation_alias=_env("MARKETDATA_API_MAX_BODY_BYTES"),
        description="The longest request body; a longer one is answered 413.",
        ge=1_024,
        le=16_777_216,
    )
    max_concurrency: int = Field(
        1_024,
        validation_alias=_env("MARKETDATA_API_MAX_CONCURRENCY"),
        description="Requests in work at once; more are answered 503 at once, health checks aside.",
        ge=8,
        le=65_536,
    )
    # An idle one costs some ten KiB: this is a tenth of the memory that the chart gives.
    max_connections: int = Field(
        4_096,
        validation_alias=_env("MARKETDATA_API_MAX_CONNECTIONS"),
        description=(
            "Connections open at once, idle ones too; for more the one that has been idle for longest is"
            " closed, and where none is, they are closed as they come."
        ),
        ge=8,
        le=65_536,
    )
    receive_seconds: float = Field(
        10.0,
        validation_alias=_env("MARKETDATA_API_RECEIVE_SECONDS"),
        description=(
            "How long the head of a request may take to arrive, and its body;"
            " then the connection is closed, or the answer is 408."
        ),
        gt=0,
        le=600,
    )
    send_seconds: float = Field(
        10.0,
        validation_alias=_env("MARKETDATA_API_SEND_SECONDS"),
        description=(
            "How long a client may take to read 8 KiB of an answer, or the end of it;"
            " then the connection is cut off."
        ),
        gt=0,
        le=600,
    )
    # Above the 60 s of common load balancers, so that they close first.
    keep_alive_seconds: int = Field(
        75,
        validation_alias=_env("MARKETDATA_API_KEEP_ALIVE_SECONDS"),
        description="How long a connection is kept open between requests.",
        ge=1,
        le=3_600,
    )
    shutdown_seconds: int = Field(
        20,
        validation_alias=_env("MARKETDATA_API_SHUTDOWN_SECONDS"),
        description="How long requests in work may take after SIGTERM.",
        ge=1,
        le=600,
    )
    # Below the Redis clients' own second: a reader has Postgres to go to, a writer has not.
    cache_timeout_seconds: float = Field(
        0.5,
        validation_alias=_env("MARKETDATA_API_CACHE_TIMEOUT_SECONDS"),
        description="How long the cache is waited for before Postgres is asked.",
        gt=0,
        le=30,
    )
    store_timeout_seconds: float = Field(
        5.0,
        validation_alias=_env("MARKETDATA_API_STORE_TIMEOUT_SECONDS"),
        description="How long Postgres is waited for before the answer is 503; statements end at 4/5 of it.",
        gt=0,
        le=60,
    )
    page_token_key: SecretStr | None = Field(
        None,
        validation_alias=_env("MARKETDATA_API_PAGE_TOKEN_KEY"),
        description="The key that signs page tokens; one for all replicas. Without it a built-in one does.",
    )
    keys_file: Path | None = Field(
        None,
        validation_alias=_env("MARKETDATA_API_KEYS_FILE"),
        description="A file of API keys; without one the API asks for none.",
    )

    @model_validator(mode="after")
    def _named(self) -> Self:
        try:
            if not self.provider_names():
                raise ValueError("MARKETDATA_PROVIDERS is empty; give names separated by commas")
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        return self

    def provider_names(self) -> tuple[str, ...]:
        """Return the providers a job may name, in the order given."""
        names = (name.strip() for name in self.providers.split(","))
        return tuple(
            dict.fromkeys(parse_provider(name, field="MARKETDATA_PROVIDERS") for name in names if name)
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the process was told."""

    api: ApiSettings
    process: ProcessSettings
    postgres: PostgresSettings
    redis: RedisSettings
    traces: TraceSettings


def read(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings; raises Misconfigured with one sentence that names the variable."""
    api, process, postgres, redis, traces = settings.read(
        ApiSettings, ProcessSettings, PostgresSettings, RedisSettings, TraceSettings, environ=environ
    )
    if process.default_provider not in api.provider_names():
        raise Misconfigured(
            f"MARKETDATA_DEFAULT_PROVIDER is {process.default_provider!r}, "
            f"which is not one of MARKETDATA_PROVIDERS ({', '.join(api.provider_names())})"
        )
    return Settings(api=api, process=process, postgres=postgres, redis=redis, traces=traces)
