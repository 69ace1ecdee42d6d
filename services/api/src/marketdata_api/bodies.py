"""Request bodies: JSON in UTF-8, read once and whole before any rule looks at a value.

What two readers could understand in two ways is refused and not guessed at: a field that is there
twice, of which most parsers keep the last and some the first (RFC 8259, 4), NaN and Infinity, which
JSON has not, and bytes that are no UTF-8. Depth is bounded, so that no body decides how deep a stack
gets. Each refusal says what to send instead.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from email.message import Message
from typing import Any, NoReturn

from starlette.datastructures import Headers

from marketdata_api.problems import UNSUPPORTED_MEDIA_TYPE, VALIDATION, FieldError, Problem

MEDIA_TYPE = "application/json"
_DEEPEST = 16  # the deepest body that means something has three levels
# Beyond every limit, and quickly read; Python itself refuses some thousand digits.
_MOST_DIGITS = 40
_MOST_TOLD = 20


def require_json(headers: Headers) -> None:
    """Return if the body is said to be JSON, as it is; raises Problem (RFC 9110, 15.5.16).

    A parameter is no obstacle: JSON has no charset, whatever a client adds (RFC 8259, 11).
    """
    if (coding := headers.get("content-encoding", "identity").strip().lower()) != "identity":
        raise Problem(
            UNSUPPORTED_MEDIA_TYPE,
            f"Send the body without Content-Encoding; {coding[:60]!r} is not read here.",
            headers={"accept-encoding": "identity"},
        )
    given = headers.get("content-type", "")
    message = Message()
    message["content-type"] = given
    named = message.get_content_type() if given else ""
    if named == MEDIA_TYPE or (named.startswith("application/") and named.endswith("+json")):
        return
    said = f"its Content-Type is {given[:60]!r}" if given else "it has no Content-Type"
    raise Problem(
        UNSUPPORTED_MEDIA_TYPE, f"Send the body as {MEDIA_TYPE}; {said}.", headers={"accept": MEDIA_TYPE}
    )


def parse(body: bytes) -> Any:
    """Return the value that `body` is; raises Problem.

    A number that is too long to be read is infinity, which the rule of its field refuses.
    """
    doubled: list[tuple[dict[str, Any], list[str]]] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            counted = Counter(name for name, _ in pairs)
            doubled.append((made, [name for name, times in counted.items() if times > 1]))
        return made

    try:
        value = json.loads(
            body.decode("utf-8-sig"),
            object_pairs_hook=once,
            parse_int=_integer,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError as error:
        raise _refused(f"the body is not UTF-8 at byte {error.start}; send JSON in UTF-8") from None
    except json.JSONDecodeError as error:
        raise _refused(
            f"the body is not JSON at line {error.lineno}, column {error.colno}: {error.msg[:80]}"
        ) from None
    except RecursionError:
        raise _too_deep() from None
    places = _places(value, {id(made): names for made, names in doubled})[:_MOST_TOLD]
    if places:
        told = [FieldError("body", place, _said(place[-1])) for place in places]
        raise Problem(VALIDATION, "; ".join(entry.detail for entry in told[:3]), errors=told)
    return value


def _places(value: Any, doubled: Mapping[int, list[str]]) -> list[Sequence[str | int]]:
    """Return the paths of the fields that are there twice, of objects by their id.

    Raises Problem for a value that is too deep.
    """
    found: list[Sequence[str | int]] = []
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while waiting:
        path, one = waiting.pop()
        if not isinstance(one, dict | list):
            continue
        if len(path) >= _DEEPEST:
            raise _too_deep()
        found += [(*path, name) for name in doubled.get(id(one), ())]
        inner = one.items() if isinstance(one, dict) else enumerate(one)
        waiting += [((*path, step), each) for step, each in inner if isinstance(each, dict | list)]
    return found


def _said(name: str | int) -> str:
    return f"{str(name)[:60]} is there more than once; send it once"


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else math.inf


def _no_constant(name: str) -> NoReturn:
    raise _refused(f"the body is not JSON: {name} is no JSON number; send digits or null")


def _too_deep() -> Problem:
    return _refused(f"the body is nested over {_DEEPEST} levels deep; no body here needs more than three")


def _refused(detail: str) -> Problem:
    return Problem(VALIDATION, detail, errors=[FieldError("body", [], detail)])
