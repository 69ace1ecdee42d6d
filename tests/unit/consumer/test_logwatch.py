"""The watch of the log goes on, whatever one look ran into."""

from collections.abc import Mapping

import pytest
import structlog

from marketdata.clock import ManualClock
from marketdata.errors import StreamUnavailable
from marketdata_consumer import logwatch
from marketdata_consumer.logwatch import LogWatch
from support.waiting import eventually


class FailingDirectory:
    """Answers as told, in turn: with an error, or with the end of partition 0; at last again and again."""

    def __init__(self, *answers: Exception | int) -> None:
        self._answers = list(answers)

    def account(self, topic: str) -> str | None:
        assert topic == "t"
        if isinstance(answer := self._answers[0], Exception):
            self._next()
            raise answer
        return "cluster:t"

    def ends(self, topic: str) -> Mapping[int, int]:
        assert topic == "t"
        answer = self._answers[0]
        assert isinstance(answer, int)
        self._next()
        return {0: answer}

    def _next(self) -> None:
        if len(self._answers) > 1:
            del self._answers[0]


def a_watch(clock: ManualClock, *answers: Exception | int) -> LogWatch:
    return LogWatch(directory=FailingDirectory(*answers), topic="t", clock=clock, every_seconds=2)


def test_after_an_error_that_nobody_foresaw_the_thread_looks_again() -> None:
    watch = a_watch(ManualClock(), ValueError("odd"), 7)

    watch.start()
    sight = eventually(lambda: watch.sight, within=20)
    watch.stop()

    assert sight is not None
    assert sight.ends == {0: 7}


def test_such_an_error_is_logged_whole_and_once_until_a_look_succeeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = structlog.testing.CapturingLogger()
    monkeypatch.setattr(logwatch, "_log", log)
    odd = ValueError("odd")
    watch = a_watch(ManualClock(), odd, odd, KeyError("other"), StreamUnavailable("away"), 1, odd)

    for _ in range(6):
        watch.look()

    assert [(line.method_name, *line.args) for line in log.calls] == [
        ("exception", "log_watch_failed"),
        ("exception", "log_watch_failed"),
        ("debug", "log_not_seen"),
        ("exception", "log_watch_failed"),
    ]


def test_while_looks_fail_the_last_answer_grows_old() -> None:
    clock = ManualClock()
    watch = a_watch(clock, 7, ValueError("odd"))

    told = []
    for _ in range(6):
        watch.look()
        told.append(watch.answers())
        clock.advance(2)

    assert told == [True] * 5 + [False]
