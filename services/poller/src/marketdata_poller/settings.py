"""The poller's settings. Those of providers belong to the providers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from marketdata import settings
from marketdata.settings import KafkaSettings, PostgresSettings, ProcessSettings
from marketdata.telemetry.settings import TraceSettings

_config = SettingsConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class PollerSettings(BaseSettings):
    """Polling, relaying, settling and retention."""

    model_config = _config

    providers: str = Field(
        "",
        validation_alias=AliasChoices("MARKETDATA_POLLER_PROVIDERS"),
        description="The providers that it polls, separated by commas; all that are installed where empty.",
    )
    lease_seconds: float = Field(
        30.0,
        validation_alias=AliasChoices("MARKETDATA_POLLER_LEASE_SECONDS"),
        description="How long claimed jobs are its own; another poller takes over after it.",
        ge=0.5,
        le=600,
    )
    budget_wait_seconds: float = Field(
        5.0,
        validation_alias=AliasChoices("MARKETDATA_POLLER_BUDGET_WAIT_SECONDS"),
        description="How long a request waits for the provider's budget before its symbols are skipped.",
        ge=0,
        le=60,
    )
    stop_seconds: float = Field(
        20.0,
        validation_alias=AliasChoices("MARKETDATA_POLLER_STOP_SECONDS"),
        description="How long a fetch in work may take after SIGTERM.",
        ge=1,
        le=300,
    )
    liveness_seconds: float = Field(
        60.0,
        validation_alias=AliasChoices("MARKETDATA_POLLER_LIVENESS_SECONDS"),
        description="How long a loop may take for one turn before `/healthz` says so.",
        ge=20,
        le=600,
    )
    relay_batch_size: int = Field(
        500,
        validation_alias=AliasChoices("MARKETDATA_RELAY_BATCH_SIZE"),
        description="Events published in one go.",
        ge=1,
        le=10_000,
    )
    relay_idle_seconds: float = Field(
        0.1,
        validation_alias=AliasChoices("MARKETDATA_RELAY_IDLE_SECONDS"),
        description="How long the relay waits where there was nothing to publish.",
        ge=0.01,
        le=10,
    )
    sweep_seconds: float = Field(
        1.0,
        validation_alias=AliasChoices("MARKETDATA_SWEEP_SECONDS"),
        description="How often published events are settled.",
        ge=0.05,
        le=60,
    )
    raw_retention_days: int = Field(
        30,
        validation_alias=AliasChoices("MARKETDATA_RAW_RETENTION_DAYS"),
        description="Days that raw answers are kept.",
        ge=1,
        le=3650,
    )
    outbox_retention_days: int = Field(
        7,
        validation_alias=AliasChoices("MARKETDATA_OUTBOX_RETENTION_DAYS"),
        description="Days that settled events are kept.",
        ge=1,
        le=3650,
    )
    polls_retention_days: int = Field(
        30,
        validation_alias=AliasChoices("MARKETDATA_POLLS_RETENTION_DAYS"),
        description="Days that single polls are kept; the ledger keeps their sums.",
        ge=1,
        le=3650,
    )
    dead_letter_retention_days: int = Field(
        90,
        validation_alias=AliasChoices("MARKETDATA_DEAD_LETTER_RETENTION_DAYS"),
        description="Days that dead letters are kept; one not yet forwarded or about to be replayed stays.",
        ge=1,
        le=3650,
    )
    ledger_retention_days: int = Field(
        365,
        validation_alias=AliasChoices("MARKETDATA_LEDGER_RETENTION_DAYS"),
        description="Days that the hours of the ledger of polls are kept.",
        ge=7,
        le=3650,
    )

    promise_retention_days: int = Field(
        90,
        validation_alias=AliasChoices("MARKETDATA_PROMISE_RETENTION_DAYS"),
        description="Days that the hours of how promises were kept are kept; status looks back over 30.",
        ge=31,
        le=3650,
    )

    def chosen(self, installed: tuple[str, ...]) -> tuple[str, ...]:
        """Return the providers this process polls: those named, or all that are installed."""
        named = tuple(name.strip() for name in self.providers.split(",") if name.strip())
        return named or installed


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the process was told."""

    process: ProcessSettings
    postgres: PostgresSettings
    kafka: KafkaSettings
    poller: PollerSettings
    traces: TraceSettings
    environ: Mapping[str, str]


def read(prefixes: tuple[str, ...], environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings from `environ`, the process's own by default.

    Variables that begin with one of `prefixes` are the installed providers', which read and check
    them when they are made. Raises Misconfigured.
    """
    variables = dict(os.environ if environ is None else environ)
    groups = (ProcessSettings, PostgresSettings, KafkaSettings, PollerSettings, TraceSettings)
    known = {name for group in groups for name in settings.variable_names(group)}
    own = {name: value for name, value in variables.items() if name in known or not name.startswith(prefixes)}
    process, postgres, kafka, poller, traces = settings.read(*groups, environ=own)
    return Settings(process, postgres, kafka, poller, traces, variables)
