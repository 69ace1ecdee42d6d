from datetime import timedelta

import msgspec
import pytest

from marketdata import errors
from marketdata.errors import MarketDataError, Permanent, Transient
from marketdata_api import problems
from marketdata_api.problems import KINDS, OF_ERROR, FieldError, Problem

_LEAVES = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, MarketDataError)
    and kind not in {MarketDataError, Transient, Permanent}
]


def test_every_leaf_of_the_error_tree_has_a_kind_of_problem() -> None:
    assert set(OF_ERROR) == set(_LEAVES)


@pytest.mark.parametrize("leaf", _LEAVES)
def test_what_may_pass_says_when_to_come_back_and_is_never_the_clients_fault(
    leaf: type[MarketDataError],
) -> None:
    problem = problems.of(leaf())

    assert (problem.retry_after is not None) == issubclass(leaf, Transient)
    assert (problem.kind.status == 503) >= issubclass(leaf, Transient)


def test_the_text_of_an_unexpected_error_is_never_told() -> None:
    problem = problems.of(RuntimeError("password=hunter2"))

    rendered = problems.render(problem, instance="/x", trace_id="t")
    assert rendered.status == 500
    assert b"hunter2" not in rendered.body


def test_slugs_are_unique_and_each_kind_explains_itself() -> None:
    kinds = [value for value in vars(problems).values() if isinstance(value, problems.Kind)]

    assert len({kind.slug for kind in kinds}) == len(kinds) == len(KINDS)
    assert all(kind.about.endswith(".") for kind in kinds)


def test_a_problem_is_rendered_as_rfc_9457_says() -> None:
    problem = Problem(
        problems.VALIDATION,
        "no",
        errors=[FieldError("body", ["symbols", 0, "a/b~c"], "wrong")],
        retry_after=timedelta(milliseconds=10),
    )

    rendered = problems.render(problem, instance="/prices/poll", trace_id="t-1")

    assert msgspec.json.decode(rendered.body) == {
        "type": "/problems/validation",
        "title": "Invalid request",
        "status": 422,
        "detail": "no",
        "instance": "/prices/poll",
        "code": "validation",
        "trace_id": "t-1",
        "errors": [{"pointer": "#/symbols/0/a~1b~0c", "in": "body", "detail": "wrong"}],
    }
    assert rendered.headers["content-type"] == "application/problem+json"
    assert rendered.headers["retry-after"] == "1"
