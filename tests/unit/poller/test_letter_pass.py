"""When letters that did not go out come again."""

from uuid import UUID

import pytest

from marketdata_poller import letter_pass
from marketdata_poller.letter_pass import REFUSED_AGAIN_SECONDS, UNCONFIRMED_AGAIN_SECONDS, LetterPass

BEGINNING = UUID(int=0)
FIRST, SECOND, THIRD = (UUID(int=each) for each in (1, 2, 3))


def test_a_pass_that_leaves_nothing_is_followed_by_none() -> None:
    made = LetterPass()
    made.go_on(FIRST)
    made.end(0)

    made.begin_again(1e9)

    assert made.after == FIRST


def test_no_pass_begins_before_the_one_before_has_ended() -> None:
    made = LetterPass()
    made.go_on(FIRST)
    made.leave(refused=[FIRST], is_unconfirmed=True)

    made.begin_again(1e9)

    assert made.after == FIRST
    assert made.is_set_aside(FIRST)


def test_the_refused_are_set_aside_in_the_passes_of_the_unconfirmed_until_their_own_time() -> None:
    made = LetterPass()
    made.go_on(SECOND)
    made.leave(refused=[FIRST], is_unconfirmed=True)
    made.end(0)

    made.begin_again(UNCONFIRMED_AGAIN_SECONDS)
    assert made.after == BEGINNING
    assert made.is_set_aside(FIRST)
    assert not made.is_set_aside(SECOND)

    made.go_on(SECOND)
    made.end(UNCONFIRMED_AGAIN_SECONDS)
    made.begin_again(REFUSED_AGAIN_SECONDS - 1)
    assert made.after == SECOND

    made.begin_again(REFUSED_AGAIN_SECONDS)
    assert made.after == BEGINNING
    assert not made.is_set_aside(FIRST)


def test_saying_again_that_a_pass_has_ended_puts_nothing_off() -> None:
    made = LetterPass()
    made.go_on(FIRST)
    made.leave(refused=[FIRST], is_unconfirmed=False)

    for now in range(600):
        made.end(now)

    assert made.refused_again_in(590) == pytest.approx(10)
    made.begin_again(600)
    assert made.after == BEGINNING


def test_what_is_remembered_is_bounded_and_what_is_not_remembered_still_comes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(letter_pass, "_REMEMBERED_AT_MOST", 1)
    made = LetterPass()
    made.leave(refused=[FIRST], is_unconfirmed=False)
    made.leave(refused=[SECOND], is_unconfirmed=False)
    made.go_on(SECOND)
    made.end(0)

    assert [made.is_set_aside(each) for each in (FIRST, SECOND, THIRD)] == [True, False, False]
    made.begin_again(REFUSED_AGAIN_SECONDS)
    assert made.after == BEGINNING
