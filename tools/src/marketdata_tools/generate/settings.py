"""docs/reference/settings.md: every environment variable, who reads it, and what it may be."""

from collections.abc import Iterable
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from marketdata.settings import KafkaSettings, PostgresSettings, ProcessSettings, RedisSettings
from marketdata.telemetry.settings import TraceSettings
from marketdata_api.settings import ApiSettings
from marketdata_consumer.settings import ConsumerSettings, LagSettings
from marketdata_operator.settings import OperatorSettings
from marketdata_poller.providers.settings import (
    AlphaVantageSettings,
    ReplaySettings,
    SyntheticSettings,
    YfinanceSettings,
)
from marketdata_poller.settings import PollerSettings

GROUPS: tuple[tuple[type[BaseSettings], str], ...] = (
    (PostgresSettings, "api, poller, consumer, operator, migrations"),
    (RedisSettings, "api, consumer"),
    (KafkaSettings, "poller, consumer, lag exporter"),
    (ProcessSettings, "api, poller, consumer, lag exporter, operator"),
    (TraceSettings, "api, poller, consumer, operator"),
    (ApiSettings, "api"),
    (PollerSettings, "poller"),
    (ConsumerSettings, "consumer"),
    (LagSettings, "lag exporter"),
    (OperatorSettings, "operator"),
    (SyntheticSettings, "poller"),
    (YfinanceSettings, "poller"),
    (AlphaVantageSettings, "poller"),
    (ReplaySettings, "poller"),
)

_HEAD = """# Settings

Made by `make generate` from the settings groups; not to be edited.

Every setting is an environment variable.
A variable that begins with `MARKETDATA_` and that the process does not know stops it at once, as does a missing or malformed value: exit code 2 and one sentence that names the variable.
Secrets can be given as files (`…_FILE`), which are read again at each new connection.
"""  # noqa: E501 - one sentence per line

_WORDS = {
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    SecretStr: "secret",
    bool: "true or false",
}
_BOUNDS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}"}


def page() -> str:
    """Return the page."""
    parts = [_HEAD]
    for group, readers in GROUPS:
        parts.append(f"\n## {_title(group)}\n\n{_sentence(group)}\nRead by: {readers}.\n")
        parts.append("\n| Variable | What it is | Values | Default |\n|---|---|---|---|\n")
        parts.extend(_row(field) for field in group.model_fields.values())
    return "".join(parts)


def _title(group: type[BaseSettings]) -> str:
    return group.__name__.removesuffix("Settings")


def _sentence(group: type[BaseSettings]) -> str:
    return (group.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")


def _row(field: FieldInfo) -> str:
    alias = field.validation_alias
    names = alias.choices if isinstance(alias, AliasChoices) else [str(alias)]
    variable = "<br>".join(f"`{name}`" for name in names)
    return f"| {variable} | {field.description or ''} | {_values(field)} | {_default(field)} |\n"


def _values(field: FieldInfo) -> str:
    bounds = [
        template.format(_number(value))
        for constraint in field.metadata
        for attribute, template in _BOUNDS.items()
        if (value := getattr(constraint, attribute, None)) is not None
    ]
    patterns = [str(pattern) for item in field.metadata if (pattern := getattr(item, "pattern", None))]
    words = [_WORDS.get(kind, str(kind)) for kind in _kinds(field.annotation)]
    shapes = [f"`{pattern}`".replace("|", "\\|") for pattern in patterns]
    return ", ".join([*words, *bounds, *shapes])


def _kinds(annotation: Any) -> Iterable[type]:
    if get_origin(annotation) in (Union, UnionType):
        return [kind for kind in get_args(annotation) if kind is not type(None)]
    return [annotation]


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or value == "":
        return ""
    return f"`{_number(value) if isinstance(value, int | float) else value}`"


def _number(value: float) -> str:
    return f"{value:g}" if value < 1_000_000 else f"{value:.0f}"
