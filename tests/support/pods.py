"""Pods of a test's own, in a namespace that takes restricted ones only."""

from typing import Any


def restricted(name: str, image: str, **container: Any) -> dict[str, Any]:
    """Return a pod of one container that runs `image` once; `container` is what that has besides."""
    only = {
        "name": name, "image": image, "imagePullPolicy": "IfNotPresent",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        **container,
    }  # fmt: skip
    spec = {
        "restartPolicy": "Never", "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [only],
    }  # fmt: skip
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
