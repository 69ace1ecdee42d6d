"""A batch of several polls: one span with links, and an end for each poll's own trace."""

import uuid
from functools import partial

import pytest

from marketdata.messages import price_event
from marketdata.messages.topics import HEADER_EVENT_ID, HEADER_TRACEPARENT, event_key
from support.collector import Collector, Received, collector
from support.consuming import Pipeline, prices
from support.waiting import eventually


def place(number: int, *, sampled: bool = True) -> str:
    return f"00-{number:032x}-{number:016x}-0{int(sampled)}"


def ends(seen: Collector, poll: int, batch: Received) -> list[Received]:
    """Return the ends of the poll's trace that name `batch`."""
    found = seen.named("stored", trace_id=f"{poll:032x}")
    return [span for span in found if span.links == ((batch.trace_id, batch.span_id),)]


@pytest.mark.kafka
def test_a_batch_has_one_span_linked_to_its_polls_and_each_poll_s_trace_its_end(pipeline: Pipeline) -> None:
    points = prices(600, symbols=6)
    polls = [place(1 + n % 3, sampled=n % 3 < 2) for n in range(len(points))]
    pipeline.send(
        [
            (
                price_event.encode(point),
                [
                    (HEADER_EVENT_ID, str(uuid.uuid4()).encode()),
                    (HEADER_TRACEPARENT, poll.encode()),
                ],
            )
            for point, poll in zip(points, polls, strict=True)
        ],
        keys=[event_key(point.provider, point.symbol) for point in points],
        partition=0,
    )
    with collector() as seen:
        process = pipeline.set(**seen.env()).start()
        pipeline.await_consumed(len(points))

        batches = eventually(lambda: [s for s in seen.named("consume") if len(s.links) == 2], within=20)
        batch = batches[0]
        assert {trace for trace, _ in batch.links} == {f"{1:032x}", f"{2:032x}"}
        assert batch.parent_id == ""
        assert batch.attributes["marketdata.events"] > 1
        for poll in (1, 2):
            eventually(partial(ends, seen, poll, batch), within=10)
            (end,) = ends(seen, poll, batch)
            assert end.parent_id == f"{poll:016x}"
        process.terminate()
        assert process.wait() == 0  # it sends what it still holds when it ends: these are all spans now
        assert {s.name for s in seen.spans if s.parent_id == batch.span_id} == {"transaction", "cache"}
        assert not [s for s in seen.spans if s.trace_id == f"{3:032x}"]
        # Each batch has its own, two parts and an end for each sampled poll; their number is the load's.
        assert len(seen.spans) <= 5 * len(seen.named("consume")), "spans are of batches, not of events"
