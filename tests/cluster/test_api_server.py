"""The Kubernetes API server dies under a release that runs, and comes back."""

from datetime import UTC, datetime, timedelta

import pytest

from marketdata.clock import SystemClock
from support import own_cluster
from support.real_kubernetes import a_manifest
from support.releases import SWEPT_WITHIN_SECONDS, CommandFailed, Release
from support.waiting import eventually, holds

pytestmark = [pytest.mark.cluster, pytest.mark.own_cluster]

AWAY_SECONDS = 15
SPEC = {"symbols": ["NFLX", "INTC"], "provider": "synthetic", "interval": 1}


def is_away(release: Release) -> bool:
    try:
        release.run("get", "pods", within=10)
    except CommandFailed:
        return True
    return False


def of_objects(release: Release) -> set[str]:
    """Return the names of the objects that the API shows jobs of."""
    status, jobs = release.ask("GET", "/prices/poll")
    assert status == 200, jobs
    return {each["kubernetes"]["name"] for each in jobs["data"] if each["kubernetes"]}


def fetched(release: Release, symbol: str, *, beyond: datetime) -> list[datetime]:
    """Return when the prices of `symbol` were fetched, once one is there that was so after `beyond`.

    What was fetched is stored some time after, that of one symbol in order: then all before it is there.
    """
    found = [datetime.fromisoformat(each["fetched_at"]).astimezone(UTC) for each in release.history(symbol)]
    assert any(at > beyond for at in found), found[-1:]
    return found


def test_polling_goes_on_without_the_api_server_and_the_operator_converges_when_it_is_back(
    release: Release,
) -> None:
    release.apply(a_manifest("stays", SPEC), a_manifest("goes", SPEC | {"symbols": ["IBM"]}))
    release.run("wait", "--for=condition=Ready", "pollingjob", "--all", "--timeout=60s", within=70)
    starts = release.starts()

    began = SystemClock().now()
    own_cluster.kill("kube-apiserver")
    try:
        holds(lambda: is_away(release), during=AWAY_SECONDS, every=1)
    finally:
        own_cluster.up()
    ended = SystemClock().now()
    release.run("delete", "pollingjob", "goes", "--wait=true")
    release.apply(a_manifest("comes", SPEC | {"symbols": ["CSCO"]}))
    release.run("wait", "--for=condition=Ready", "pollingjob/comes", "--timeout=60s", within=70)

    eventually(lambda: of_objects(release) == {"stays", "comes"}, within=SWEPT_WITHIN_SECONDS, every=2)
    polled = eventually(lambda: fetched(release, "NFLX", beyond=ended), within=60, every=1)
    meanwhile = sorted(at for at in polled if began <= at <= ended)
    gaps = [later - sooner for sooner, later in zip([began, *meanwhile], [*meanwhile, ended], strict=True)]
    # Whoever needs the API server leaves a gap of all the time that it is away.
    assert max(gaps) < timedelta(seconds=AWAY_SECONDS), meanwhile
    assert release.starts() == starts
    release.run("delete", "pollingjob", "--all", "--wait=true")
    eventually(release.is_ready, within=120, every=2)
    # If the watch is not back yet, two sweeps must agree that all is gone.
    eventually(release.polls_nothing, within=2 * SWEPT_WITHIN_SECONDS, every=2)
    release.settled()
    # Scheduler, kubelet and kube-proxy look for the API server ever more seldom: a new pod shows that the
    # first two found it, and pods that are reached through their Service, with none from before left, that
    # the last did.
    release.run_helm("test", release.name)
    release.send_away("app.kubernetes.io/component=api")
    eventually(release.is_ready, within=120, every=2)
    eventually(lambda: release.ask("GET", "/version")[0] == 200, within=120, every=2)
