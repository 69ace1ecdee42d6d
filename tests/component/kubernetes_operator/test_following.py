"""Objects become rows, and what users do to them acts at once."""

import pytest

from marketdata_operator.reporter import LONGEST_PAUSE_SECONDS
from support.waiting import eventually, holds

SEED = {"symbols": ["AAPL", "MSFT"], "interval": 60, "provider": "synthetic"}
# No sweep comes to help within it. It ends a hang only: a status may wait for as long as the reporter ever
# rests, as it does after a slow look at the rows. The figure on a quiet machine is in tests/cluster.
AT_ONCE = LONGEST_PAUSE_SECONDS + 30


def told(world):
    """Return when the operator has acted on what came before: on an object that comes after it."""
    world.cluster.apply("after", SEED)
    eventually(lambda: world.rows().get("after"), within=AT_ONCE)


def test_an_object_that_is_applied_is_polled_at_once(world):
    world.watching()
    uid = world.cluster.apply(
        "tech", {**SEED, "failureThreshold": 5, "slo": {"maxAgeSeconds": 90, "target": "99.5"}}
    )

    row = eventually(lambda: world.rows().get("tech"), within=AT_ONCE)
    assert (row.k8s_uid, row.k8s_namespace, row.k8s_generation, row.release) == (uid, "default", 1, "demo")
    assert (row.symbols, row.provider, row.interval_seconds) == (["AAPL", "MSFT"], "synthetic", 60)
    assert (row.failure_threshold, row.slo_max_age_seconds, row.slo_target) == (5, 90, "99.5")
    assert row.is_due


def test_suspending_editing_resuming_and_deleting_act_at_once(world):
    world.watching()
    world.cluster.apply("tech", SEED)
    eventually(lambda: world.rows().get("tech"), within=AT_ONCE)

    world.cluster.apply("tech", {**SEED, "suspend": True})
    eventually(lambda: world.rows()["tech"].suspended and world.rows()["tech"].due_at is None, within=AT_ONCE)
    world.cluster.apply("tech", {**SEED, "symbols": ["BRK-B"], "interval": "5m"})
    eventually(lambda: world.rows()["tech"].symbols == ["BRK-B"], within=AT_ONCE)
    row = world.rows()["tech"]
    assert (row.suspended, row.interval_seconds, row.k8s_generation, row.is_due) == (False, 300, 3, True)
    world.cluster.delete("tech")
    eventually(lambda: not world.rows(), within=AT_ONCE)


def test_a_changed_annotation_polls_once_and_an_unchanged_one_never(world):
    world.watching()
    world.cluster.apply("tech", SEED)
    eventually(lambda: world.rows().get("tech"), within=AT_ONCE)
    world.execute("update polling_schedule set due_at = now() + interval '1 hour'")

    world.cluster.apply("tech", SEED, annotations={"marketdata.dev/poll-now": "1"})
    eventually(lambda: world.rows()["tech"].is_due, within=AT_ONCE)
    world.execute("update polling_schedule set due_at = now() + interval '1 hour'")
    world.cluster.apply("tech", SEED, annotations={"marketdata.dev/poll-now": "1", "another": "one"})
    told(world)
    holds(lambda: not world.rows()["tech"].is_due, during=1.0)


def test_an_annotation_that_postgres_cannot_hold_polls_too_and_holds_up_nobody(world):
    world.cluster.apply("odd", SEED, annotations={"marketdata.dev/poll-now": "1\0"})
    world.cluster.apply("tech", SEED)
    world.watching()
    eventually(lambda: world.rows().keys() == {"odd", "tech"}, within=AT_ONCE)
    world.execute("update polling_schedule set due_at = now() + interval '1 hour'")

    world.cluster.apply("odd", SEED, annotations={"marketdata.dev/poll-now": "2\0"})
    eventually(lambda: world.rows()["odd"].is_due, within=AT_ONCE)
    assert not world.rows()["tech"].is_due


def test_a_handled_annotation_is_not_handled_again_after_a_restart(world):
    first = world.operator()
    world.cluster.apply("tech", SEED, annotations={"marketdata.dev/poll-now": "1"})
    eventually(lambda: world.rows().get("tech"), within=60)
    first.terminate()
    first.wait(60)
    world.execute("update polling_schedule set due_at = now() + interval '1 hour'")

    world.watching()
    told(world)
    holds(lambda: not world.rows()["tech"].is_due, during=1.0)


def test_a_real_mass_delete_acts_at_once(world):
    world.make(60)
    world.watching()
    eventually(lambda: len(world.rows()) == 60, within=60)

    for name in world.cluster.names():
        world.cluster.delete(name)
    eventually(lambda: not world.rows(), within=AT_ONCE)
    assert world.metric("brake_trips_total") == 0


def test_an_object_made_again_under_its_name_is_another_job(world):
    world.watching()
    world.cluster.apply("tech", SEED)
    first = eventually(lambda: world.rows().get("tech"), within=AT_ONCE)
    world.cluster.delete("tech")
    world.cluster.apply("tech", SEED)

    eventually(
        lambda: world.rows().get("tech") and world.rows()["tech"].job_id != first.job_id, within=AT_ONCE
    )
    assert len(world.rows()) == 1


def test_a_refused_object_is_not_polled_and_says_so(world):
    world.watching()
    world.cluster.apply("tech", {**SEED, "provider": "bloomberg"})

    eventually(lambda: world.condition("tech", "Accepted") == ("False", "UnknownProvider"), within=AT_ONCE)
    assert world.rows() == {}


def test_a_refused_edit_leaves_the_accepted_spec_polling_until_it_suspends(world):
    world.watching()
    world.cluster.apply("tech", SEED)
    eventually(lambda: world.rows().get("tech"), within=AT_ONCE)

    world.cluster.apply("tech", {**SEED, "provider": "bloomberg"})
    eventually(lambda: world.condition("tech", "Scheduled") == ("True", "PreviousSpec"), within=AT_ONCE)
    assert world.rows()["tech"].provider == "synthetic"
    world.cluster.apply("tech", {**SEED, "provider": "bloomberg", "suspend": True})
    eventually(lambda: world.rows()["tech"].suspended, within=AT_ONCE)


def test_other_namespaces_and_other_releases_are_left_alone(world):
    world.operator()
    world.operator(MARKETDATA_OPERATOR_RELEASE="other", MARKETDATA_OPERATOR_NAMESPACES="elsewhere")
    world.cluster.apply("ours", SEED)
    world.cluster.apply("theirs", SEED, namespace="elsewhere")
    eventually(lambda: world.rows() and world.rows(release="other"), within=60)

    assert (set(world.rows()), set(world.rows(release="other"))) == ({"ours"}, {"theirs"})
    world.cluster.delete("ours")
    eventually(lambda: not world.rows(), within=60)
    holds(lambda: set(world.rows(release="other")) == {"theirs"}, during=2.0)


def test_all_namespaces_can_be_followed(world):
    world.operator(MARKETDATA_OPERATOR_NAMESPACES="*")
    world.cluster.apply("ours", SEED)
    world.cluster.apply("theirs", SEED, namespace="elsewhere")

    eventually(lambda: set(world.rows()) == {"ours", "theirs"}, within=60)


def test_a_row_that_somebody_changed_by_hand_is_mended_by_the_sweep(world):
    world.operator()
    world.cluster.apply("tech", SEED)
    eventually(lambda: world.rows().get("tech"), within=60)

    world.execute("update polling_jobs set symbols = '{GME}', suspended = true")
    eventually(lambda: world.rows()["tech"].symbols == SEED["symbols"], within=20)
    assert not world.rows()["tech"].suspended


@pytest.mark.parametrize("namespaces", ["default", "*"])
def test_sweeps_with_nothing_to_do_write_nothing_anywhere(world, namespaces):
    world.make(30, suspend=True)
    world.operator(MARKETDATA_OPERATOR_NAMESPACES=namespaces)
    eventually(
        lambda: all(world.condition(name) == ("False", "Suspended") for name in world.cluster.names()),
        within=60,
    )
    patches, lists = world.cluster.requests["patch"], world.cluster.requests["list"]
    written = {name: row.updated_at for name, row in world.rows().items()}
    synced = world.metric("rows_total", '{change="changed"}')

    eventually(lambda: world.cluster.requests["list"] >= lists + 4, within=60)
    assert world.cluster.requests["patch"] == patches
    assert {name: row.updated_at for name, row in world.rows().items()} == written
    assert world.metric("rows_total", '{change="changed"}') == synced
