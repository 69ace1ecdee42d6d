"""The verdict that only a restart can help."""

from marketdata_consumer.watchdog import Watchdog


def test_lag_without_movement_is_stuck_after_the_limit() -> None:
    dog = Watchdog(10)
    assert not dog.observe(0, moved=False, lag=5, dependencies_answer=True)
    assert not dog.observe(10, moved=False, lag=5, dependencies_answer=True)
    assert dog.observe(10.1, moved=False, lag=5, dependencies_answer=True)


def test_any_sign_of_life_or_a_dependency_away_starts_the_count_again() -> None:
    for moved, lag, answers in ((True, 5, True), (False, 0, True), (False, 5, False)):
        dog = Watchdog(10)
        dog.observe(0, moved=False, lag=5, dependencies_answer=True)
        assert not dog.observe(20, moved=moved, lag=lag, dependencies_answer=answers)
        assert not dog.observe(29, moved=False, lag=5, dependencies_answer=True)
        assert dog.observe(31, moved=False, lag=5, dependencies_answer=True)
