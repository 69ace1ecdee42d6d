"""The consumer between real servers."""

import pytest

from support.consuming import Pipeline
from support.processes import Processes
from support.servers import Database, Kafka


@pytest.fixture
def pipeline(kafka: Kafka, database: Database, redis_url: str, processes: Processes) -> Pipeline:
    return Pipeline(kafka, database, redis_url, processes, {})
