"""What the shipped providers may be told, and how any provider reads its own settings.

A provider `name` owns every variable that begins with `MARKETDATA_<NAME>_`, so a misspelt one is
found by the provider it was meant for. Nothing here imports a provider.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from marketdata import settings
from marketdata.domain.symbol import PROVIDER_PATTERN

_config = SettingsConfigDict(extra="ignore", frozen=True, populate_by_name=True)
_HTTP = r"^https?://[^\s?#]+$"


class SyntheticSettings(BaseSettings):
    """The seeded random walk."""

    model_config = _config

    seed: int = Field(
        1,
        validation_alias=AliasChoices("MARKETDATA_SYNTHETIC_SEED"),
        description="The walk's seed: the same seed gives the same prices.",
    )
    currency: str = Field(
        "USD",
        validation_alias=AliasChoices("MARKETDATA_SYNTHETIC_CURRENCY"),
        description="The currency of the prices.",
        pattern="^[A-Z]{3}$",
    )
    market_state: str = Field(
        "REGULAR",
        validation_alias=AliasChoices("MARKETDATA_SYNTHETIC_MARKET_STATE"),
        description="The market's state that is told with each price.",
        pattern="^(REGULAR|PRE|POST|CLOSED)$",
    )
    latency_seconds: float = Field(
        0.0,
        validation_alias=AliasChoices("MARKETDATA_SYNTHETIC_LATENCY_SECONDS"),
        description="How long each fetch takes.",
        ge=0,
        le=30,
    )
    batch_size: int = Field(
        500,
        validation_alias=AliasChoices("MARKETDATA_SYNTHETIC_BATCH_SIZE"),
        description="Symbols in one request.",
        ge=1,
        le=500,
    )
    requests_per_minute: float = Field(
        6000,
        validation_alias=AliasChoices("MARKETDATA_SYNTHETIC_REQUESTS_PER_MINUTE"),
        description="The budget of the whole deployment.",
        gt=0,
        le=1e6,
    )


class YfinanceSettings(BaseSettings):
    """Yahoo Finance through the library yfinance."""

    model_config = _config

    base_url: str | None = Field(
        None,
        validation_alias=AliasChoices("MARKETDATA_YFINANCE_BASE_URL"),
        description="Another address than Yahoo's: a stand-in or a proxy.",
        pattern=_HTTP,
    )
    cache_dir: Path | None = Field(
        None,
        validation_alias=AliasChoices("MARKETDATA_YFINANCE_CACHE_DIR"),
        description="A writable folder for what yfinance remembers; a temporary one where not given.",
    )
    batch_size: int = Field(
        90,
        validation_alias=AliasChoices("MARKETDATA_YFINANCE_BATCH_SIZE"),
        description="Symbols in one quote request.",
        ge=1,
        le=90,
    )
    chart_symbols: int = Field(
        10,
        validation_alias=AliasChoices("MARKETDATA_YFINANCE_CHART_SYMBOLS"),
        description="Symbols of one fetch that the quotes left out and that are asked for one by one.",
        ge=0,
        le=90,
    )
    requests_per_minute: float = Field(
        60,
        validation_alias=AliasChoices("MARKETDATA_YFINANCE_REQUESTS_PER_MINUTE"),
        description="The budget of the whole deployment.",
        gt=0,
        le=1e6,
    )
    deadline_seconds: float = Field(
        15.0,
        validation_alias=AliasChoices("MARKETDATA_YFINANCE_DEADLINE_SECONDS"),
        description="How long one fetch may take, all of its requests together.",
        gt=0,
        le=120,
    )


class AlphaVantageSettings(BaseSettings):
    """Alpha Vantage's GLOBAL_QUOTE; needs a key."""

    model_config = _config

    base_url: str = Field(
        "https://www.alphavantage.co",
        validation_alias=AliasChoices("MARKETDATA_ALPHA_VANTAGE_BASE_URL"),
        description="Where Alpha Vantage is.",
        pattern=_HTTP,
    )
    api_key: SecretStr | None = Field(
        None, validation_alias=AliasChoices("ALPHA_VANTAGE_API_KEY"), description="The key."
    )
    api_key_file: Path | None = Field(
        None,
        validation_alias=AliasChoices("ALPHA_VANTAGE_API_KEY_FILE"),
        description="A file with the key; wins over it.",
    )
    requests_per_minute: float = Field(
        5,
        validation_alias=AliasChoices("MARKETDATA_ALPHA_VANTAGE_REQUESTS_PER_MINUTE"),
        description="The budget of the whole deployment.",
        gt=0,
        le=1e6,
    )
    deadline_seconds: float = Field(
        15.0,
        validation_alias=AliasChoices("MARKETDATA_ALPHA_VANTAGE_DEADLINE_SECONDS"),
        description="How long one fetch may take.",
        gt=0,
        le=120,
    )


class ReplaySettings(BaseSettings):
    """Stored raw answers, told again."""

    model_config = _config

    provider: str = Field(
        "yfinance",
        validation_alias=AliasChoices("MARKETDATA_REPLAY_PROVIDER"),
        description="Whose stored answers are told again.",
        pattern=PROVIDER_PATTERN,
    )
    hours: float = Field(
        24.0,
        validation_alias=AliasChoices("MARKETDATA_REPLAY_HOURS"),
        description="How far back they are taken from.",
        gt=0,
        le=24 * 366,
    )
    requests_per_minute: float = Field(
        6000,
        validation_alias=AliasChoices("MARKETDATA_REPLAY_REQUESTS_PER_MINUTE"),
        description="The budget of the whole deployment.",
        gt=0,
        le=1e6,
    )


SHIPPED: Mapping[str, type[BaseSettings]] = {
    "synthetic": SyntheticSettings,
    "yfinance": YfinanceSettings,
    "alpha_vantage": AlphaVantageSettings,
    "replay": ReplaySettings,
}

Group = TypeVar("Group", bound=BaseSettings)


def prefix(provider: str) -> str:
    """Return what the variables of `provider` begin with, e.g. MARKETDATA_ALPHA_VANTAGE_."""
    return f"{settings.PREFIX}{provider.upper().replace('-', '_')}_"


def check(environ: Mapping[str, str]) -> None:
    """Read the settings of every shipped provider, so that a slip is found at the start.

    A plug-in from elsewhere checks its own when it is made. Raises Misconfigured naming the variable.
    """
    for provider, group in SHIPPED.items():
        read(provider, group, environ)


def read(provider: str, group: type[Group], environ: Mapping[str, str]) -> Group:
    """Return the settings of `provider` from `environ`, other parts' variables left out of it.

    Raises Misconfigured naming the variable that is malformed, missing or misspelt.
    """
    own = {
        name: value
        for name, value in environ.items()
        if not name.startswith(settings.PREFIX) or name.startswith(prefix(provider))
    }
    (values,) = settings.read(group, environ=own)
    found: Group = values
    return found
