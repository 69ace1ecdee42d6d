import pytest
from fastapi.routing import APIRoute

from marketdata_api.routes import health, jobs, ledger, prices, providers, raw

ROUTES = [
    route
    for part in (health, jobs, ledger, prices, providers, raw)
    for route in part.router.routes
    if isinstance(route, APIRoute)
]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{min(route.methods)} {route.path}")
def test_every_address_has_a_title_that_says_what_it_does(route: APIRoute) -> None:
    assert route.summary, "without one the reference shows the function's name"
