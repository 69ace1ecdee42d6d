"""The stand-in for the Kubernetes API keeps the contract that the real one is held to in tests/cluster."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lightkube.config.kubeconfig import KubeConfig

from marketdata.clock import SystemClock
from marketdata_operator.api_server import ApiServer
from marketdata_operator.board import Board
from support.kubernetes import Cluster, kubernetes
from support.kubernetes_contract import KubernetesContract
from support.watching import watching


@dataclass
class StandIn:
    """The stand-in as the contract wants it."""

    cluster: Cluster
    kubeconfig: Path
    server: ApiServer
    namespace: str = "default"

    def apply(self, name: str, spec: Mapping[str, Any]) -> None:
        self.cluster.apply(name, dict(spec))

    def delete(self, name: str) -> None:
        self.cluster.delete(name)

    def get(self, name: str) -> dict[str, Any]:
        return self.cluster.get(name)

    def add_condition(self, name: str, condition: Mapping[str, Any], manager: str) -> None:
        standing = self.cluster.get(name)["status"]
        body = {"metadata": {}, "status": {**standing, "conditions": [dict(condition)]}}
        self.cluster.apply_status((self.namespace, name), manager, body)

    def events(self, name: str) -> list[dict[str, Any]]:
        return [each for each in self.cluster.events if each["involvedObject"]["name"] == name]

    def watch(self, board: Board) -> AbstractContextManager[None]:
        return watching(board, self.kubeconfig, {self.namespace})


@pytest.fixture
def place(tmp_path: Path) -> Iterator[StandIn]:
    with kubernetes() as cluster:
        kubeconfig = cluster.kubeconfig(tmp_path)
        config = KubeConfig.from_file(kubeconfig).get()
        assert config is not None
        server = ApiServer(config, namespaces={"default"}, clock=SystemClock())
        yield StandIn(cluster, kubeconfig, server)
        server.close()


class TestStandIn(KubernetesContract):
    """Runs the contract."""
