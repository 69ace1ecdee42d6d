"""What a batch keeps of the times its messages were published at."""

from dataclasses import dataclass

from marketdata_consumer.batch import Gathering
from support.messages import AMessage


@dataclass(frozen=True)
class Timed(AMessage):
    """A message of a time of its own, in milliseconds."""

    published: int = 0

    def timestamp(self) -> tuple[int, int]:
        return 1, self.published


def test_a_batch_tells_when_the_first_message_of_each_partition_was_published() -> None:
    gathering = Gathering({0: 0, 1: 0, 2: 0})
    gathering.add(0, [Timed(b"", 0, 0, published=1_000), Timed(b"", 1, 0, published=2_000)])
    gathering.add(0, [Timed(b"", 2, 0, published=3_000)])
    gathering.add(1, [Timed(b"", 0, 1, published=5_500)])
    gathering.add(2, [Timed(b"", 0, 2, published=9_000)])
    gathering.drop([2])

    assert sorted(gathering.seal().published) == [1.0, 5.5]

    gathering.add(0, [Timed(b"", 3, 0, published=7_000)])

    assert list(gathering.seal().published) == [7.0]
