"""skaffold.yaml and kind-config.yaml say only what those tools' own schemas know.

Both were also held against the whole schemas. Here are the fields of the objects that are used, as read in
docs-v2/content/en/schemas/v4beta14.json of the Go module github.com/GoogleContainerTools/skaffold/v2 2.24.0,
and in pkg/apis/config/v1alpha4/types.go of sigs.k8s.io/kind 0.33.0, whose own default node image is ours.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from support.chart import ROOT

Fields = Mapping[str, str]  # what a field holds: the name of an object below, or "" for a plain value

SKAFFOLD: Mapping[str, Fields] = {
    "Config": dict.fromkeys(("apiVersion", "kind", "requires", "test", "verify"), "")
    | {"metadata": "Metadata", "build": "Build", "deploy": "Deploy", "portForward": "PortForward",
       "profiles": "Profile"},
    "Metadata": dict.fromkeys(("name", "labels", "annotations"), ""),
    "Build": dict.fromkeys(("insecureRegistries", "platforms", "hooks"), "")
    | {"artifacts": "Artifact", "local": "Local", "tagPolicy": "TagPolicy"},
    "TagPolicy": dict.fromkeys(("inputDigest", "gitCommit", "sha256", "envTemplate", "dateTime"), ""),
    "Local": dict.fromkeys(("push", "tryImportMissing", "useDockerCLI", "useBuildkit", "concurrency"), ""),
    "Artifact": dict.fromkeys(("image", "context", "requires", "hooks", "platforms", "runtimeType"), "")
    | {"docker": "Docker", "sync": "Sync"},
    "Docker": dict.fromkeys(
        ("dockerfile", "target", "buildArgs", "network", "addHost", "cacheFrom", "cliFlags", "pullParent",
         "noCache", "squash", "secrets", "ssh"), "",
    ),
    "Sync": {"infer": "", "auto": "", "hooks": "", "manual": "SyncRule"},
    "SyncRule": dict.fromkeys(("src", "dest", "strip"), ""),
    "Deploy": dict.fromkeys(
        ("kubeContext", "statusCheck", "statusCheckDeadlineSeconds", "tolerateFailuresUntilDeadline", "logs"),
        "",
    )
    | {"helm": "Helm"},
    "Helm": {"flags": "", "hooks": "", "concurrency": "", "releases": "Release"},
    "Release": dict.fromkeys(
        ("name", "chartPath", "remoteChart", "valuesFiles", "namespace", "version", "setValues",
         "setValueTemplates", "setFiles", "createNamespace", "wait", "recreatePods", "skipBuildDependencies",
         "skipTests", "useHelmSecrets", "repo", "upgradeOnChange", "overrides", "packaged", "dependsOn"), "",
    ),
    "PortForward": dict.fromkeys(
        ("resourceType", "resourceName", "namespace", "port", "address", "localPort"), ""
    ),
    "Profile": {"name": "", "activation": "", "requiresAllActivations": "", "patches": "Patch"},
    "Patch": dict.fromkeys(("op", "path", "from", "value"), ""),
}  # fmt: skip
KIND: Mapping[str, Fields] = {
    "Cluster": dict.fromkeys(
        ("kind", "apiVersion", "name", "networking", "featureGates", "runtimeConfig", "kubeadmConfigPatches",
         "containerdConfigPatches"), "",
    )
    | {"nodes": "Node"},
    "Node": dict.fromkeys(("role", "image", "labels", "extraMounts", "kubeadmConfigPatches"), "")
    | {"extraPortMappings": "PortMapping"},
    "PortMapping": dict.fromkeys(("containerPort", "hostPort", "listenAddress", "protocol"), ""),
}  # fmt: skip


def unknown(schema: Mapping[str, Fields], kind: str, value: Any, at: str = "") -> Iterator[str]:
    """Yield the way to each field that an object of that kind does not have."""
    for index, each in enumerate(value if isinstance(value, list) else [value]):
        for name, inner in each.items():
            way = f"{at}[{index}].{name}" if isinstance(value, list) else f"{at}.{name}"
            if name not in schema[kind]:
                yield way
            elif below := schema[kind][name]:
                yield from unknown(schema, below, inner, way)


@pytest.mark.parametrize(
    ("file", "schema", "kind", "version"),
    [
        ("skaffold.yaml", SKAFFOLD, "Config", "skaffold/v4beta14"),
        ("kind-config.yaml", KIND, "Cluster", "kind.x-k8s.io/v1alpha4"),
    ],
)
def test_every_field_is_one_that_the_tool_knows(
    file: str, schema: Mapping[str, Fields], kind: str, version: str
) -> None:
    document = yaml.safe_load((ROOT / file).read_text())
    assert document["apiVersion"] == version
    assert list(unknown(schema, kind, document)) == []


def test_what_skaffolds_profiles_add_is_known_to_it_too() -> None:
    document = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    kinds = {"sync": "Sync", "releases": "Release"}
    for profile in document["profiles"]:
        for patch in profile["patches"]:
            place = [step for step in patch["path"].split("/") if step not in {"", "-"}][-1]
            if isinstance(patch.get("value"), dict):
                assert list(unknown(SKAFFOLD, kinds[place], patch["value"])) == []


def test_a_field_that_is_misspelt_is_found() -> None:
    document = yaml.safe_load((ROOT / "kind-config.yaml").read_text())
    document["nodes"][0]["extraPortMappings"][0]["hostport"] = 1
    assert list(unknown(KIND, "Cluster", document)) == [".nodes[0].extraPortMappings[0].hostport"]
