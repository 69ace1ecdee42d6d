"""The routes' class: what is asked of every request before its values are."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from marketdata_api import bodies, queries

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class CheckedRoute(APIRoute):
    """A route that takes no parameter twice, and a body only as what `bodies` reads."""

    def get_route_handler(self) -> Handler:
        """Return the framework's handler behind these checks."""
        handle = super().get_route_handler()
        takes_body = self.body_field is not None
        single = queries.single(self.dependant.query_params)

        async def check(request: Request) -> Response:
            queries.require_single(request.scope["query_string"], single)
            if takes_body:
                request = _Read(request.scope, request.receive)
                if body := await request.body():
                    bodies.require_json(request.headers)
                    request.value = bodies.parse(body)
            return await handle(request)

        return check


class _Read(Request):
    """A request whose body was parsed already: the framework asks for it by `json`."""

    value: Any = None

    async def json(self) -> Any:
        return self.value
