"""The operator's spans: one for each drain and each sweep, failed ones too."""

from support.collector import collector
from support.waiting import eventually


def test_a_sweep_and_a_drain_are_a_span_each(world):
    with collector() as seen:
        world.watching(**seen.env())
        eventually(lambda: seen.named("sweep"), within=60)
        world.cluster.apply("tech", {"symbols": ["AAPL"], "interval": 60, "provider": "synthetic"})
        drain = eventually(lambda: seen.named("drain"), within=20)[0]

        assert (drain.service, drain.parent_id, drain.failed) == ("market-data-operator", "", False)
        assert not [span for span in seen.named("sweep") if span.failed]


def test_a_sweep_without_its_database_is_a_failed_span(world):
    with collector() as seen:
        world.operator(database_url="postgresql://postgres@127.0.0.1:1/none", **seen.env())

        assert eventually(lambda: [s for s in seen.named("sweep") if s.failed], within=60)
