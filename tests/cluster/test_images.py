"""The images by themselves, as any container runtime starts them."""

from typing import Any

import pytest

from support.releases import Release
from support.waiting import eventually

pytestmark = pytest.mark.cluster

BY_SIGTERM = 128 + 15


def starting_slowly(name: str, image: str) -> dict[str, Any]:
    """Return a pod whose process takes some seconds to import what it is made of."""
    container = {
        "name": name, "image": image, "imagePullPolicy": "IfNotPresent",
        "resources": {"limits": {"cpu": "50m", "memory": "256Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }  # fmt: skip
    spec = {
        "restartPolicy": "Never", "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }  # fmt: skip
    # With a finalizer it stays to be looked at when its containers have ended.
    metadata = {"name": f"starting-{name}", "finalizers": ["tests.marketdata/looked-at"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize("component", ["api", "poller", "consumer", "operator"])
def test_a_container_that_is_told_to_end_while_it_starts_ends_at_once(
    release: Release, component: str
) -> None:
    """The kernel gives the first process of a container no signal that it has no handler for."""
    deployed = release.get("deployment", f"{release.name}-market-data-{component}")
    pod = starting_slowly(component, deployed["spec"]["template"]["spec"]["containers"][0]["image"])
    name = pod["metadata"]["name"]

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
