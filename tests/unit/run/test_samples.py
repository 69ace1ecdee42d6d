"""PollingJob documents read without a cluster."""

from pathlib import Path

import pytest

from marketdata.domain.job import PollingJob, Slo
from marketdata.errors import InvalidInput
from marketdata_tools.run import samples
from marketdata_tools.run.settings import REPOSITORY

WATCHLIST = """\
apiVersion: marketdata.dev/v1alpha1
kind: PollingJob
metadata:
  name: watchlist
spec:
  symbols: [AAPL, ^GSPC]
"""


def read(text: str) -> list[PollingJob]:
    return samples.read_documents(text, name="jobs.yaml", default_provider="synthetic")


def spec(text: str) -> str:
    """Return a document whose spec has these fields."""
    return WATCHLIST.partition("spec:")[0] + f"spec: {text}\n"


def test_what_a_document_leaves_out_gets_the_defaults_of_the_custom_resource() -> None:
    (job,) = read(WATCHLIST)

    assert job.symbols == ("AAPL", "^GSPC")
    assert (job.provider, job.interval_seconds, job.suspended) == ("synthetic", 60, False)
    assert (job.slo, job.failure_threshold) == (None, 3)
    assert job.origin is not None
    assert (job.origin.release, job.origin.namespace, job.origin.name) == ("local", "default", "watchlist")


def test_every_field_of_a_spec_reaches_the_job() -> None:
    text = spec(
        "{symbols: [MSFT], provider: yfinance, interval: 1m30s, suspend: true, failureThreshold: 7, "
        'slo: {maxAgeSeconds: 90, target: "99.5"}}'
    )

    (job,) = read(text)

    assert (job.symbols, job.provider, job.interval_seconds) == (("MSFT",), "yfinance", 90)
    assert (job.suspended, job.failure_threshold, job.slo) == (True, 7, Slo(90, "99.5"))


def test_an_object_keeps_its_identity_whatever_its_spec_says() -> None:
    (before,), (after,) = read(WATCHLIST), read(spec("{symbols: [MSFT]}"))
    (elsewhere,) = read(WATCHLIST.replace("name: watchlist", "name: watchlist\n  namespace: other"))

    assert before.job_id == after.job_id
    assert before.origin == after.origin
    assert elsewhere.job_id != before.job_id


def test_a_file_may_hold_many_documents_empty_ones_and_a_list() -> None:
    second = WATCHLIST.replace("watchlist", "second")
    listed = "kind: List\napiVersion: v1\nitems:\n- " + WATCHLIST.replace("watchlist", "third").replace(
        "\n", "\n  "
    )

    jobs = read(f"---\n{WATCHLIST}---\n---\n{second}---\n{listed.rstrip()}\n")

    assert [job.origin.name for job in jobs if job.origin] == ["watchlist", "second", "third"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "jobs.yaml line 1: not YAML: "),
        ("just words", "jobs.yaml: document 1: document is not a mapping"),
        (
            WATCHLIST.replace("PollingJob", "ConfigMap"),
            (
                "jobs.yaml: document 1: kind is marketdata.dev/v1alpha1 ConfigMap; "
                "only marketdata.dev/v1alpha1 PollingJob is read here"
            ),
        ),
        (
            WATCHLIST.replace("v1alpha1", "v9"),
            (
                "jobs.yaml: document 1: kind is marketdata.dev/v9 PollingJob; "
                "only marketdata.dev/v1alpha1 PollingJob is read here"
            ),
        ),
        (
            WATCHLIST.replace("name: watchlist", "name: Watch_List"),
            "jobs.yaml: document 1: metadata/name 'Watch_List' is no name of a Kubernetes object",
        ),
        (
            WATCHLIST.replace("name: watchlist", "labels: {}"),
            "jobs.yaml: document 1: metadata/name is missing",
        ),
        (spec(""), "jobs.yaml: PollingJob default/watchlist: spec is missing"),
        (spec("{}"), "jobs.yaml: PollingJob default/watchlist: spec/symbols is missing"),
        (spec("{symbols: AAPL}"), "jobs.yaml: PollingJob default/watchlist: spec/symbols is not a list"),
        (spec("{symbols: []}"), "jobs.yaml: PollingJob default/watchlist: spec/symbols is empty"),
        (
            spec("{symbols: [AAPL, 600519]}"),
            "jobs.yaml: PollingJob default/watchlist: spec/symbols/1 is 600519, not text; put it in quotes",
        ),
        (
            spec("{symbols: [aapl]}"),
            "jobs.yaml: PollingJob default/watchlist: spec/symbols/0 'aapl' must be written in upper case",
        ),
        (
            spec("{symbols: [A, B, A]}"),
            "jobs.yaml: PollingJob default/watchlist: spec/symbols/2 'A' is there twice",
        ),
        (
            spec("{symbols: ['A B']}"),
            "jobs.yaml: PollingJob default/watchlist: spec/symbols/0 'A B' is not a symbol",
        ),
        (
            spec("{symbols: [A], interval: 25h}"),
            "jobs.yaml: PollingJob default/watchlist: spec/interval is seconds (60) or a duration",
        ),
        (
            spec("{symbols: [A], interval: 1.5}"),
            "jobs.yaml: PollingJob default/watchlist: spec/interval is seconds (60) or a duration",
        ),
        (
            spec("{symbols: [A], interval: true}"),
            "jobs.yaml: PollingJob default/watchlist: spec/interval is seconds (60) or a duration",
        ),
        (
            spec("{symbols: [A], provider: 'Yahoo!'}"),
            "jobs.yaml: PollingJob default/watchlist: spec/provider 'Yahoo!' is not a provider's name",
        ),
        (
            spec("{symbols: [A], suspend: 1}"),
            "jobs.yaml: PollingJob default/watchlist: spec/suspend is not true or false",
        ),
        (
            spec("{symbols: [A], failureThreshold: 0}"),
            "jobs.yaml: PollingJob default/watchlist: spec/failureThreshold is 0; give 1 to 100",
        ),
        (
            spec("{symbols: [A], slo: {target: '99'}}"),
            "jobs.yaml: PollingJob default/watchlist: spec/slo/maxAgeSeconds is missing",
        ),
        (
            spec("{symbols: [A], slo: {maxAgeSeconds: 5, target: '100'}}"),
            "jobs.yaml: PollingJob default/watchlist: spec/slo/target '100' is not a percentage",
        ),
        (
            spec("{symbols: [A], slo: {maxAgeSeconds: 5, target: NaN}}"),
            "jobs.yaml: PollingJob default/watchlist: spec/slo/target 'NaN' is not a percentage",
        ),
        (
            spec("{symbols: [A], intervall: 5}"),
            "jobs.yaml: PollingJob default/watchlist: spec/intervall is unknown; known are ",
        ),
    ],
)
def test_a_document_that_breaks_a_rule_is_named_with_its_file_object_and_field(
    text: str, message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(text)

    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_one_object_may_not_be_in_two_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(WATCHLIST)
    (tmp_path / "b.yml").write_text(WATCHLIST)
    (tmp_path / "notes.md").write_text("not read")

    with pytest.raises(InvalidInput, match=r"^b\.yml: PollingJob default/watchlist is there twice$"):
        samples.read_folder(tmp_path, default_provider="synthetic")


@pytest.mark.parametrize(
    ("folder", "provider"), [("k8s/samples", "synthetic"), ("k8s/samples/yahoo", "yfinance")]
)
def test_the_shipped_samples_are_good_and_need_no_network(folder: str, provider: str) -> None:
    jobs = samples.read_folder(REPOSITORY / folder, default_provider="another")

    assert {job.provider for job in jobs} == {provider}
    assert any(not job.suspended for job in jobs)
