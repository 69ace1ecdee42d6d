"""skaffold.yaml, kind-config.yaml and the Dockerfiles, as far as files can tell."""

import copy
import fnmatch
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.chart import CHART, ROOT
from support.waiting import eventually

COMPONENTS = ("api", "poller", "consumer", "operator")


def skaffold(*profiles: str) -> dict[str, Any]:
    """Return the configuration with the patches of `profiles` applied, as skaffold does."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    for profile in config.pop("profiles"):
        if profile["name"] in profiles:
            for patch in profile["patches"]:
                _patch(config, patch)
    return config


def _patch(config: Any, patch: dict[str, Any]) -> None:
    *way, last = patch["path"].strip("/").split("/")
    at = config
    for step in way:
        at = at[int(step)] if isinstance(at, list) else at[step]
    if isinstance(at, list):
        if patch["op"] == "add":
            assert last == "-", "patches add at the end only"
            at.append(copy.deepcopy(patch["value"]))
        else:
            del at[int(last)]
    elif patch["op"] == "remove":
        del at[last]
    else:
        assert patch["op"] == "add" or last in at
        at[last] = copy.deepcopy(patch["value"])


@pytest.fixture(params=["", "dev", "monitoring", "external-kafka", "dev monitoring"])
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return skaffold(*str(request.param).split())


def test_every_path_in_skaffolds_file_is_there(config: dict[str, Any]) -> None:
    paths = [each["docker"]["dockerfile"] for each in config["build"]["artifacts"]]
    for release in config["deploy"]["helm"]["releases"]:
        paths += release.get("valuesFiles", [])
        paths += [release["chartPath"]] if "chartPath" in release else []
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_the_four_images_are_given_to_the_charts_own_keys(config: dict[str, Any]) -> None:
    images = [each["image"] for each in config["build"]["artifacts"]]
    assert images == [f"market-data-{name}" for name in COMPONENTS]
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    (ours,) = [each for each in config["deploy"]["helm"]["releases"] if each["name"] == "market-data"]
    given = ours["setValueTemplates"]
    assert set(given) == {
        f"{name}.image.{key}" for name in COMPONENTS for key in ("repository", "tag", "digest")
    }
    for name in COMPONENTS:
        assert values[name]["image"]["repository"] == f"market-data-{name}"
        for key, variable in (("repository", "REPO"), ("tag", "TAG"), ("digest", "DIGEST")):
            assert given[f"{name}.image.{key}"] == f"{{{{.IMAGE_{variable}_market_data_{name}}}}}"


def test_a_release_depends_on_releases_that_are_there(config: dict[str, Any]) -> None:
    releases = config["deploy"]["helm"]["releases"]
    names = {release["name"] for release in releases}
    assert not [each for release in releases for each in release.get("dependsOn", []) if each not in names]


def test_what_is_copied_into_running_pods_is_their_source(config: dict[str, Any]) -> None:
    tracked = [
        path.relative_to(ROOT).as_posix() for path in ROOT.glob("*/**/*.py") if ".venv" not in path.parts
    ]
    for artifact in config["build"]["artifacts"]:
        dockerfile = (ROOT / artifact["docker"]["dockerfile"]).read_text()
        for rule in artifact.get("sync", {}).get("manual", []):
            assert fnmatch.filter(tracked, rule["src"].replace("**/", "*")), rule["src"]
            assert rule["src"].startswith(rule["strip"])
            assert f"PYTHONPATH={rule['dest']}:" in dockerfile


def test_skaffolds_port_is_the_apis() -> None:
    (forward,) = skaffold()["portForward"]
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert forward["resourceName"] == "market-data-api"
    assert forward["port"] == values["api"]["service"]["port"]


def test_kind_maps_the_port_that_its_values_open_on_loopback_only() -> None:
    kind = yaml.safe_load((ROOT / "kind-config.yaml").read_text())
    values = yaml.safe_load((CHART / "values-kind.yaml").read_text())
    mappings = [mapping for node in kind["nodes"] for mapping in node.get("extraPortMappings", [])]
    assert [each["containerPort"] for each in mappings] == [values["api"]["service"]["nodePort"]]
    assert {each["listenAddress"] for each in mappings} == {"127.0.0.1"}
    assert f"kind-{kind['name']}" == skaffold()["deploy"]["kubeContext"]


def test_kinds_nodes_are_one_image_pinned_by_digest_in_two_zones() -> None:
    kind = yaml.safe_load((ROOT / "kind-config.yaml").read_text())
    (image,) = {node["image"] for node in kind["nodes"]}
    assert re.fullmatch(r"kindest/node:v[\d.]+@sha256:[0-9a-f]{64}", image)
    zones = [node.get("labels", {}).get("topology.kubernetes.io/zone") for node in kind["nodes"]]
    assert {zone for zone in zones if zone} == {"a", "b"}


@pytest.mark.parametrize("component", COMPONENTS)
def test_an_image_installs_its_own_lock_by_hash_and_runs_as_a_number(component: str) -> None:
    folder = Path("operator") if component == "operator" else Path("services") / component
    text = (ROOT / folder / "Dockerfile").read_text()
    assert f"requirements/{component}.txt" in text
    assert (ROOT / "requirements" / f"{component}.txt").exists()
    assert all(
        "--require-hashes" in line or "--no-index" in line for line in re.findall(r"pip install.*", text)
    )
    assert re.search(r"^USER \d+:\d+$", text, re.MULTILINE)
    assert not re.search(r"--mount=type=bind|<<", text)
    # What the chart gives as arguments is a module and its own.
    starts = ["/opt/dependencies/bin/dumb-init", "--single-child", "--", "python", "-m"]
    assert text.endswith(f'\nENTRYPOINT {json.dumps(starts)}\nCMD ["marketdata_{component}"]\n')
    final = text.rpartition("\nFROM ")[2]
    assert "pip install" not in final
    assert final.index("/opt/dependencies") < final.index("/opt/app"), "the layer that changes goes on top"


def test_the_four_dockerfiles_differ_in_names_only() -> None:
    texts = set()
    for component in COMPONENTS:
        folder = "operator" if component == "operator" else f"services/{component}"
        text = (ROOT / folder / "Dockerfile").read_text()
        text = re.sub(rf"(services/)?\b(marketdata_)?{component}\b", "NAME", text)
        text = re.sub(r"(description=).*|(EXPOSE).*", r"\1\2", text)
        texts.add(text)
    assert len(texts) == 1


def test_the_build_sees_what_it_copies_and_nothing_else() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert allowed == {"requirements", "libs", "services", "operator"}


@pytest.fixture
def reloading(tmp_path: Path) -> Iterator[Path]:
    """A folder of code under the chart's reloader; its program appends to `started` and stays."""
    code = tmp_path / "code"
    code.mkdir()
    program = "import signal, sys\nopen(sys.argv[1], 'a').write('x')\nsignal.pause()\n"
    (code / "program.py").write_text(program)
    process = subprocess.Popen(
        [sys.executable, str(CHART / "files" / "reload.py"), str(code),
         sys.executable, str(code / "program.py"), str(tmp_path / "started")],
    )  # fmt: skip
    try:
        yield tmp_path
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_the_reloader_starts_the_process_anew_when_the_code_changes(reloading: Path) -> None:
    started = reloading / "started"
    eventually(lambda: started.exists() and started.read_text() == "x", within=20)
    program = reloading / "code" / "program.py"
    changed = reloading / "changed.py"
    changed.write_text(program.read_text() + "# changed\n")
    changed.replace(program)  # at once: a file that is written in two steps has changed twice
    eventually(lambda: started.read_text() == "xx", within=20)
