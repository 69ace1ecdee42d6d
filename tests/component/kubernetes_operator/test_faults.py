"""What goes wrong around the operator: it converges, and nothing that is polled stops meanwhile."""

import time

import pytest

from marketdata_operator.steps import OperatorStep
from support.proxy import Proxy
from support.waiting import eventually, holds

pytestmark = pytest.mark.faults

SEED = {"symbols": ["AAPL", "MSFT"], "interval": 60, "provider": "synthetic"}


def settled(world, count):
    """Return when `count` objects are rows and show it."""
    eventually(lambda: len(world.rows()) == count, within=60)
    eventually(lambda: all(world.condition(name) for name in world.cluster.names()), within=60)


def at_rest(world):
    """Return when what the watch still brings is old news, and a sweep has ended since.

    Of objects that are suspended: the status of others changes when nobody has polled them for a while.
    The watch lists too, when it begins.
    """
    suspended = ("False", "Suspended")
    eventually(lambda: all(world.condition(name) == suspended for name in world.cluster.names()), within=60)
    eventually(lambda: world.metric("pending_statuses") == 0, within=60)
    eventually(lambda: world.cluster.requests["watch"] > 0, within=60)
    since = time.monotonic()
    eventually(lambda: time.monotonic() - since > world.metric("sweep_age_seconds"), within=60)


@pytest.mark.parametrize("step", OperatorStep)
def test_an_operator_that_dies_after_a_step_leaves_work_that_the_next_one_completes(world, step):
    world.make(3)
    world.operator(crash_at=step).crashed(60)

    world.operator()
    settled(world, 3)
    assert {row.symbols[0] for row in world.rows().values()} == {"AAPL"}


def test_an_operator_ends_in_good_order_when_told_to(world):
    world.cluster.apply("tech", SEED)
    process = world.operator()
    settled(world, 1)
    process.terminate()

    assert process.wait(60) == 0


def test_without_settings_or_cluster_it_says_what_is_missing(world, tmp_path):
    process = world.operator(KUBECONFIG=str(tmp_path / "none"))

    assert process.wait(60) == 2
    assert "no way to the Kubernetes API" in process.output()


def test_it_waits_for_the_definition_and_starts_without_help(world):
    world.cluster.is_installed = False
    process = world.operator()
    process.says("not installed yet", within=60)
    assert world.health("/readyz") == 503
    assert world.health("/healthz") == 200

    world.cluster.is_installed = True
    world.cluster.apply("tech", SEED)
    settled(world, 1)
    eventually(lambda: world.health("/readyz") == 200, within=20)


def test_a_cut_watch_misses_nothing(world):
    world.cluster.apply("first", SEED)
    world.watching()
    for number in range(5):
        world.cluster.apply(f"job-{number}", SEED)
        world.cluster.cut_watches()
    world.cluster.delete("first")

    eventually(lambda: set(world.rows()) == {f"job-{number}" for number in range(5)}, within=20)


def test_a_watch_that_is_too_old_begins_anew(world):
    world.watching()
    world.cluster.forget_history()
    world.cluster.apply("tech", SEED)

    eventually(lambda: world.rows().get("tech"), within=20)


def test_a_lost_network_is_found_again(world, tmp_path):
    with Proxy(world.cluster.port) as proxy:
        process = world.operator(kubeconfig=world.cluster.kubeconfig(tmp_path, port=proxy.port))
        world.cluster.apply("first", SEED)
        eventually(lambda: "first" in world.rows(), within=60)
        proxy.cut()
        world.cluster.apply("second", SEED)
        process.says("cannot be reached")
        assert world.health("/healthz") == 200
        assert set(world.rows()) == {"first"}
        proxy.pass_all()
        eventually(lambda: set(world.rows()) == {"first", "second"}, within=60)


def test_what_the_watch_never_told_is_found_by_the_sweep(world):
    world.make(5)
    world.operator()
    settled(world, 5)

    for name in world.cluster.names()[:3]:
        world.cluster.delete(name, in_silence=True)
    eventually(lambda: len(world.rows()) == 2, within=20)


@pytest.mark.parametrize("verbs", [{"list", "watch"}, {"list"}], ids=["list and watch", "list"])
def test_cut_rights_stop_no_polling(world, verbs):
    world.make(20)
    process = world.operator()
    settled(world, 20)
    due = {name: row.due_at for name, row in world.rows().items()}

    world.cluster.forbidden = verbs
    world.cluster.cut_watches()
    process.says("kubernetes_forbidden")
    holds(lambda: {name: row.due_at for name, row in world.rows().items()} == due, during=3.0)
    assert world.health("/healthz") == 200

    world.cluster.forbidden = set()
    world.cluster.apply("late", SEED)
    eventually(lambda: "late" in world.rows(), within=60)


def test_rights_to_write_status_are_not_needed_to_poll(world):
    world.cluster.forbidden = {"patch", "create"}
    world.cluster.apply("tech", SEED)
    process = world.operator()
    process.says("status not written", within=60)
    eventually(lambda: world.rows().get("tech"), within=60)

    world.cluster.forbidden = set()
    eventually(lambda: world.condition("tech"), within=60)


def test_rights_to_write_events_are_not_needed_for_anything_else(world):
    world.cluster.forbidden = {"create"}
    world.make(5)
    process = world.operator()
    process.says("events not written", within=60)
    settled(world, 5)
    assert process.output().count("events not written") == 1


def test_a_list_that_is_empty_for_another_reason_is_braked_until_a_second_one_agrees(world):
    world.make(20, suspend=True)
    process = world.operator()
    settled(world, 20)
    at_rest(world)

    world.cluster.empty_lists = 1
    process.says('"held": 20, "rows": 20.*absent objects not retired yet', within=30)
    eventually(lambda: world.metric("held_rows") == 0, within=30)
    assert len(world.rows()) == 20
    assert world.metric("brake_trips_total") == 1

    world.cluster.empty_lists = 1000  # all: the first that is whole makes the rows again
    eventually(lambda: not world.rows(), within=60)
    assert world.metric("brake_trips_total") == 2


def test_an_api_server_that_is_away_is_waited_for(world):
    world.cluster.apply("tech", SEED)
    world.operator()
    settled(world, 1)
    world.cluster.is_away = True
    world.cluster.cut_watches()
    world.cluster.apply("late", SEED)
    holds(lambda: world.health("/healthz") == 200, during=2.0)

    world.cluster.is_away = False
    eventually(lambda: "late" in world.rows(), within=60)


def test_a_database_that_is_away_is_told_and_waited_for(world):
    with Proxy(database_port(world)) as proxy:
        world.cluster.apply("tech", SEED)
        url = world.database.url.replace(f":{database_port(world)}/", f":{proxy.port}/")
        world.operator(database_url=url)
        settled(world, 1)
        proxy.cut()
        world.cluster.apply("late", SEED)
        world.cluster.delete("tech")
        eventually(lambda: world.condition("late", "Scheduled") == ("Unknown", "StoreUnavailable"), within=60)
        assert (world.health("/healthz"), world.health("/readyz")) == (200, 503)

        proxy.pass_all()
        eventually(lambda: set(world.rows()) == {"late"}, within=60)
        eventually(lambda: world.condition("late", "Scheduled") == ("True", "Registered"), within=60)
        assert world.health("/readyz") == 200


def database_port(world):
    return int(world.database.url.rsplit("/", 1)[0].rsplit(":", 1)[1])
