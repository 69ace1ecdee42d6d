import json

from support.chart import Helm
from support.dashboards import FILES

LARGEST_CONFIGMAP = 256 * 1024
"""A quarter of what etcd takes; the sidecar holds all of them in memory."""


def test_dashboards_are_made_only_when_they_are_asked_for(helm: Helm) -> None:
    assert not [name for name in helm.objects().of("ConfigMap") if "dashboard" in name]


def test_each_dashboard_is_a_configmap_that_the_sidecar_finds(helm: Helm) -> None:
    maps = helm.objects(sets=["monitoring.dashboards.enabled=true"]).of("ConfigMap")
    for path in FILES:
        found = maps[f"md-market-data-dashboard-{path.stem}"]
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert found["metadata"]["namespace"] == "prices"
        ((name, text),) = found["data"].items()
        assert name == f"market-data-{path.stem}.json"
        assert json.loads(text) == json.loads(path.read_text())
        assert len(json.dumps(found)) < LARGEST_CONFIGMAP


def test_dashboards_go_where_grafana_looks(helm: Helm) -> None:
    objects = helm.objects(
        sets=[
            "monitoring.dashboards.enabled=true", "monitoring.dashboards.namespace=monitoring",
            "monitoring.dashboards.label=mine", "monitoring.dashboards.labelValue=yes",
            "monitoring.dashboards.annotations.folder=prices",
        ]
    )  # fmt: skip
    about = objects.one("ConfigMap", "md-market-data-dashboard-overview")["metadata"]
    assert (about["namespace"], about["labels"]["mine"], about["annotations"]) == (
        "monitoring", "yes", {"folder": "prices"},
    )  # fmt: skip


def test_a_scrape_keeps_the_component_and_the_release(helm: Helm) -> None:
    wanted = {"app.kubernetes.io/component", "app.kubernetes.io/instance"}
    by_pod = helm.objects(sets=["metrics.podMonitor.enabled=true"]).one("PodMonitor", "md-market-data")
    assert wanted <= set(by_pod["spec"]["podTargetLabels"])
    by_service = helm.objects(sets=["metrics.serviceMonitor.enabled=true"])
    assert wanted <= set(by_service.one("ServiceMonitor", "md-market-data")["spec"]["targetLabels"])
