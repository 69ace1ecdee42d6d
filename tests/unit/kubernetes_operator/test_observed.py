"""Objects as they are read, and what this deployment does not allow."""

import pytest

from marketdata.domain.job import Slo
from marketdata.storage.storable import storable
from marketdata_operator.observed import Refusal, job_id_of, version_of
from support.pollingjobs import an_admission, an_object


def test_a_spec_becomes_a_job_of_its_object():
    observed = an_object(
        symbols=["AAPL", "^GSPC"], provider="yfinance", interval="5m", suspend=True, failureThreshold=7,
        slo={"maxAgeSeconds": 90, "target": "99.5"}, generation=3, version=17,
    )  # fmt: skip
    job = observed.wish

    assert (job.symbols, job.provider, job.interval_seconds) == (("AAPL", "^GSPC"), "yfinance", 300)
    assert (job.suspended, job.failure_threshold, job.slo) == (True, 7, Slo(90, "99.5"))
    assert (job.origin.release, job.origin.name, job.origin.generation) == ("demo", "tech", 3)
    assert (observed.version, observed.job_id) == (17, job.job_id)


def test_what_a_spec_leaves_out_is_the_deployments():
    job = an_object(admission=an_admission(default_provider="yfinance")).wish

    assert (job.provider, job.interval_seconds, job.suspended, job.slo) == ("yfinance", 60, False, None)


def test_an_object_has_the_same_job_id_for_ever_and_another_in_another_release():
    assert an_object().job_id == an_object(generation=9, version=9).job_id
    assert job_id_of("a", "uid") != job_id_of("b", "uid")


@pytest.mark.parametrize(
    ("body", "limits", "reason", "says"),
    [
        ({"provider": "bloomberg"}, {}, "UnknownProvider", "write one of synthetic, yfinance"),
        ({"symbols": ["A", "B", "C"]}, {"max_symbols": 2}, "TooManySymbols", "split it into several"),
        ({"interval": 5}, {"min_interval_seconds": 10}, "IntervalTooShort", "write a longer one"),
        ({"symbols": ["a b"]}, {}, "InvalidSpec", "spec.symbols/0"),
        ({"interval": "abc"}, {}, "InvalidSpec", "spec.interval"),
        ({"symbols": []}, {}, "InvalidSpec", "give at least one symbol"),
    ],
)
def test_what_is_not_allowed_is_refused_with_the_remedy(body, limits, reason, says):
    refusal = an_object(admission=an_admission(**limits), **body).wish

    assert isinstance(refusal, Refusal)
    assert refusal.reason == reason
    assert says in refusal.message


def test_a_refusal_remembers_that_the_object_is_suspended():
    assert an_object(provider="bloomberg", suspend=True).wish.suspended


def test_the_poll_now_annotation_is_part_of_the_wish():
    plain, asked = an_object(), an_object(annotations={"marketdata.dev/poll-now": "1"})

    assert plain.wish.origin.poll_now is None
    assert asked.wish.origin.poll_now == "1"


def test_a_long_poll_now_value_is_kept_by_its_digest():
    one, other = (
        an_object(annotations={"marketdata.dev/poll-now": "x" * 500 + end}).wish.origin.poll_now
        for end in "ab"
    )

    assert one != other
    assert len(str(one)) < 64


@pytest.mark.parametrize("length", [1, 500])
def test_a_poll_now_value_that_no_row_can_hold_is_kept_by_its_digest(length):
    kept = [
        an_object(annotations={"marketdata.dev/poll-now": "x" * length + end}).wish.origin.poll_now
        for end in ("\0", "\\0", "\ud800", "\\ud800")
    ]

    assert len(set(kept)) == 4
    assert all(str(value) == storable(str(value)) and len(str(value)) < 64 for value in kept)


@pytest.mark.parametrize(("text", "version"), [("17", 17), ("", 0), (None, 0), ("a7", 0)])
def test_a_version_that_cannot_be_compared_is_nought(text, version):
    assert version_of(text) == version
