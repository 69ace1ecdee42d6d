"""The verdict that one partition stands while its log goes on."""

from marketdata_consumer.stalls import Stalls


def told(stalls: Stalls, now: float, positions: dict[int, int], ends: dict[int, int]) -> dict[int, int]:
    return {p: stall.tries for p, stall in stalls.observe(now, positions=positions, ends=ends).items()}


def test_a_partition_before_its_end_is_told_after_the_limit_and_again_after_another() -> None:
    stalls = Stalls(5)
    assert told(stalls, 0, {0: 10, 1: 20}, {0: 12, 1: 20}) == {}
    assert told(stalls, 4.9, {0: 10, 1: 20}, {0: 12, 1: 20}) == {}
    assert told(stalls, 5, {0: 10, 1: 20}, {0: 12, 1: 20}) == {0: 1}
    assert told(stalls, 9.9, {0: 10, 1: 20}, {0: 12, 1: 20}) == {}
    assert told(stalls, 10, {0: 10, 1: 20}, {0: 12, 1: 20}) == {0: 2}


def test_one_that_moves_reaches_its_end_or_is_no_longer_ours_is_forgotten() -> None:
    for positions, ends in (({0: 11}, {0: 12}), ({0: 10}, {0: 10}), ({}, {0: 12}), ({0: 10}, {})):
        stalls = Stalls(5)
        told(stalls, 0, {0: 10}, {0: 12})
        assert told(stalls, 5, positions, ends) == {}
        assert told(stalls, 9, {0: 10}, {0: 12}) == {}
        assert told(stalls, 14, {0: 10}, {0: 12}) == {0: 1}


def test_what_another_client_does_not_help_is_told_no_more_until_it_moves() -> None:
    stalls = Stalls(5)
    seen = [told(stalls, now, {0: 10}, {0: 11}) for now in range(0, 60, 5)]
    assert seen == [{}, {0: 1}, {0: 2}, {0: 3}] + [{}] * 8
    told(stalls, 60, {}, {0: 11})  # while the client is made anew
    assert told(stalls, 65, {0: 10}, {0: 11}) == told(stalls, 90, {0: 10}, {0: 11}) == {}

    assert told(stalls, 95, {0: 12}, {0: 13}) == {}
    assert told(stalls, 100, {0: 12}, {0: 13}) == {0: 1}
