"""A real API server keeps the contract that the stand-in is built on."""

import pytest

from support.kubernetes_contract import KubernetesContract

pytestmark = pytest.mark.cluster


class TestRealCluster(KubernetesContract):
    """Runs the contract."""
