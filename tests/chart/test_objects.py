import re

import pytest
import yaml

from marketdata.telemetry.catalogue import CATALOGUE
from support.chart import CHART, PROFILES, ROOT, Helm, Objects, Refused


def test_the_definition_is_an_object_of_the_release_and_outlives_it(helm: Helm) -> None:
    definition = helm.objects().one("CustomResourceDefinition", "pollingjobs.marketdata.dev")
    assert definition["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    generated = yaml.safe_load((CHART / "files" / "pollingjobs.yaml").read_text())
    assert definition["spec"] == generated["spec"]


def test_the_definition_may_go_with_the_release_or_be_left_to_another(helm: Helm) -> None:
    gone = helm.objects(sets=["crds.keep=false"]).one(
        "CustomResourceDefinition", "pollingjobs.marketdata.dev"
    )
    assert "annotations" not in gone["metadata"]
    without = helm.objects(sets=["crds.enabled=false"])
    assert not without.of("CustomResourceDefinition")
    assert not without.of("ClusterRole")


def test_the_clusters_own_roles_learn_of_polling_jobs(helm: Helm) -> None:
    roles = helm.objects().of("ClusterRole")
    view, edit = roles["market-data-pollingjobs-view"], roles["market-data-pollingjobs-edit"]
    aggregate = "rbac.authorization.k8s.io/aggregate-to-"
    assert {key for key in view["metadata"]["labels"] if key.startswith(aggregate)} == {
        f"{aggregate}{role}" for role in ("view", "edit", "admin")
    }
    assert f"{aggregate}view" not in edit["metadata"]["labels"]
    assert not {"create", "update", "patch", "delete"} & set(view["rules"][0]["verbs"])


def test_the_operator_may_do_what_it_does_in_its_namespace_and_nothing_else(helm: Helm) -> None:
    objects = helm.objects()
    rules = objects.one("Role", "md-market-data-operator")["rules"]
    assert {(rule["resources"][0], verb) for rule in rules for verb in rule["verbs"]} == {
        ("pollingjobs", "list"),
        ("pollingjobs", "watch"),
        ("pollingjobs/status", "patch"),
        ("events", "create"),
    }
    assert objects.environment("md-market-data-operator")["MARKETDATA_OPERATOR_NAMESPACES"] == "prices"


def test_the_operator_watches_further_only_where_it_is_told_to(helm: Helm) -> None:
    some = helm.objects(sets=["operator.namespaces={prices,desk}"])
    assert {
        role["metadata"]["namespace"] for role in some.of("Role").values() if "operator" in str(role)
    } >= {"desk"}
    assert some.environment("md-market-data-operator")["MARKETDATA_OPERATOR_NAMESPACES"] == "prices,desk"
    every = helm.objects(sets=["operator.watchAllNamespaces=true"])
    assert every.one("ClusterRole", "prices-md-market-data-operator")
    assert every.environment("md-market-data-operator")["MARKETDATA_OPERATOR_NAMESPACES"] == "*"


def test_passwords_are_made_by_one_that_may_only_create_them(helm: Helm) -> None:
    objects = helm.objects()
    assert objects.one("Role", "md-market-data-secrets")["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}
    ]
    (job,) = [job for name, job in objects.of("Job").items() if "-secrets-" in name]
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == [
        "marketdata_operator.quickstart_secrets",
        "prices", "md-postgresql=postgres-password,password", "md-redis=redis-password",
        "md-market-data-kafka=poller,consumer,lag-reader", "md-market-data-api=page-token-key",
    ]  # fmt: skip


@pytest.mark.parametrize("profile", PROFILES)
def test_every_container_starts_as_its_image_says(helm: Helm, profile: str) -> None:
    """By its init: a `command` would make a process the first of its container, deaf while it starts."""
    commands = {
        f"{name}/{container['name']}": "command" in container
        for name, spec in helm.objects(profile=profile).pod_specs().items()
        for container in (*spec.get("initContainers", ()), *spec["containers"])
    }
    assert {name.rpartition("/")[2] for name in commands} >= {
        "api", "poller", "consumer", "lag", "operator", "migrate", "data-path",
    }  # fmt: skip
    ours = {name for name in commands if "market-data" in name}
    assert {name for name in ours if commands[name]} == set()


def test_nothing_makes_passwords_where_all_secrets_are_given(helm: Helm) -> None:
    objects = helm.objects(profile="production")
    assert not [name for name in objects.of("Job") if "-secrets-" in name]
    assert "md-market-data-secrets" not in objects.of("Role")


def test_a_job_is_another_one_when_what_it_runs_has_changed_and_only_then(helm: Helm) -> None:
    def migrations(*sets: str) -> set[str]:
        return {name for name in helm.objects(sets=sets).of("Job") if "-migrate-" in name}

    assert migrations() == migrations("api.replicas=3")
    assert migrations() != migrations("api.image.tag=v2")
    assert migrations() != migrations("postgresql.auth.database=other")
    assert not migrations("migrations.enabled=false")


def test_a_disruption_budget_is_made_where_there_is_more_than_one_pod(helm: Helm) -> None:
    assert set(helm.objects().of("PodDisruptionBudget")) == {
        f"md-market-data-{name}" for name in ("api", "poller", "consumer")
    }
    assert not helm.objects(profile="kind").of("PodDisruptionBudget")
    scaled = helm.objects(sets=["consumer.autoscaling.mode=keda"])
    assert "md-market-data-consumer" not in scaled.of("PodDisruptionBudget")


def test_who_scales_decides_the_number_of_pods_alone(helm: Helm) -> None:
    fixed = helm.objects().one("Deployment", "md-market-data-consumer")
    assert fixed["spec"]["replicas"] == 2
    for mode, kind in (("hpa", "HorizontalPodAutoscaler"), ("keda", "ScaledObject")):
        scaled = helm.objects(sets=[f"consumer.autoscaling.mode={mode}"])
        assert "replicas" not in scaled.one("Deployment", "md-market-data-consumer")["spec"]
        assert scaled.one(kind, "md-market-data-consumer")
    hpa = helm.objects(sets=["consumer.autoscaling.mode=hpa"]).one(
        "HorizontalPodAutoscaler", "md-market-data-consumer"
    )
    assert hpa["spec"]["metrics"][0]["external"]["target"]["type"] == "AverageValue"


def test_pollers_are_scaled_on_lateness_and_the_api_on_cpu(helm: Helm) -> None:
    objects = helm.objects(sets=["api.autoscaling.mode=hpa", "poller.autoscaling.mode=hpa"])
    for component in ("api", "poller"):
        assert "replicas" not in objects.one("Deployment", f"md-market-data-{component}")["spec"]
    lateness = objects.one("HorizontalPodAutoscaler", "md-market-data-poller")["spec"]["metrics"][0][
        "external"
    ]
    assert lateness["metric"]["name"] == "marketdata_poller_lateness"
    assert lateness["target"] == {"type": "Value", "value": "10"}
    cpu = objects.one("HorizontalPodAutoscaler", "md-market-data-api")["spec"]["metrics"][0]["resource"]
    assert cpu["name"] == "cpu"
    assert not helm.objects().of("HorizontalPodAutoscaler")


def test_an_hpa_scales_on_the_metrics_of_its_own_release(helm: Helm) -> None:
    modes = ["consumer.autoscaling.mode=hpa", "poller.autoscaling.mode=hpa"]
    for release in ("md", "another"):
        scalers = helm.objects(sets=modes, release=release).of("HorizontalPodAutoscaler").values()
        assert len(scalers) == 2
        for scaler in scalers:
            chosen = scaler["spec"]["metrics"][0]["external"]["metric"]["selector"]["matchLabels"]
            assert chosen["app_kubernetes_io_instance"] == release


def test_a_large_target_from_a_file_stays_a_whole_number(helm: Helm) -> None:
    """Helm reads every number of a file as a float, and writes large ones with an exponent."""

    def scaled(mode: str) -> Objects:
        return helm.objects(values={"consumer": {"autoscaling": {"mode": mode, "targetLag": 2_000_000}}})

    hpa = scaled("hpa").one("HorizontalPodAutoscaler", "md-market-data-consumer")["spec"]["metrics"][0]
    assert hpa["external"]["target"]["averageValue"] == "2000000"
    keda = scaled("keda").one("ScaledObject", "md-market-data-consumer")["spec"]["triggers"][0]
    assert keda["metadata"]["lagThreshold"] == "2000000"


def test_what_is_scaled_comes_down_one_pod_at_a_time_after_minutes_of_quiet(helm: Helm) -> None:
    modes = [f"{component}.autoscaling.mode=hpa" for component in ("api", "poller", "consumer")]
    scalers = helm.objects(sets=modes).of("HorizontalPodAutoscaler")
    assert len(scalers) == 3
    for scaler in scalers.values():
        down = scaler["spec"]["behavior"]["scaleDown"]
        assert down["stabilizationWindowSeconds"] >= 300
        assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]


def test_the_rules_for_the_adapter_serve_the_metrics_that_are_scaled_on(helm: Helm) -> None:
    given = yaml.safe_load((ROOT / "k8s/monitoring/prometheus-adapter-values.yaml").read_text())
    rules = {rule["name"]["as"]: rule["seriesQuery"] for rule in given["rules"]["external"]}
    scalers = helm.objects(sets=["consumer.autoscaling.mode=hpa", "poller.autoscaling.mode=hpa"]).of(
        "HorizontalPodAutoscaler"
    )
    asked = {scaler["spec"]["metrics"][0]["external"]["metric"]["name"] for scaler in scalers.values()}
    assert asked == rules.keys()
    defined = {metric.name for metric in CATALOGUE}
    assert all(any(f'"{name}"' in query for name in defined) for query in rules.values())


def test_the_lag_exporter_is_one_pod_of_the_consumer_s_image_with_the_lag_reader_s_rights(helm: Helm) -> None:
    objects = helm.objects()
    spec = objects.one("Deployment", "md-market-data-lag")["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    consumer = objects.one("Deployment", "md-market-data-consumer")["spec"]["template"]["spec"]["containers"][
        0
    ]
    env = {each["name"]: each.get("value") for each in container["env"]}

    assert spec["replicas"] == 1
    assert container["image"] == consumer["image"]
    assert container["args"] == ["marketdata_consumer", "lag-exporter"]
    assert env["KAFKA_SASL_USERNAME"] == "md-market-data-lag-reader"
    assert not {name for name in env if name.startswith(("DATABASE", "POSTGRES", "REDIS"))}
    assert {volume["name"] for volume in pod["volumes"]} == {"tmp", "kafka", "kafka-ca"}
    assert pod["automountServiceAccountToken"] is False


def test_the_lag_exporter_can_be_left_out(helm: Helm) -> None:
    assert "md-market-data-lag" not in helm.objects(sets=["lag.enabled=false"]).of("Deployment")


def test_keda_asks_the_brokers_as_the_lag_reader(helm: Helm) -> None:
    objects = helm.objects(sets=["consumer.autoscaling.mode=keda", "consumer.autoscaling.minReplicas=0"])
    targets = objects.one("TriggerAuthentication", "md-market-data-consumer")["spec"]["secretTargetRef"]
    trigger = objects.one("ScaledObject", "md-market-data-consumer")["spec"]["triggers"][0]["metadata"]
    # KEDA runs in another namespace, where the bare name of a Service means nothing.
    assert trigger["bootstrapServers"] == "md-market-data-kafka-bootstrap.prices.svc:9093"
    passwords = [each["name"] for each in targets if each["parameter"] == "password"]
    assert passwords == ["md-market-data-kafka"]


def test_the_brokers_are_told_of_sessions_as_the_guide_says(helm: Helm) -> None:
    guide = (ROOT / "docs" / "guides" / "operations.md").read_text(encoding="utf-8")
    (given,) = re.findall(r"^```yaml\n(kafka:\n.*?)^```", guide, re.MULTILINE | re.DOTALL)
    kafka = helm.objects(values=yaml.safe_load(given)).one("Kafka", "md-market-data")
    told = kafka["spec"]["kafka"]["config"]
    # A broker whose session is below its own minimum does not start.
    least, session = (f"group.consumer.{part}session.timeout.ms" for part in ("min.", ""))
    assert 5_000 < told[least] <= told[session] < 45_000


def test_the_api_is_reached_by_ingress_and_route_at_the_same_time(helm: Helm) -> None:
    objects = helm.objects(sets=["api.ingress.enabled=true", "api.httpRoute.enabled=true"])
    service = objects.one("Service", "md-market-data-api")
    ingress = objects.one("Ingress", "md-market-data-api")["spec"]["rules"][0]["http"]["paths"][0]["backend"]
    route = objects.one("HTTPRoute", "md-market-data-api")["spec"]["rules"][0]["backendRefs"][0]
    assert ingress["service"]["name"] == route["name"] == service["metadata"]["name"]
    assert route["port"] == service["spec"]["ports"][0]["port"]


def test_keys_given_as_hashes_are_mounted_where_the_api_looks(helm: Helm) -> None:
    line = f"{'0' * 64} prices:read dashboard"
    objects = helm.objects(values={"api": {"keys": {"hashes": [line]}}})
    assert objects.one("Secret", "md-market-data-api-keys")["stringData"]["keys"] == f"{line}\n"
    assert (
        objects.environment("md-market-data-api")["MARKETDATA_API_KEYS_FILE"]
        == "/etc/market-data/api-keys/keys"
    )


def test_policies_let_pass_what_is_needed_and_nothing_else(helm: Helm) -> None:
    policies = helm.objects(sets=["networkPolicy.enabled=true"]).of("NetworkPolicy")

    def ports(name: str) -> set[int]:
        return {
            port["port"]
            for rule in policies[f"md-market-data-{name}"]["spec"]["egress"]
            for port in rule["ports"]
        }

    assert ports("api") == {53, 5432, 6379}
    assert ports("poller") == {53, 5432, 9093, 443, 80}
    assert ports("consumer") == {53, 5432, 6379, 9093}
    assert ports("operator") == {53, 5432, 443, 6443}
    assert ports("migrate") == {53, 5432}


def test_each_pod_is_scraped_once(helm: Helm) -> None:
    by_pod = helm.objects(sets=["metrics.podMonitor.enabled=true"])
    assert by_pod.one("PodMonitor", "md-market-data")
    assert not [name for name in by_pod.of("Service") if name.endswith("-metrics")]
    by_service = helm.objects(sets=["metrics.serviceMonitor.enabled=true"])
    selector = by_service.one("ServiceMonitor", "md-market-data")["spec"]["selector"]["matchLabels"]
    scraped = [
        name for name, each in by_service.of("Service").items()
        if selector.items() <= each["metadata"].get("labels", {}).items()
    ]  # fmt: skip
    assert sorted(scraped) == [
        f"md-market-data-{name}-metrics" for name in ("api", "consumer", "lag", "operator", "poller")
    ]


def test_extra_objects_go_through_the_template_engine(helm: Helm) -> None:
    objects = helm.objects(
        values={
            "extraObjects": [
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-map"}},
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-text'}\n",
            ]
        }
    )
    assert {"md-map", "md-text"} <= set(objects.of("ConfigMap"))


def test_a_spread_without_a_selector_is_given_the_components_own(helm: Helm) -> None:
    spec = helm.objects().one("Deployment", "md-market-data-api")["spec"]
    for each in spec["template"]["spec"]["topologySpreadConstraints"]:
        assert each["labelSelector"] == spec["selector"]


def notes(helm: Helm, *sets: str) -> str:
    """Return what an install would say at its end."""
    arguments = ["install", "md", str(helm.chart), "--dry-run=client", "--namespace", "prices"]
    for each in ("kafka.strimzi.skipApiCheck=true", *sets):
        arguments += ["--set", each]
    answer = helm.answer(*arguments)
    if answer.returncode:
        raise Refused(answer.stderr)
    return answer.stdout.partition("NOTES:")[2]


@pytest.mark.parametrize(
    ("sets", "warning"),
    [
        ((), "The API has no keys"),
        ((), "PostgreSQL is the bundled one"),
        (("kafka.strimzi.plain=true",), "Kafka is plain"),
        ((), "Kafka has 1 node(s)"),
        (("postgresql.enabled=false", "externalDatabase.host=db"), "does not check whom it talks to"),
        ((), "synthetic prices"),
        (("consumer.autoscaling.mode=hpa",), "marketdata_consumer_lag"),
        (("consumer.autoscaling.mode=hpa",), "The consumer is scaled on a metric and nothing is scraped"),
        (("poller.autoscaling.mode=hpa",), "marketdata_poller_lateness"),
        (("poller.autoscaling.mode=hpa",), "The poller is scaled on a metric and nothing is scraped"),
        (("monitoring.alerts.enabled=true", "lag.enabled=false"), "There are no alerts on lag"),
        (("monitoring.alerts.enabled=true",), "Alerts do not say where their runbooks are"),
        (("consumer.autoscaling.mode=keda",), "KEDA is not in this cluster"),
        (("monitoring.alerts.enabled=true",), "Alerts are made and nothing is scraped"),
    ],
)
def test_the_notes_warn_of_what_is_not_for_production(
    helm: Helm, sets: tuple[str, ...], warning: str
) -> None:
    assert warning in notes(helm, *sets)


def test_the_notes_do_not_warn_of_what_is_in_order(helm: Helm) -> None:
    said = notes(
        helm, "api.keys.existingSecret=keys", "defaultProvider=yfinance", "kafka.strimzi.replicas=3",
        "consumer.autoscaling.mode=hpa", "metrics.podMonitor.enabled=true", "monitoring.alerts.enabled=true",
        "monitoring.alerts.runbookUrl=https://runbooks.example.com",
    )  # fmt: skip
    assert "no keys" not in said
    assert "synthetic" not in said
    assert "Kafka has" not in said
    assert "scraped" not in said
    assert "alerts on lag" not in said
    assert "runbooks" not in said


def test_the_notes_tell_the_address_that_there_is(helm: Helm) -> None:
    assert "port-forward service/md-market-data-api 8000:80" in notes(helm)
    ingress = notes(helm, "api.ingress.enabled=true")
    assert "http://prices.example.com/prices/latest" in ingress


def test_the_readme_names_every_profile_there_is() -> None:
    text = (CHART / "README.md").read_text()
    for path in (*CHART.glob("values-[kp]*.yaml"), *(CHART / "examples").glob("*.yaml")):
        assert str(path.relative_to(CHART)) in text
    assert (ROOT / "k8s" / "examples" / "cloudnative-pg.yaml").exists()
