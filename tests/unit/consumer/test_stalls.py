"""The verdict that one partition stands while its log goes on."""

from collections.abc import Mapping

from marketdata_consumer.stalls import Stalls


class Standing:
    """One partition that stands at 10 while its log ends at 12, unless said otherwise."""

    def __init__(self) -> None:
        self._stalls = Stalls(5)

    def told(
        self,
        seconds: range,
        positions: Mapping[int, int] | None = None,
        *,
        end: int = 12,
        seen_at: float | None = None,
    ) -> list[tuple[int, int]]:
        """Return when it was told, and how often until then."""
        return [
            (now, stall.tries)
            for now in seconds
            for stall in self._stalls.observe(
                now,
                positions={0: 10} if positions is None else positions,
                ends={0: end},
                seen_at=now if seen_at is None else seen_at,
            ).values()
        ]


def test_a_partition_before_its_end_is_told_after_the_limit_and_again_after_twice_as_long() -> None:
    assert Standing().told(range(160)) == [(5, 1), (15, 2), (35, 3), (75, 4), (155, 5)]


def test_the_wait_is_five_minutes_at_most() -> None:
    times = [now for now, _ in Standing().told(range(2_000))]
    assert times[-1] - times[-2] == 300


def test_one_that_moves_or_reaches_its_end_begins_anew() -> None:
    for positions, end in (({0: 11}, 12), ({0: 10}, 10), ({0: 12}, 12)):
        standing = Standing()
        standing.told(range(14))
        assert standing.told(range(14, 15), positions, end=end) == []
        assert standing.told(range(15, 31)) == [(20, 1), (30, 2)]


def test_one_that_is_not_ours_for_a_moment_waits_anew_but_is_told_no_sooner() -> None:
    standing = Standing()
    assert standing.told(range(6)) == [(5, 1)]
    assert standing.told(range(6, 14), {}) == []
    assert standing.told(range(14, 30)) == [(24, 2)]


def test_a_wait_that_the_broker_s_answer_does_not_cover_is_no_stall() -> None:
    standing = Standing()
    assert standing.told(range(60), seen_at=4) == []
    assert standing.told(range(60, 61), seen_at=5) == [(60, 1)]
