"""The operator's settings: read here and nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from pydantic import AliasChoices, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from marketdata import settings
from marketdata.domain.job import MAX_INTERVAL_SECONDS
from marketdata.domain.symbol import MAX_SYMBOLS, parse_provider
from marketdata.errors import InvalidInput, Misconfigured
from marketdata.settings import PostgresSettings, ProcessSettings
from marketdata.telemetry.settings import TraceSettings
from marketdata_operator.observed import Admission

ALL_NAMESPACES = "*"

_config = SettingsConfigDict(extra="ignore", frozen=True, populate_by_name=True)


def _env(name: str) -> AliasChoices:
    return AliasChoices(name)


class OperatorSettings(BaseSettings):
    """What the operator alone has to be told."""

    model_config = _config

    namespaces: str = Field(
        "",
        validation_alias=_env("MARKETDATA_OPERATOR_NAMESPACES"),
        description="The namespaces whose PollingJobs are followed, separated by commas, or * for all.",
    )
    release: str = Field(
        "",
        validation_alias=_env("MARKETDATA_OPERATOR_RELEASE"),
        max_length=128,
        description=(
            "The name that this release's rows carry; no other release on the same database may have it "
            "(in a chart: NAMESPACE/RELEASE)."
        ),
    )
    providers: str = Field(
        "synthetic,yfinance,alpha_vantage,replay",
        validation_alias=_env("MARKETDATA_PROVIDERS"),
        description="The providers a PollingJob may name: those that the pollers have installed.",
    )
    max_symbols: int = Field(
        MAX_SYMBOLS,
        validation_alias=_env("MARKETDATA_OPERATOR_MAX_SYMBOLS"),
        ge=1,
        le=MAX_SYMBOLS,
        description="How many symbols one PollingJob may have.",
    )
    min_interval_seconds: int = Field(
        1,
        validation_alias=_env("MARKETDATA_OPERATOR_MIN_INTERVAL_SECONDS"),
        ge=1,
        le=MAX_INTERVAL_SECONDS,
        description="The shortest interval that a PollingJob may have.",
    )
    sweep_seconds: float = Field(
        120.0,
        validation_alias=_env("MARKETDATA_OPERATOR_SWEEP_SECONDS"),
        ge=1,
        le=3600,
        description="How often all objects are compared with all rows, whatever the watch told.",
    )
    status_writes_per_second: float = Field(
        20.0,
        validation_alias=_env("MARKETDATA_OPERATOR_STATUS_WRITES_PER_SECOND"),
        gt=0,
        le=1000,
        description="How many statuses and events a second are written to the Kubernetes API at most.",
    )

    @model_validator(mode="after")
    def _told(self) -> Self:
        if not self.watched() and self.namespaces.strip() != ALL_NAMESPACES:
            raise ValueError(
                "MARKETDATA_OPERATOR_NAMESPACES is not set; give namespaces separated by commas, or * for all"
            )
        if not self.release.strip():
            raise ValueError(
                "MARKETDATA_OPERATOR_RELEASE is not set; "
                "give a name that no other release on its database has"
            )
        try:
            if not self.provider_names():
                raise ValueError("MARKETDATA_PROVIDERS is empty; give names separated by commas")
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        return self

    def watched(self) -> frozenset[str] | None:
        """Return the namespaces to watch; None for all."""
        if self.namespaces.strip() == ALL_NAMESPACES:
            return None
        return frozenset(name for each in self.namespaces.split(",") if (name := each.strip()))

    def provider_names(self) -> tuple[str, ...]:
        """Return the providers a PollingJob may name, in the order given."""
        names = (name.strip() for name in self.providers.split(","))
        return tuple(
            dict.fromkeys(parse_provider(name, field="MARKETDATA_PROVIDERS") for name in names if name)
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the process was told."""

    operator: OperatorSettings
    process: ProcessSettings
    postgres: PostgresSettings
    traces: TraceSettings

    def admission(self) -> Admission:
        return Admission(
            release=self.operator.release,
            providers=self.operator.provider_names(),
            default_provider=self.process.default_provider,
            max_symbols=self.operator.max_symbols,
            min_interval_seconds=self.operator.min_interval_seconds,
        )


def read(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings; raises Misconfigured with one sentence that names the variable."""
    operator, process, postgres, traces = settings.read(
        OperatorSettings, ProcessSettings, PostgresSettings, TraceSettings, environ=environ
    )
    if process.default_provider not in operator.provider_names():
        raise Misconfigured(
            f"MARKETDATA_DEFAULT_PROVIDER is {process.default_provider!r}, "
            f"which is not one of MARKETDATA_PROVIDERS ({', '.join(operator.provider_names())})"
        )
    return Settings(operator=operator, process=process, postgres=postgres, traces=traces)
