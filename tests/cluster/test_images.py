"""The images by themselves, as any container runtime starts them."""

from typing import Any

import pytest

from support.pods import restricted
from support.releases import Release
from support.waiting import eventually

pytestmark = pytest.mark.cluster

BY_SIGTERM = 128 + 15
# In the place of the component: an import that takes longer than any test, with no handler of signals either.
STARTING = ["timeit", "-n", "1", "-r", "1", "__import__('time').sleep(3600)"]


@pytest.mark.parametrize("component", ["api", "poller", "consumer", "operator"])
def test_a_container_that_is_told_to_end_while_it_starts_ends_at_once(
    release: Release, component: str
) -> None:
    """The kernel gives the first process of a container no signal that it has no handler for."""
    deployed = release.get("deployment", f"{release.name}-market-data-{component}")
    image = deployed["spec"]["template"]["spec"]["containers"][0]["image"]
    name = f"starting-{component}"
    pod = restricted(name, image, args=STARTING)
    # With a finalizer it stays to be looked at when its container has ended.
    pod["metadata"]["finalizers"] = ["tests.marketdata/looked-at"]

    def state(kind: str) -> dict[str, Any] | None:
        statuses = release.get("pod", name)["status"].get("containerStatuses", [])
        return next((each["state"][kind] for each in statuses if kind in each["state"]), None)

    release.apply(pod)
    try:
        eventually(lambda: state("running") is not None, within=60, every=0.1)
        release.run("delete", "pod", name, "--wait=false")
        ended = eventually(lambda: state("terminated"), within=60, every=0.5)
        assert ended is not None
        assert ended["exitCode"] == BY_SIGTERM
    finally:
        release.run("patch", "pod", name, "--type=merge", "--patch", '{"metadata": {"finalizers": null}}')
        release.run("delete", "pod", name, "--ignore-not-found", "--grace-period=1")
