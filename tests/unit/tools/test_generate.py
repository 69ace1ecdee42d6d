import importlib
import json
import pkgutil
from collections.abc import Iterator

import jsonschema
import pytest
from hypothesis import given
from pydantic_settings import BaseSettings

import marketdata
import marketdata_api
import marketdata_consumer
import marketdata_poller
from marketdata.domain.price import PricePoint
from marketdata.messages import price_event
from marketdata.telemetry.catalogue import CATALOGUE
from marketdata_tools.generate import metrics, schemas, settings
from support import strategies
from support.builders import a_price

SCHEMA = json.loads(schemas.price_event())


@given(strategies.price_points)
def test_every_message_written_fits_the_published_schema(point: PricePoint) -> None:
    jsonschema.validate(json.loads(price_event.encode(point)), SCHEMA)


@pytest.mark.parametrize("field", ["symbol", "price", "timestamp", "source", "raw_response_id"])
def test_the_schema_asks_for_the_seed_s_fields(field: str) -> None:
    message = json.loads(price_event.encode(a_price()))
    del message[field]

    with pytest.raises(jsonschema.ValidationError, match=field):
        jsonschema.validate(message, SCHEMA)


def _groups(group: type[BaseSettings]) -> Iterator[type[BaseSettings]]:
    for member in group.__subclasses__():
        yield member
        yield from _groups(member)


def test_every_settings_group_that_ships_is_on_the_page() -> None:
    for package in (marketdata, marketdata_api, marketdata_poller, marketdata_consumer):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if module.name.endswith("settings"):
                importlib.import_module(module.name)
    shipped = {group for group in _groups(BaseSettings) if "<locals>" not in group.__qualname__}
    ours = {
        group
        for group in shipped
        if group.__module__.startswith("marketdata") and "_tools" not in group.__module__
    }

    assert {group.__name__ for group in ours if _is_original(group)} == {
        group.__name__ for group, _ in settings.GROUPS
    }


def _is_original(group: type[BaseSettings]) -> bool:
    return group.__bases__ == (BaseSettings,)


def test_every_setting_says_what_it_is() -> None:
    silent = [
        f"{group.__name__}.{name}"
        for group, _ in settings.GROUPS
        for name, field in group.model_fields.items()
        if not field.description
    ]

    assert silent == []


def test_every_metric_is_on_its_page() -> None:
    page = metrics.page()

    assert all(f"`{metric.name}`" in page for metric in CATALOGUE)


def test_the_document_lists_the_seed_s_paths() -> None:
    paths = json.loads(schemas.openapi())["paths"]

    assert {
        "/prices/poll",
        "/prices/latest",
        "/prices/average",
        "/test-db",
        "/prices/test-db",
    } <= paths.keys()
