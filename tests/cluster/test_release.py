"""The release's life on a real cluster: installed, used, removed, found again."""

import json

import pytest

from support.releases import Release
from support.waiting import eventually

pytestmark = pytest.mark.cluster

SYMBOLS = ("AAPL", "MSFT", "BRK-B")


def test_helms_own_test_proves_the_data_path(release: Release) -> None:
    said = release.run_helm("test", release.name, "--logs")
    assert "the API answers with a price" in said
    assert "the job is gone" in said


def test_the_ledger_balances_while_prices_flow(release: Release) -> None:
    job = release.poll(*SYMBOLS)
    seen = [release.ledger()]

    def flows() -> bool:
        seen.append(release.ledger())
        return bool(seen[-1]["counters"]["stored"] >= seen[0]["counters"]["stored"] + 6)

    # Open events come and go meanwhile: that none is left open shows once nothing is polled any more.
    eventually(flows, within=60, every=1)
    assert all(each["balanced"] for each in seen), seen
    release.retire(job)
    release.settled()


def test_every_pod_is_what_a_restricted_namespace_takes_and_writes_nowhere(release: Release) -> None:
    for name in ("api", "poller", "consumer", "operator"):
        answer = release.run(
            "exec", f"deploy/{release.name}-market-data-{name}", "--", "python", "-c",
            "import json, os, shutil; print(json.dumps([os.getuid(), os.access('/opt/app', os.W_OK), "
            "os.access('/tmp', os.W_OK), [x for x in ('cc', 'gcc', 'pip', 'pip3') if shutil.which(x)]]))",
        )  # fmt: skip
        user, may_change_code, may_use_tmp, tools = json.loads(answer)
        assert user != 0
        assert (may_change_code, may_use_tmp, tools) == (False, True, []), name


def left_of(release: Release) -> list[str]:
    """Return what is left of a release; `helm test`'s pod stays, which nobody owns."""
    kinds = "deployments,statefulsets,services,jobs,pods,kafkatopics,kafkausers,kafkas"
    return [
        f"{each['kind']}/{each['metadata']['name']}"
        for each in release.get(kinds)["items"]
        if each["kind"] != "Pod" or "ownerReferences" in each["metadata"]
    ]


def test_a_removed_release_hangs_on_nothing_and_finds_its_data_when_it_is_back(release: Release) -> None:
    job = release.poll(*SYMBOLS)
    release.uninstall()

    def all_gone() -> bool:
        assert left_of(release) == []
        return True

    # What Strimzi and Kubernetes made of the release's objects is collected when those are gone, and a pod
    # may take its grace of a minute to end.
    assert eventually(all_gone, within=120, every=1)

    release.install()
    status, found = release.ask("GET", f"/prices/poll/{job}")
    assert (status, found["job_id"]) == (200, job)
    release.retire(job)
    release.settled()
