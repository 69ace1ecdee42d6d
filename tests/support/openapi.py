"""Requests that an OpenAPI document suggests, right and wrong, and what it promises of their answers.

Each part of a request is drawn from its schema or is beside it, so that one wrong part meets others
that are right and is not hidden behind an earlier refusal.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

Schema = Mapping[str, Any]
Known = Mapping[str, Sequence[Any]]

_words = st.text(st.characters(codec="utf-8"), max_size=40)
_hostile = st.sampled_from(
    [
        *("", " ", "\x00", "..", "%", "null", "NaN", "-1", "1e400", "9" * 400, "A" * 600, "\u202e", "{}"),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00"),
        "'; drop table polling_jobs; --",
    ]
)
_scalars = st.none() | st.booleans() | st.integers() | st.floats() | _words | _hostile
_anything = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_words, inner, max_size=4)
)
_header_values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60).map(str.strip)
_HEADERS = ("accept", "if-none-match", "range", "traceparent", "x-forwarded-for", "x-request-id")


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is sent; `target` is escaped already."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None


class Document:
    """An OpenAPI 3.1 document."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content

    def operations(self) -> "list[Operation]":
        return [
            Operation(self, method, path, described)
            for path, methods in self._content["paths"].items()
            for method, described in methods.items()
        ]

    def resolved(self, schema: Schema) -> Schema:
        """Return what a schema refers to, or itself."""
        while "$ref" in schema:
            place: Any = self._content
            for step in schema["$ref"].removeprefix("#/").split("/"):
                place = place[step]
            schema = place
        return schema

    def fitting(self, schema: Schema) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one for each type
        """Draw values that the schema allows."""
        schema = self.resolved(schema)
        if "const" in schema or "enum" in schema:
            return st.sampled_from(schema.get("enum") or [schema["const"]])
        if "anyOf" in schema:
            return st.one_of([self.fitting(one) for one in schema["anyOf"]])
        match schema.get("type"):
            case "null":
                return st.none()
            case "boolean":
                return st.booleans()
            case "integer":
                return st.integers(schema.get("minimum"), schema.get("maximum"))
            case "string":
                return _fitting_string(schema)
            case "array":
                item = self.fitting(schema["items"])
                return st.lists(item, min_size=schema.get("minItems", 0), max_size=5)
            case "object":
                parts = {name: self.fitting(one) for name, one in schema.get("properties", {}).items()}
                needed = set(schema.get("required", ()))
                return st.fixed_dictionaries(
                    {name: part for name, part in parts.items() if name in needed},
                    optional={name: part for name, part in parts.items() if name not in needed},
                )
            case other:
                raise NotImplementedError(f"schemas of type {other}")

    def bodies(self, schema: Schema) -> st.SearchStrategy[Any]:
        """Draw JSON values: fitting ones, ones with a part changed, added or left out, any at all."""
        fitting = self.fitting(schema)

        @st.composite
        def harmed(draw: st.DrawFn) -> Any:
            value = dict(draw(fitting))
            name = draw(st.sampled_from(sorted(self.resolved(schema)["properties"])) | _words)
            if draw(st.booleans()):
                value.pop(name, None)
            else:
                value[name] = draw(_anything)
            return value

        return fitting | harmed() | _anything

    def validate(self, schema: Schema, value: Any) -> None:
        """Raise jsonschema.ValidationError where `value` is not what `schema` says."""
        whole = {**schema, "components": self._content.get("components", {})}
        Draft202012Validator(whole, format_checker=FormatChecker()).validate(value)


def _fitting_string(schema: Schema) -> st.SearchStrategy[str]:
    longest = schema.get("maxLength", 40)
    if schema.get("format") == "uuid":
        return st.uuids().map(str)
    if schema.get("format") == "date-time":
        return st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat())
    if "pattern" in schema:
        pattern: str = schema["pattern"]
        return st.from_regex(pattern, fullmatch=True).filter(lambda text: len(text) <= longest)
    return st.sampled_from(schema.get("examples", ["AAPL"])) | st.text(
        st.characters(codec="utf-8"), max_size=longest
    )


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    document: Document
    method: str
    path: str
    described: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"

    def requests(self, known: Known) -> st.SearchStrategy[Request]:
        """Draw requests; `known` gives, by a parameter's name, values that lead somewhere."""
        return st.composite(lambda draw: self._request(draw, known))()

    def _request(self, draw: st.DrawFn, known: Known) -> Request:
        target = self.path
        query: list[str] = []
        headers = draw(st.dictionaries(st.sampled_from(_HEADERS), _header_values, max_size=2))
        for parameter in self.described.get("parameters", ()):
            name, place = parameter["name"], parameter["in"]
            right = self.document.fitting(parameter["schema"])
            if name in known:
                right = st.sampled_from(known[name]) | right
            if place == "header":
                if draw(st.booleans()):
                    headers[name] = draw(_header_values)
                continue
            if place == "path":
                target = target.replace(f"{{{name}}}", _escaped(draw(right | _hostile | _words)))
                continue
            # Mostly what fits: of five parameters one wrong one is enough.
            times = [1, 1, 1, 1, 1, 0, 2] if parameter.get("required") else [0, 0, 0, 0, 0, 1, 1, 1, 2]
            for _ in range(draw(st.sampled_from(times))):
                value = draw(st.one_of(right, right, right, right, _hostile, _words))
                query += [
                    f"{name}={_escaped(one)}" for one in (value if isinstance(value, list) else [value])
                ]
        if draw(st.integers(0, 9)) == 0:
            query.append(draw(st.sampled_from(["%ff=%fe", "&&", "=", "unknown=1", "symbol", "%00"])))
        content = None
        if "requestBody" in self.described:
            schema = self.described["requestBody"]["content"]["application/json"]["schema"]
            body = self.document.bodies(schema)
            sent = body.map(lambda value: json.dumps(value).encode())
            content = draw(st.one_of(sent, sent, sent, st.binary(max_size=50)))
            headers["content-type"] = draw(
                st.sampled_from(["application/json"] * 8 + ["text/plain", "application/xml", ""])
            )
        return Request(
            self.method.upper(), target + ("?" + "&".join(query) if query else ""), headers, content
        )

    def check(self, status: int, media_type: str, content: bytes) -> None:
        """Assert that an answer is one that the document promises."""
        promised = self.described["responses"]
        found = promised.get(str(status)) or promised.get(f"{status // 100}XX")
        assert found is not None, f"{self} answered {status}, which is not documented"
        if status in {204, 304}:
            assert not content
            return
        assert media_type in found["content"], f"{self} answered {media_type} with {status}"
        schema = found["content"][media_type].get("schema")
        if schema is not None:
            self.document.validate(schema, json.loads(content))


def _escaped(value: Any) -> str:
    if value is None:
        return ""
    return quote(str(value).lower() if isinstance(value, bool) else str(value), safe="")
