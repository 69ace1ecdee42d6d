"""The settings of the consumer and of the lag exporter beside it."""

from collections.abc import Mapping

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from marketdata.settings import (
    KafkaSettings,
    PostgresSettings,
    ProcessSettings,
    RedisSettings,
    read,
)
from marketdata.telemetry.settings import TraceSettings


class ConsumerSettings(BaseSettings):
    """How the consumer batches and when it gives itself up."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    batch_size: int = Field(
        5_000,
        validation_alias=AliasChoices("MARKETDATA_CONSUMER_BATCH_SIZE"),
        description="Messages in one transaction, at most.",
        ge=1,
        le=50_000,
    )
    batch_seconds: float = Field(
        0.1,
        validation_alias=AliasChoices("MARKETDATA_CONSUMER_BATCH_SECONDS"),
        description="How long a batch is gathered for.",
        gt=0,
        lt=0.2,
    )
    account_check_seconds: float = Field(
        3.0,
        validation_alias=AliasChoices("MARKETDATA_CONSUMER_ACCOUNT_CHECK_SECONDS"),
        description="How often the log is asked whether it is still the same one.",
        gt=0,
        le=300,
    )
    stuck_seconds: float = Field(
        300.0,
        validation_alias=AliasChoices("MARKETDATA_CONSUMER_STUCK_SECONDS"),
        description="How long it may make no progress, with lag and all in reach, before it ends itself.",
        gt=0,
        le=86_400,
    )
    liveness_seconds: float = Field(
        60.0,
        validation_alias=AliasChoices("MARKETDATA_CONSUMER_LIVENESS_SECONDS"),
        description="How long a loop may take for one turn before `/healthz` says so.",
        gt=0,
        le=3_600,
    )


class LagSettings(BaseSettings):
    """How the lag exporter asks."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    every_seconds: float = Field(
        5.0,
        validation_alias=AliasChoices("MARKETDATA_LAG_EVERY_SECONDS"),
        description="How often the brokers are asked for the group's lag.",
        ge=0.1,
        le=60,
    )
    liveness_seconds: float = Field(
        90.0,
        validation_alias=AliasChoices("MARKETDATA_LAG_LIVENESS_SECONDS"),
        description="How long a round may take, its pause included, before `/healthz` says so.",
        ge=90,
        le=3_600,
    )


def load_exporter() -> tuple[ProcessSettings, KafkaSettings, LagSettings]:
    """Read the lag exporter's environment; raises Misconfigured with one sentence."""
    process, kafka, lag = read(ProcessSettings, KafkaSettings, LagSettings)
    return process, kafka, lag


def load(
    environ: Mapping[str, str] | None = None,
) -> tuple[ProcessSettings, PostgresSettings, RedisSettings, KafkaSettings, ConsumerSettings, TraceSettings]:
    """Read `environ`, the process's own by default; raises Misconfigured with one sentence."""
    process, postgres, redis, kafka, consumer, traces = read(
        ProcessSettings,
        PostgresSettings,
        RedisSettings,
        KafkaSettings,
        ConsumerSettings,
        TraceSettings,
        environ=environ,
    )
    return process, postgres, redis, kafka, consumer, traces
