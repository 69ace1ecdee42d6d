"""Every profile and example goes past the API server, with the real definitions of what it uses."""

import pytest
import yaml

from support.chart import CHART, PROFILES, ROOT, STRIMZI
from support.releases import Release

pytestmark = pytest.mark.cluster

# What the profiles leave off, with each of the two ways of scaling and of being scraped.
EVERYTHING = (
    "networkPolicy.enabled=true", "api.ingress.enabled=true", "api.httpRoute.enabled=true",
    "operator.watchAllNamespaces=true", "development.hotReload=true", "image.pullSecrets={registry}",
)  # fmt: skip
MONITORS = ("podMonitor", "serviceMonitor")
USED = {
    "gateways.gateway.networking.k8s.io", "httproutes.gateway.networking.k8s.io", "kafkas.kafka.strimzi.io",
    "podmonitors.monitoring.coreos.com", "scaledobjects.keda.sh", "servicemonitors.monitoring.coreos.com",
}  # fmt: skip


def dry_run(release: Release, manifests: str) -> None:
    """Have the API server admit and validate them, and keep nothing."""
    release.run(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict",
        "--filename", "-", given=manifests,
    )  # fmt: skip


def rendered(release: Release, profile: str, *settings: str) -> str:
    arguments = ["template", "other", str(CHART), "--api-versions", STRIMZI, "--no-hooks"]
    for name in PROFILES[profile]:
        arguments += ["--values", str(CHART / name)]
    for each in settings:
        arguments += ["--set", each]
    return release.run_helm(*arguments)


@pytest.fixture(scope="module")
def _definitions(release: Release) -> None:
    there = {each["metadata"]["name"] for each in release.get("crd")["items"]}
    assert there >= USED, (
        f"the cluster lacks {sorted(USED - there)}: tests/README.md says where they come from"
    )


@pytest.mark.parametrize("profile", PROFILES)
def test_the_api_server_would_take_every_profile(release: Release, profile: str, _definitions: None) -> None:
    dry_run(release, rendered(release, profile))


@pytest.mark.parametrize(
    ("scaling", "scaler", "monitor"),
    [("hpa", "HorizontalPodAutoscaler", "PodMonitor"), ("keda", "ScaledObject", "ServiceMonitor")],
)
@pytest.mark.parametrize("profile", PROFILES)
def test_the_api_server_would_take_every_profile_with_everything_on(
    release: Release, profile: str, scaling: str, scaler: str, monitor: str, _definitions: None
) -> None:
    scraped = [f"metrics.{kind}.enabled={str(kind.lower() == monitor.lower()).lower()}" for kind in MONITORS]
    manifests = rendered(release, profile, *EVERYTHING, *scraped, f"consumer.autoscaling.mode={scaling}")
    kinds = {each["kind"] for each in yaml.safe_load_all(manifests) if each}
    assert kinds >= {"HTTPRoute", "Ingress", "NetworkPolicy", scaler, monitor}
    dry_run(release, manifests)


def test_the_api_server_would_take_the_gateway_of_the_examples(release: Release, _definitions: None) -> None:
    dry_run(release, (ROOT / "k8s" / "examples" / "gateway.yaml").read_text())


def test_an_object_that_is_wrong_would_be_seen(release: Release, _definitions: None) -> None:
    wrong = (ROOT / "k8s" / "examples" / "gateway.yaml").read_text().replace("listeners:", "listener:")
    with pytest.raises(AssertionError, match="listener"):
        dry_run(release, wrong)
