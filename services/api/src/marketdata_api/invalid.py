"""What is wrong with a value, as one sentence that names it and says what would be right."""

from collections.abc import Mapping
from typing import Any

from marketdata_api.problems import FieldError

_LONGEST_NAME = 60
_LONGEST = 300

_WHOLE = "{name} is a whole number"
_YES_OR_NO = "{name} is true or false"
_TIME = "{name} is a time as in RFC 3339, such as 2026-01-05T14:30:00Z"
_ID = "{name} is a UUID, such as 0192d000-0000-7000-8000-000000000000"
_SENTENCES: Mapping[str, str] = {
    "missing": "{name} is missing",
    "extra_forbidden": "{name} is not known here",
    "list_type": "{name} is a list, also for one: […]",
    "string_type": "{name} is text, in quotes",
    "string_too_long": "{name} is longer than {max_length} characters",
    "too_short": "{name} is empty; give at least {min_length}",
    "too_long": "{name} has {actual_length} entries; at most {max_length} are allowed",
    "greater_than_equal": "{name} is at least {ge}",
    "less_than_equal": "{name} is at most {le}",
    "literal_error": "{name} is one of {expected}",
    "timezone_aware": "{name} needs a zone: end it with Z, or with an offset such as %2B00:00",
} | {
    kind: sentence
    for sentence, kinds in (
        (_WHOLE, ("int_type", "int_parsing", "int_parsing_size", "int_from_float", "finite_number")),
        (_YES_OR_NO, ("bool_type", "bool_parsing")),
        (
            _TIME,
            ("datetime_type", "datetime_parsing", "datetime_from_date_parsing", "datetime_object_invalid"),
        ),
        (_ID, ("uuid_type", "uuid_parsing", "uuid_version")),
        ("{name} is an object: {{…}}", ("model_type", "model_attributes_type", "dict_type")),
    )
    for kind in kinds
}


def field_error(entry: Mapping[str, Any]) -> FieldError:
    """Return what an entry of a validation error says."""
    where, *path = entry["loc"]
    name = "/".join(str(step) for step in path)[:_LONGEST_NAME] or f"the {where}"
    kind, context = entry["type"], entry.get("ctx", {})
    if kind == "rule":
        detail = str(entry["msg"])
    elif kind in _SENTENCES:
        detail = _SENTENCES[kind].format(**{**context, "name": name})
    else:
        message = str(entry["msg"])
        detail = f"{name}: {message[:1].lower()}{message[1:]}"
    return FieldError(str(where), path, detail[:_LONGEST])
