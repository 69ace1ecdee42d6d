"""The operator's watch in a thread of the test's own."""

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from lightkube.config.kubeconfig import KubeConfig

from marketdata.clock import SystemClock
from marketdata.telemetry.metrics import Metrics
from marketdata_operator.board import Board
from marketdata_operator.connection import kopf_connection
from marketdata_operator.telemetry import OperatorMetrics
from marketdata_operator.watch import Watch
from support.pollingjobs import an_admission


@contextmanager
def watching(board: Board, kubeconfig: Path, namespaces: Collection[str] | None) -> Iterator[None]:
    """Feed `board` within the block; after it the watch has ended and left nothing open."""
    stop, ready = threading.Event(), threading.Event()
    ready.set()
    config = KubeConfig.from_file(kubeconfig).get()
    assert config is not None
    watch = Watch(
        board=board,
        admission=an_admission(),
        namespaces=namespaces,
        login=lambda: kopf_connection(config),
        ready=ready,
        clock=SystemClock(),
        metrics=OperatorMetrics(Metrics(("marketdata_operator_",)), board=board, clock=SystemClock()),
    )
    thread = threading.Thread(target=watch.run, args=(stop, lambda: None), name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive(), "the watch does not end"
