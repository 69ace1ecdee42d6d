import json
import re

import pytest

from support.chart import PROFILES, Helm, Objects

BIGGEST = (
    "networkPolicy.enabled=true", "metrics.serviceMonitor.enabled=true", "metrics.podMonitor.enabled=false",
    "api.ingress.enabled=true", "api.httpRoute.enabled=true", "consumer.autoscaling.mode=keda",
    "operator.watchAllNamespaces=true", "development.hotReload=true", "image.pullSecrets={registry}",
)  # fmt: skip


@pytest.fixture(scope="session", params=sorted(PROFILES))
def profile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def objects(helm: Helm, profile: str) -> Objects:
    """All that a profile installs, with everything on that it leaves off."""
    return helm.objects(profile=profile, sets=BIGGEST)


def test_every_profile_renders_the_same_bytes_twice(helm: Helm, profile: str) -> None:
    arguments = helm.arguments(profile=profile)
    assert helm.run(*arguments).stdout == helm.run(*arguments).stdout != ""


def test_every_pod_would_be_admitted_to_a_restricted_namespace(objects: Objects) -> None:
    for name, spec in objects.pod_specs().items():
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in (*spec.get("initContainers", ()), *spec["containers"]):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name


def test_every_container_says_what_it_needs_and_may_take(objects: Objects) -> None:
    for name, spec in objects.pod_specs().items():
        for container in spec["containers"]:
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name


def test_no_pod_gets_a_token_but_those_that_talk_to_the_api_server(objects: Objects) -> None:
    with_token = {
        name.rstrip("0123456789abcdef")
        for name, spec in objects.pod_specs().items()
        if spec["automountServiceAccountToken"]
    }
    assert with_token <= {
        "Deployment/md-market-data-operator", "Job/md-market-data-secrets-", "Pod/md-market-data-test",
    }  # fmt: skip


def test_no_pod_gets_the_addresses_of_services_as_settings(objects: Objects) -> None:
    assert all(spec["enableServiceLinks"] is False for spec in objects.pod_specs().values())


def test_no_image_is_taken_as_it_happens_to_be_today(objects: Objects) -> None:
    for name, spec in objects.pod_specs().items():
        for container in spec["containers"]:
            assert re.search(r"(:[^:/@]+|@sha256:[0-9a-f]{64})$", container["image"]), name
            assert not container["image"].endswith(":latest"), name


def test_the_subcharts_images_are_pinned_by_digest(helm: Helm) -> None:
    given = helm.objects().of("ConfigMap")
    for name in ("md-postgresql-stand-in", "md-redis-stand-in"):
        image = json.loads(given[name]["data"]["given"])["image"]
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", image["digest"])
        assert image["tag"] != "latest"


def test_the_subcharts_are_always_told_which_secret_to_use(helm: Helm) -> None:
    given = helm.objects().of("ConfigMap")
    for name in ("md-postgresql-stand-in", "md-redis-stand-in"):
        assert json.loads(given[name]["data"]["given"])["auth"]["existingSecret"]


def test_strimzis_objects_are_of_v1_and_no_other(objects: Objects) -> None:
    versions = {each["apiVersion"] for each in objects if "strimzi" in each["apiVersion"]}
    assert versions <= {"kafka.strimzi.io/v1"}


def test_no_object_makes_its_deletion_wait_for_anybody(objects: Objects) -> None:
    assert not [each["metadata"]["name"] for each in objects if each["metadata"].get("finalizers")]
    for kafka in objects.of("Kafka").values():
        env = kafka["spec"]["entityOperator"]["template"]["topicOperatorContainer"]["env"]
        assert {"name": "STRIMZI_USE_FINALIZERS", "value": "false"} in env


def test_every_namespaced_object_is_in_the_releases_namespace(objects: Objects) -> None:
    wide = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}
    elsewhere = [
        each["metadata"]["name"]
        for each in objects
        if each["kind"] not in wide
        and not each["metadata"]["name"].endswith("stand-in")
        and each["metadata"].get("namespace") != "prices"
    ]
    assert not elsewhere


def test_no_two_objects_have_one_name(objects: Objects) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names))


def test_a_long_release_name_still_gives_names_that_kubernetes_takes(helm: Helm) -> None:
    rendered = helm.objects(release="a" * 50, sets=["metrics.serviceMonitor.enabled=true"])
    assert all(
        len(each["metadata"]["name"]) <= 63 for each in rendered if "stand-in" not in str(each["metadata"])
    )
