"""A fetch cannot hold up its caller, whatever the provider does."""

import threading
from dataclasses import replace
from itertools import count
from types import MappingProxyType
from typing import Any

import pytest

from marketdata.domain.answer import Answer, Parsed, RawResponse
from marketdata.errors import RateLimited
from marketdata_poller import fetching
from marketdata_poller.fetching import MAX_STUCK, BoundedFetcher
from marketdata_poller.ports import Capabilities
from support.builders import a_quote, a_raw
from support.waiting import eventually


class ScriptedProvider:
    """Does what it is told; `hang` waits until it is let go."""

    name = "scripted"
    capabilities = Capabilities(10, 600, 10, deadline_seconds=5.0)

    def __init__(self, do):
        self._do = do
        self.let_go = threading.Event()
        self.calls = 0

    def fetch(self, symbols, *, gate):  # noqa: ARG002 - the port's signature
        self.calls += 1
        return self._do(self, symbols)

    def parse(self, raw):  # noqa: ARG002 - the port's signature
        return Parsed()

    def close(self):
        """Hold nothing."""


class IdleGate:
    waited_seconds = 0.0
    closed = False

    def close(self):
        self.closed = True


def good(_, symbols):
    raw = a_raw(symbols)
    return Answer((raw,), {s: (a_quote(s), raw.raw_response_id) for s in symbols}, {})


def hang(provider, symbols):
    provider.let_go.wait(30)
    return good(provider, symbols)


def broken(provider, symbols):
    raise ZeroDivisionError


def limited(provider, symbols):
    raise RateLimited


@pytest.fixture
def hurried(monkeypatch):
    """Time runs ten seconds at each look, and looks come quickly."""
    monkeypatch.setattr(fetching, "_LOOK_SECONDS", 0.005)
    ticks = count()
    return lambda: 10.0 * next(ticks)


def fetch(fetcher, gate=None, stop=None):
    return fetcher.fetch(
        ["A", "B"], gate=gate or IdleGate(), stop=stop or threading.Event(), while_waiting=lambda: None
    )


def test_an_answer_is_handed_over_as_it_is(hurried):
    answer = fetch(BoundedFetcher(provider=lambda: ScriptedProvider(good), monotonic=lambda: 0.0))

    assert answer.quotes.keys() == {"A", "B"}


@pytest.mark.parametrize(("what", "reason"), [(broken, "upstream_unavailable"), (limited, "rate_limited")])
def test_a_provider_that_raises_fails_its_symbols_and_nothing_else(hurried, what, reason):
    answer = fetch(BoundedFetcher(provider=lambda: ScriptedProvider(what), monotonic=lambda: 0.0))

    assert {error.reason for error in answer.failures.values()} == {reason}
    assert answer.failures.keys() == {"A", "B"}


def an_odd_answer(raws: Any = (), quotes: Any = MappingProxyType({})) -> Answer:
    return Answer(raws, quotes, {})


def an_odd_raw(**fields: Any) -> RawResponse:
    return replace(a_raw(), **fields)


@pytest.mark.parametrize(
    ("answered", "what"),
    [
        (None, "answered with NoneType"),
        ({"A": 1}, "answered with dict"),
        (an_odd_answer(raws=(None,)), "a raw answer is a NoneType"),
        (
            an_odd_answer(raws=(an_odd_raw(body="text"),)),
            "body of a raw answer may not be a str",
        ),
        (an_odd_answer(quotes=None), "quotes is a NoneType"),
    ],
)
def test_an_answer_that_breaks_the_contract_fails_its_symbols_and_says_how(hurried, answered, what):
    fetcher = BoundedFetcher(provider=lambda: ScriptedProvider(lambda *_: answered), monotonic=lambda: 0.0)

    answer = fetch(fetcher)

    assert answer.raws == ()
    assert answer.failures.keys() == {"A", "B"}
    for error in answer.failures.values():
        assert error.reason == "upstream_unavailable"
        assert "the provider plug-in failed" in str(error)
        assert what in str(error)


def test_a_provider_that_raises_is_told_by_what_it_raised(hurried):
    answer = fetch(BoundedFetcher(provider=lambda: ScriptedProvider(broken), monotonic=lambda: 0.0))

    assert str(answer.failures["A"]) == "the provider plug-in failed: ZeroDivisionError"


def test_a_late_answer_that_breaks_the_contract_is_not_handed_over(hurried):
    def hang_and_break(provider, symbols):
        hang(provider, symbols)
        return an_odd_answer(raws=(None,))

    provider = ScriptedProvider(hang_and_break)
    fetcher = BoundedFetcher(provider=lambda: provider, monotonic=hurried)
    fetch(fetcher)
    (attempt,) = fetcher._stuck
    provider.let_go.set()
    assert attempt.done.wait(20)

    assert fetcher.late() == ()


def test_a_provider_that_hangs_is_given_up_and_its_gate_is_shut(hurried):
    provider, gate = ScriptedProvider(hang), IdleGate()
    answer = fetch(BoundedFetcher(provider=lambda: provider, monotonic=hurried), gate)
    provider.let_go.set()

    assert {error.reason for error in answer.failures.values()} == {"upstream_timeout"}
    assert gate.closed


def test_what_it_answers_after_all_is_handed_over_once_as_late(hurried):
    provider = ScriptedProvider(hang)
    fetcher = BoundedFetcher(provider=lambda: provider, monotonic=hurried)
    fetch(fetcher)
    assert fetcher.late() == ()
    provider.let_go.set()
    late = eventually(fetcher.late, within=20)

    assert [raw.symbols for raw in late] == [("A", "B")]
    assert fetcher.late() == ()


class EndsBehindALook(threading.Event):
    """Is set just after somebody found that it is not."""

    def is_set(self):
        found = super().is_set()
        self.set()
        return found


def test_what_it_answers_while_late_answers_are_looked_for_comes_with_the_next(hurried):
    provider = ScriptedProvider(hang)
    fetcher = BoundedFetcher(provider=lambda: provider, monotonic=hurried)
    fetch(fetcher)
    (attempt,) = fetcher._stuck
    provider.let_go.set()
    assert attempt.done.wait(20)
    attempt.done = EndsBehindALook()

    assert fetcher.late() == ()
    assert [raw.symbols for raw in fetcher.late()] == [("A", "B")]


def test_a_provider_whose_threads_all_hang_is_not_asked_again(hurried):
    provider = ScriptedProvider(hang)
    fetcher = BoundedFetcher(provider=lambda: provider, monotonic=hurried)
    for calls in range(1, MAX_STUCK + 1):
        fetch(fetcher)
        eventually(lambda: provider.calls == calls, within=20)  # noqa: B023 - its thread may come later

    for _ in range(2):
        refused = fetch(fetcher)
        assert {error.reason for error in refused.failures.values()} == {"upstream_timeout"}
        assert {str(error) for error in refused.failures.values()} == {
            "earlier requests to the provider still hang"
        }
    assert provider.calls == MAX_STUCK
    provider.let_go.set()


def test_at_the_end_of_the_process_a_fetch_has_little_time_left(hurried):
    provider, stop = ScriptedProvider(hang), threading.Event()
    provider.capabilities = Capabilities(10, 600, 10, deadline_seconds=1e9)
    stop.set()

    assert fetch(BoundedFetcher(provider=lambda: provider, monotonic=hurried), stop=stop) is None
    provider.let_go.set()
