"""`helm test`'s way through a release, against stand-ins for the API server and for the API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from marketdata_operator.data_path import main
from support.json_server import JsonHandler, serving
from support.kubernetes import write_kubeconfig

JOBS = "/apis/marketdata.dev/v1alpha1/namespaces/prices/pollingjobs"
READY = {"jobID": "j-1", "conditions": [{"type": "Ready", "status": "True"}]}


class Installed:
    """A release at work; PollingJobs by name, and what the next of them are refused with."""

    def __init__(self) -> None:
        self.url = ""
        self.objects: dict[str, dict[str, Any]] = {}
        self.refusals: list[int] = []
        self.asked = 0

    def made(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.asked += 1
        code = self.refusals.pop(0) if self.refusals else 201
        if code in {201, 409}:  # which an object is told of that is there
            self.objects[body["metadata"]["name"]] = body | {"status": READY}
        return code, body if code == 201 else {
            "kind": "Status",
            "code": code,
            "message": f"refused with {code}",
        }

    def told(self, path: str) -> tuple[int, dict[str, Any]]:
        if path.startswith(JOBS):
            return 200, self.objects[path.rpartition("/")[2]]
        if path == "/prices/latest":
            return 200, {"price": 231.5}
        return (200, {}) if self.objects else (404, {"title": "no such job"})


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    """A release that KUBECONFIG and `url` lead to."""
    installed = Installed()

    class Handler(JsonHandler):
        def do_POST(self) -> None:
            self.answer(*installed.made(self.body()))

        def do_GET(self) -> None:
            self.answer(*installed.told(self.path.partition("?")[0]))

        def do_DELETE(self) -> None:
            self.body()
            there = installed.objects.pop(self.path.partition("?")[0].rpartition("/")[2], None)
            code = 404 if there is None else 200
            self.answer(code, {"kind": "Status", "code": code, "message": "is not there"})

    with serving(Handler) as installed.url:
        monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path, installed.url)))
        yield installed


def test_a_release_that_works_is_proved_and_nothing_is_left(
    installed: Installed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([installed.url, "--namespace", "prices"]) == 0
    assert installed.objects == {}
    assert capsys.readouterr().out.splitlines() == [
        "ok: the PollingJob is made",
        "ok: the PollingJob is Ready",
        "ok: the API answers with a price",
        "HELMTEST is at 231.5",
        "ok: the job is gone",
    ]


@pytest.mark.parametrize("refusals", [[403, 403], [503, 429]], ids=["role not known yet", "overloaded"])
def test_an_api_server_that_cannot_take_it_yet_is_waited_for(
    installed: Installed, refusals: list[int]
) -> None:
    installed.refusals = refusals
    assert main([installed.url, "--namespace", "prices"]) == 0
    assert installed.asked == 3


def test_what_was_made_by_a_try_whose_answer_was_lost_is_taken(installed: Installed) -> None:
    installed.refusals = [409]
    assert main([installed.url, "--namespace", "prices"]) == 0
    assert installed.asked == 1
    assert installed.objects == {}


@pytest.mark.parametrize(
    ("code", "within", "says"), [(422, "60", "cannot be made"), (403, "0", "not within")]
)
def test_an_object_that_is_refused_for_good_is_told(
    installed: Installed, capsys: pytest.CaptureFixture[str], code: int, within: str, says: str
) -> None:
    installed.refusals = [code] * 9
    assert main([installed.url, "--namespace", "prices", "--within", within]) == 1
    assert says in (told := capsys.readouterr().err)
    assert f"refused with {code}" in told
    assert installed.asked <= 2
