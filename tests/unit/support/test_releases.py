"""When a release counts as ready, by its pods, as what counts them lags behind and leaves some out.

And what its commands make of one that does not end.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from support.releases import CommandFailed, Release

LABELS = {"app": "api"}


def deployment(**status: Any) -> dict[str, Any]:
    counted = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}
    return {
        "kind": "Deployment",
        "metadata": {"generation": 3},
        "spec": {"replicas": 2, "selector": {"matchLabels": LABELS}},
        "status": counted | status,
    }


def pod(*, ready: str = "True", phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    status = {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}
    return {"kind": "Pod", "metadata": {"labels": LABELS | {"more": "x"}} | metadata, "status": status}


ENDING = pod(deletionTimestamp="2026-03-02T12:00:00Z")
STRANGE = {"kind": "Pod", "metadata": {}, "status": {"phase": "Running"}}
READY = {
    "all its pods are": [deployment(), pod(), pod()],
    "another's pod is not": [deployment(), pod(), pod(), STRANGE],
    "a pod that failed was replaced": [deployment(), pod(), pod(), pod(ready="False", phase="Failed")],
}
NOT_READY = {
    "a pod is gone, and still counted": [deployment(), pod()],
    "a new pod is not ready, and the old one still counted": [deployment(), pod(), pod(ready="False")],
    "an old pod has not ended": [deployment(), pod(), pod(), ENDING],
    "a pod is not counted yet": [deployment(readyReplicas=1), pod(), pod()],
    "a pod is of the template before": [deployment(updatedReplicas=1), pod(), pod()],
    "its change was not seen yet": [deployment(observedGeneration=2), pod(), pod()],
}


def release(folder: Path, items: list[dict[str, Any]]) -> Release:
    """Return a release of which kubectl tells these objects."""
    kubectl = folder / "kubectl"
    kubectl.write_text(f"#!/bin/sh\ncat <<'.'\n{json.dumps({'items': items})}\n.\n")
    kubectl.chmod(0o755)
    return Release(helm=kubectl, kubectl=kubectl, namespace="test")


@pytest.mark.parametrize("case", READY)
def test_a_release_is_ready(tmp_path: Path, case: str) -> None:
    assert release(tmp_path, READY[case]).is_ready()


@pytest.mark.parametrize("case", NOT_READY)
def test_a_release_is_not_ready(tmp_path: Path, case: str) -> None:
    assert not release(tmp_path, NOT_READY[case]).is_ready()


def test_a_command_that_does_not_end_in_time_has_failed_as_any_other(tmp_path: Path) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\nexec sleep 60\n")
    kubectl.chmod(0o755)
    with pytest.raises(CommandFailed, match=r"get pods …: not done after 0\.1 s"):
        Release(helm=kubectl, kubectl=kubectl, namespace="test").run("get", "pods", within=0.1)


def test_an_answer_without_a_price_has_no_source_and_may_be_asked_for_again(tmp_path: Path) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("""#!/bin/sh\necho '[503, "{}", {}]'\n""")
    kubectl.chmod(0o755)
    with pytest.raises(AssertionError):
        Release(helm=kubectl, kubectl=kubectl, namespace="test").source("/prices/latest?symbol=META")
