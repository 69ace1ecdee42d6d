"""What the Kubernetes API can say no with, as leaves of the one tree of errors."""

from marketdata.errors import Permanent, Transient


class KubernetesUnavailable(Transient):
    """The Kubernetes API cannot be reached, or is too busy to answer."""


class KubernetesForbidden(Transient):
    """The operator's service account may not do this; it may again once its Role is mended."""


class ObjectGone(Permanent):
    """The object is no longer there."""


class ObjectChanged(Permanent):
    """The object is not what it was when its status was made, or another one has its name now."""


class ObjectRefused(Permanent):
    """The Kubernetes API refuses what was sent: a defect, or the definition of another release."""
