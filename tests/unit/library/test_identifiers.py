from datetime import datetime, timedelta
from uuid import RFC_4122, UUID

from hypothesis import given

from marketdata import identifiers
from support import strategies

MILLISECOND = timedelta(milliseconds=1)


@given(strategies.instants)
def test_an_id_is_a_version_7_uuid_that_tells_its_time(at: datetime) -> None:
    made = identifiers.uuid7(at)

    assert made.version == 7
    assert made.variant == RFC_4122
    assert timedelta(0) <= at - identifiers.time_of(made) < MILLISECOND


@given(strategies.instants, strategies.instants)
def test_ids_sort_as_their_times_do(one: datetime, other: datetime) -> None:
    earlier, later = sorted((one, other))
    if later - earlier < MILLISECOND:
        return
    assert identifiers.uuid7(earlier).bytes < identifiers.uuid7(later).bytes


@given(strategies.instants)
def test_the_bound_of_an_instant_parts_what_was_made_before_from_what_came_after(at: datetime) -> None:
    bound = identifiers.lower_bound(at).bytes

    assert identifiers.uuid7(at - MILLISECOND).bytes < bound <= identifiers.uuid7(at).bytes


def test_everything_was_made_after_what_no_uuid_can_tell() -> None:
    before = datetime.fromisoformat("1969-12-31T23:00:00+00:00")

    assert identifiers.lower_bound(before) == UUID(int=0)


def test_ids_of_one_instant_differ() -> None:
    at = datetime.fromisoformat("2026-03-02T12:00:00+00:00")

    assert len({identifiers.uuid7(at) for _ in range(1000)}) == 1000
