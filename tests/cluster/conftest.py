import os
import subprocess
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from marketdata_tools import helm as packaged
from support.chart import CHART, ROOT
from support.prometheus import Prometheus
from support.releases import READY_WITHIN_SECONDS, Release
from support.waiting import eventually

EVIDENCE = ROOT / "build" / "cluster"
_IMAGES = ("image.tag={tag}", "image.pullPolicy=IfNotPresent")
# On for all modules marked `monitoring`. Who turns it off waits at the end until Prometheus goes by it again:
# the next one's autoscaler would find its metric, lose it for up to three minutes, and stand still.
_SCRAPED = ("metrics.podMonitor.enabled=true", "metrics.podMonitor.interval=5s")


@dataclass
class Standing:
    """The release that the tests share, and whether one of them may have left it broken."""

    release: Release | None = None
    settings: tuple[str, ...] = ()
    is_suspect: bool = False

    def get(self, *settings: str) -> Release:
        """Return the release of the settings, all ready; a new one if a test failed with the last one."""
        if self.is_suspect or settings != self.settings:
            self.remove()
        if self.release is None:
            self.release, self.settings = _installed(settings), settings
        eventually(self.release.is_ready, within=READY_WITHIN_SECONDS, every=1)
        return self.release

    def remove(self) -> None:
        if self.release is not None:
            _remove(self.release)
        self.release, self.is_suspect = None, False


_STANDING = Standing()


@pytest.fixture(scope="session")
def _standing() -> Iterator[Standing]:
    yield _STANDING
    _STANDING.remove()


@pytest.fixture(scope="module")
def release(_standing: Standing, request: pytest.FixtureRequest) -> Release:
    """The chart as the quick start installs it, in a namespace that takes restricted pods only.

    Where a module is marked `monitoring`, its pods are scraped. Whatever a test does to it, it leaves
    it installed and ready. After one that fails, the next module gets another, so that nothing fails
    for what failed before.
    """
    is_scraped = request.node.get_closest_marker("monitoring") is not None
    if not is_scraped:
        return _standing.get()
    release = _standing.get(*_SCRAPED)
    Prometheus.found(release).scrapes_all(by="podMonitor")
    return release


def _installed(settings: tuple[str, ...]) -> Release:
    assert os.environ.get("KUBECONFIG"), "KUBECONFIG names no cluster"  # noqa: TID251 - the run's own knob
    assert list((CHART / "charts").glob("*.tgz")), "no subcharts: helm dependency build charts/market-data"
    tag = os.environ.get("TEST_IMAGE_TAG", "test")  # noqa: TID251 - the run's own knob
    made = Release(
        helm=packaged.path("helm"),
        kubectl=packaged.path("kubectl"),
        namespace=f"md-{uuid4().hex[:6]}",
        settings=(*(each.format(tag=tag) for each in _IMAGES), *settings),
    )
    made.run("create", "namespace", made.namespace)
    try:
        made.run("label", "namespace", made.namespace, "pod-security.kubernetes.io/enforce=restricted")
        made.install()
    except AssertionError:
        keep_evidence(made, "install")
        _remove(made)
        raise
    return made


def _remove(release: Release) -> None:
    subprocess.run(
        [str(release.helm), "uninstall", release.name, "-n", release.namespace, "--ignore-not-found"],
        check=False, capture_output=True, timeout=150,
    )  # fmt: skip
    release.run("delete", "namespace", release.namespace, within=180)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    # Not of `funcargs`, where nothing is yet if it was a fixture upon the release that failed.
    release = _STANDING.release if "release" in getattr(item, "fixturenames", ()) else None
    if report.failed and release is not None:
        _STANDING.is_suspect = True
        folder = keep_evidence(release, item.name)
        report.sections.append(("what the cluster looked like", str(folder)))
    return report


def keep_evidence(release: Release, name: str) -> Path:
    """Write what a person would look at first, and return the folder."""
    folder = EVIDENCE / name
    folder.mkdir(parents=True, exist_ok=True)
    looks: dict[str, list[str]] = {
        "pods.txt": ["get", "pods", "--output", "wide"],
        "objects.yaml": ["get", "deployments,statefulsets,jobs,pods,pollingjobs", "--output", "yaml"],
        "events.txt": ["get", "events", "--sort-by", "lastTimestamp"],
    }
    names = _say(release, ["get", "pods", "--output", "name"]).split()
    looks |= {
        f"{pod.removeprefix('pod/')}.log": ["logs", pod, "--all-containers", "--tail", "400"] for pod in names
    }
    for file, arguments in looks.items():
        (folder / file).write_text(_say(release, arguments))
    return folder


def _say(release: Release, arguments: list[str]) -> str:
    command: list[Any] = [release.kubectl, "--namespace", release.namespace, *arguments]
    try:
        answer = subprocess.run(command, text=True, capture_output=True, check=False, timeout=60)
    except subprocess.TimeoutExpired as error:
        return str(error)
    return answer.stdout + answer.stderr
