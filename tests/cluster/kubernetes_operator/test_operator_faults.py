"""Faults around the operator on a real API server: it converges, and no row is lost by mistake."""

import pytest

from support.proxy import Proxy
from support.real_kubernetes import a_manifest, new_namespace
from support.waiting import eventually, holds

pytestmark = pytest.mark.cluster

SEED = {"symbols": ["AAPL", "MSFT"], "interval": "1h", "provider": "synthetic"}
SWEEP = {"MARKETDATA_OPERATOR_SWEEP_SECONDS": 3}


def many(count):
    return [a_manifest(f"job-{number:04}", SEED) for number in range(count)]


def test_killed_in_mid_burst_it_completes_what_it_began(world):
    first = world.operator()
    world.place.apply_all(*many(100))
    eventually(lambda: len(world.rows()) > 0, within=60)
    first.kill()
    world.place.delete("job-0000", "job-0001")

    world.operator(**SWEEP)
    eventually(lambda: len(world.rows()) == 98, within=60)


def test_a_network_that_is_cut_is_found_again(world):
    port = int(world.place.proxied.read_text().split("127.0.0.1:")[1].split()[0])
    with Proxy(port) as proxy:
        text = world.place.proxied.read_text().replace(f":{port}", f":{proxy.port}")
        through = world.place.folder / "through-the-proxy"
        through.write_text(text)
        process = world.operator(kubeconfig=through)
        world.place.apply("first", SEED)
        eventually(lambda: "first" in world.rows(), within=60)
        proxy.cut()
        world.place.apply("second", SEED)
        world.place.delete("first")
        holds(lambda: set(world.rows()) == {"first"}, during=2.0)
        proxy.pass_all()
        eventually(lambda: set(world.rows()) == {"second"}, within=90)
        assert process.is_running


def test_cut_rights_stop_no_polling_and_given_back_they_are_used(world):
    process = world.operator(**SWEEP)
    world.place.apply_all(*many(20))
    eventually(lambda: len(world.rows()) == 20, within=60)

    world.place.revoke()
    process.says("kubernetes_forbidden", within=60)
    holds(lambda: len(world.rows()) == 20, during=5.0)
    assert process.is_running
    world.place.grant()
    world.place.apply("late", SEED)
    eventually(lambda: "late" in world.rows(), within=60)


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        ("list", "kubernetes_forbidden"),
        ("watch", "watch ended"),
        ("patch", "status not written"),
        ("create", "events not written"),
    ],
)
def test_each_right_is_used_and_its_lack_is_told_and_ends_nothing(world, verb, says):
    first = world.operator()
    world.place.apply_all(*many(10))
    eventually(lambda: len(world.rows()) == 10, within=60)
    first.kill()

    world.place.allow(but=verb)
    process = world.start(**SWEEP)
    world.place.apply("late", SEED)
    process.says(says, within=60)
    holds(lambda: len(world.rows()) >= 10, during=4.0)
    assert process.is_running

    world.place.allow()
    eventually(lambda: "late" in world.rows(), within=60)
    eventually(lambda: world.place.condition("late"), within=60)
    world.place.apply("later", SEED)
    eventually(lambda: world.place.events("later"), within=60)


def test_objects_that_vanish_unseen_are_retired_only_when_two_sweeps_agree(world):
    first = world.operator()
    world.place.apply_all(*many(20))
    eventually(lambda: len(world.rows()) == 20, within=60)
    first.kill()
    world.place.delete()

    # The second sweep is to come long after the look at the rows.
    second = world.operator(MARKETDATA_OPERATOR_SWEEP_SECONDS=25)
    second.says("absent objects not retired yet", within=30)
    assert len(world.rows()) == 20
    eventually(lambda: not world.rows(), within=120)


def test_two_releases_on_one_database_leave_each_other_alone(world, tmp_path):
    with new_namespace(tmp_path) as second:
        world.operator(**SWEEP)
        theirs = {"MARKETDATA_OPERATOR_RELEASE": "other", "MARKETDATA_OPERATOR_NAMESPACES": second.namespace}
        world.operator(kubeconfig=second.proxied, **SWEEP, **theirs)
        world.place.apply("ours", SEED)
        second.apply("theirs", SEED)
        eventually(lambda: world.rows() and world.rows(release="other"), within=30)
        assert (set(world.rows()), set(world.rows(release="other"))) == ({"ours"}, {"theirs"})

        world.place.delete("ours")
        eventually(lambda: not world.rows(), within=30)
        holds(lambda: set(world.rows(release="other")) == {"theirs"}, during=5.0)
