"""What the operator relies on at the Kubernetes API; run on the stand-in and on a real cluster.

A module that runs it has a fixture `place` with `server` (the operator's adapter), `apply`, `delete`
and `get` for objects, and `events`.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pytest

from marketdata_operator.api_server import PAGE
from marketdata_operator.board import Board
from marketdata_operator.errors import ObjectChanged, ObjectGone
from marketdata_operator.observed import Observed, read
from marketdata_operator.ports import Kubernetes
from marketdata_operator.report import Happening
from marketdata_operator.status import Condition, FailedSymbol, Status
from support.pollingjobs import an_admission
from support.waiting import eventually

WELL = Condition(
    type="Ready",
    status="True",
    reason="Polling",
    message="all is well",
    last_transition_time="2026-03-02T12:00:00Z",
    observed_generation=1,
)


class Place(Protocol):
    """A cluster that a test may write to."""

    server: Kubernetes
    namespace: str

    def apply(self, name: str, spec: Mapping[str, Any]) -> None: ...

    def delete(self, name: str) -> None: ...

    def get(self, name: str) -> dict[str, Any]: ...

    def add_condition(self, name: str, condition: Mapping[str, Any], manager: str) -> None: ...

    def events(self, name: str) -> list[dict[str, Any]]: ...

    def watch(self, board: Board) -> AbstractContextManager[None]: ...


class KubernetesContract:
    """The contract; every method is a test."""

    def seen(self, place: Place, name: str) -> Observed:
        return next(each for each in self.listed(place) if each.name == name)

    def write(self, place: Place, name: str, status: Status) -> int:
        return place.server.apply_status(self.seen(place, name), status)

    def listed(self, place: Place) -> list[Observed]:
        return [read(body, an_admission()) for page in place.server.pages() for body in page]

    def test_a_list_is_whole_and_comes_in_pages(self, place: Place) -> None:
        for number in range(3):
            place.apply(f"job-{number}", {"symbols": ["AAPL"]})

        pages = list(place.server.pages())
        assert sorted(each.name for each in self.listed(place)) == ["job-0", "job-1", "job-2"]
        assert all(len(page) <= PAGE for page in pages)

    def test_an_objects_version_grows_with_each_change(self, place: Place) -> None:
        place.apply("tech", {"symbols": ["AAPL"]})
        first = self.seen(place, "tech")
        place.apply("tech", {"symbols": ["MSFT"]})
        second = self.seen(place, "tech")

        assert 0 < first.version < second.version
        assert (first.uid, first.generation + 1) == (second.uid, second.generation)

    def test_a_status_is_written_and_read_back_as_it_is(self, place: Place) -> None:
        place.apply("tech", {"symbols": ["AAPL"]})
        before = self.seen(place, "tech")
        status = Status(
            observed_generation=1,
            job_id="j",
            symbol_count=1,
            last_successful_time="2026-03-02T12:00:00Z",
            failed_symbols=(FailedSymbol("AAPL", "UnknownSymbol", since="2026-03-02T12:00:00Z"),),
            conditions=(WELL,),
        )
        version = place.server.apply_status(before, status)
        after = self.seen(place, "tech")

        assert after.status == status
        assert (after.version, after.generation) == (version, before.generation)
        assert version > before.version

    def test_the_same_status_again_changes_nothing(self, place: Place) -> None:
        place.apply("tech", {"symbols": ["AAPL"]})
        status = Status(observed_generation=1, conditions=(WELL,))

        assert self.write(place, "tech", status) == self.write(place, "tech", status)

    def test_what_a_status_no_longer_says_is_removed(self, place: Place) -> None:
        place.apply("tech", {"symbols": ["AAPL"]})
        self.write(place, "tech", Status(symbol_count=1, next_poll_time="2026-03-02T12:00:00Z"))
        self.write(place, "tech", Status(symbol_count=2))

        assert self.seen(place, "tech").status == Status(symbol_count=2)

    def test_two_writers_conditions_stand_side_by_side(self, place: Place) -> None:
        place.apply("tech", {"symbols": ["AAPL"]})
        self.write(place, "tech", Status(conditions=(WELL,)))
        audited = {
            "type": "Audited",
            "status": "True",
            "reason": "Done",
            "message": "by somebody else",
            "lastTransitionTime": "2026-03-02T12:00:00Z",
        }
        place.add_condition("tech", audited, "auditor")
        failing = Condition("Ready", "False", "ProviderError", "no", "2026-03-02T12:01:00Z", 1)
        self.write(place, "tech", Status(conditions=(failing,)))

        conditions = {each["type"]: each["status"] for each in place.get("tech")["status"]["conditions"]}
        assert conditions == {"Audited": "True", "Ready": "False"}

    def test_the_status_of_an_object_that_is_gone_is_not_written(self, place: Place) -> None:
        place.apply("tech", {"symbols": ["AAPL"]})
        observed = self.seen(place, "tech")
        place.delete("tech")

        with pytest.raises(ObjectGone):
            place.server.apply_status(observed, Status(symbol_count=1))

    def test_a_new_object_never_gets_the_status_of_the_one_before(self, place: Place) -> None:
        place.apply("tech", {"symbols": ["AAPL"]})
        observed = self.seen(place, "tech")
        place.delete("tech")
        place.apply("tech", {"symbols": ["AAPL"]})

        with pytest.raises(ObjectChanged):
            place.server.apply_status(observed, Status(symbol_count=1))
        assert self.seen(place, "tech").status == Status()

    def test_a_status_made_of_an_older_moment_is_not_written(self, place: Place) -> None:
        place.apply("tech", {"symbols": ["AAPL"]})
        observed = self.seen(place, "tech")
        place.apply("tech", {"symbols": ["MSFT"]})

        with pytest.raises(ObjectChanged):
            place.server.apply_status(observed, Status(observed_generation=1))
        assert self.write(place, "tech", Status(observed_generation=2)) > observed.version

    def test_an_event_shows_beside_its_object(self, place: Place) -> None:
        place.apply("tech", {"symbols": ["AAPL"]})
        observed = self.seen(place, "tech")
        place.server.post_event(observed, Happening("Warning", "ProviderError", "503 from upstream"))

        (event,) = eventually(lambda: place.events("tech"), within=10)
        assert (event["type"], event["reason"], event["message"]) == (
            "Warning", "ProviderError", "503 from upstream",
        )  # fmt: skip
        assert event["involvedObject"]["uid"] == observed.uid

    def test_the_watch_tells_of_every_change_and_deletion(self, place: Place) -> None:
        place.apply("before", {"symbols": ["AAPL"]})
        board = Board()
        with place.watch(board):
            eventually(lambda: [each.name for each in board.objects()] == ["before"], within=30)
            place.apply("after", {"symbols": ["AAPL"]})
            eventually(lambda: len(board.objects()) == 2, within=10)
            place.apply("after", {"symbols": ["MSFT"]})
            eventually(lambda: max(each.generation for each in board.objects()) == 2, within=10)
            place.delete("before")
            eventually(lambda: len(board.objects()) == 1, within=10)
