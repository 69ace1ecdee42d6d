import json
from typing import Any

import pytest
from fastapi.routing import APIRoute

from marketdata_api.routes import health, jobs, ledger, prices, providers, raw
from support.servers import ROOT

DOCUMENT: dict[str, Any] = json.loads(
    (ROOT / "docs" / "reference" / "openapi.json").read_text(encoding="utf-8")
)
ROUTES = [
    route
    for part in (health, jobs, ledger, prices, providers, raw)
    for route in part.router.routes
    if isinstance(route, APIRoute)
]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{min(route.methods)} {route.path}")
def test_every_address_has_a_title_that_says_what_it_does(route: APIRoute) -> None:
    assert route.summary, "without one the reference shows the function's name"


def _described(method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][path][method]
    return found


def test_the_document_says_where_a_key_is_asked_for_and_for_what() -> None:
    assert set(DOCUMENT["components"]["securitySchemes"]) == {"bearer", "apiKey"}
    assert {"apiKey": ["jobs:write"]} in _described("post", "/prices/poll")["security"]
    assert {"bearer": ["raw:read"]} in _described("get", "/prices/raw/{raw_response_id}")["security"]
    assert _described("get", "/test-db")["security"] == []


@pytest.mark.parametrize("path", ["/readyz", "/test-db", "/prices/test-db"])
def test_the_document_shows_what_is_sent_while_something_is_away(path: str) -> None:
    assert list(_described("get", path)["responses"]["503"]["content"]) == ["application/json"]


def test_the_document_names_the_headers_that_lead_on() -> None:
    made = _described("post", "/prices/poll")["responses"]

    assert set(made["202"]["headers"]) == {"Location", "Idempotency-Replayed"}
    assert set(made["415"]["headers"]) == {"Accept"}
    assert set(made["5XX"]["headers"]) == {"Retry-After"}
    for path in ("/prices/poll", "/prices/history", "/prices/average"):
        assert set(_described("get", path)["responses"]["200"]["headers"]) == {"Link"}
