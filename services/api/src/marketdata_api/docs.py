"""Swagger UI and the pages of the problems, with nothing fetched from elsewhere.

Swagger UI's files come from the package fastapi-offline, which carries version 5: the version
that renders OpenAPI 3.1.
"""

from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse

from marketdata_api.keys import scope_of
from marketdata_api.problems import CONTENT, KINDS, NOT_FOUND, Problem

_STATIC = "/static/swagger"

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "Refused; `code` says why.", "content": CONTENT},
    "5XX": {
        "description": "Not possible now.",
        "content": CONTENT,
        "headers": {"Retry-After": {"description": "Seconds, with 503.", "schema": {"type": "integer"}}},
    },
}

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
}

router = APIRouter(include_in_schema=False)


class Documented(FastAPI):
    """An application whose document says where a key is asked for, and for which scope."""

    def openapi(self) -> dict[str, Any]:
        """Return the document; keys are optional in it, as a deployment without any asks for none."""
        document = super().openapi()
        document["components"]["securitySchemes"] = _SCHEMES
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                scope = scope_of(method.upper(), path)
                # For schemes other than OAuth the list may name roles (OpenAPI 3.1, 4.8.30).
                operation["security"] = [{}, *({name: [scope]} for name in _SCHEMES)] if scope else []
        return document


def mount_assets(app: FastAPI) -> None:
    """Serve Swagger UI's files from the package that has them."""
    folder = Path(str(files("fastapi_offline"))) / "static"
    app.mount(_STATIC, StaticFiles(directory=folder), name="swagger")


@router.get("/")
async def home(request: Request) -> RedirectResponse:
    """Lead a browser to the documentation."""
    return RedirectResponse(f"{request.scope['root_path']}/docs")


@router.get("/docs")
async def swagger(request: Request) -> HTMLResponse:
    """Show the OpenAPI document."""
    root = request.scope["root_path"]
    return get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="Market data: API",
        swagger_js_url=f"{root}{_STATIC}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{_STATIC}/swagger-ui.css",
        swagger_favicon_url=f"{root}{_STATIC}/favicon.png",
        swagger_ui_parameters={"tryItOutEnabled": True, "displayRequestDuration": True},
    )


@router.get("/problems/{slug}")
async def problem(slug: str) -> HTMLResponse:
    """Explain one type of problem: what `type` leads to."""
    kind = KINDS.get(slug)
    if kind is None:
        raise Problem(NOT_FOUND)
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(kind.title)}</title>"
        "<body style='font:16px/1.5 system-ui;max-width:40em;margin:4em auto;padding:0 1em'>"
        f"<h1>{escape(kind.title)}</h1><p><code>{escape(kind.slug)}</code>, HTTP {kind.status}</p>"
        f"<p>{escape(kind.about)}</p></body></html>"
    )
