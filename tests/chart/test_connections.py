import pytest

from marketdata.messages import topics
from marketdata.settings import (
    KafkaSettings,
    PostgresSettings,
    ProcessSettings,
    RedisSettings,
    variable_names,
)
from marketdata_api.settings import ApiSettings
from marketdata_consumer.settings import ConsumerSettings
from marketdata_operator.settings import OperatorSettings
from marketdata_poller.providers.settings import AlphaVantageSettings, YfinanceSettings
from marketdata_poller.settings import PollerSettings
from support.chart import Helm, Objects

API, POLLER, CONSUMER, OPERATOR = (
    f"md-market-data-{name}" for name in ("api", "poller", "consumer", "operator")
)


def files(objects: Objects, deployment: str) -> dict[str, tuple[str, str]]:
    """Return the Secret and the key behind each path that the Deployment mounts."""
    spec = objects.one("Deployment", deployment)["spec"]["template"]["spec"]
    mounts = {each["name"]: each["mountPath"] for each in spec["containers"][0]["volumeMounts"]}
    return {
        f"{mounts[volume['name']]}/{item['path']}": (volume["secret"]["secretName"], item["key"])
        for volume in spec["volumes"]
        if "secret" in volume
        for item in volume["secret"]["items"]
    }


def test_what_is_bundled_is_reached_by_its_name_with_a_password_from_a_file(helm: Helm) -> None:
    objects = helm.objects()
    told, mounted = objects.environment(CONSUMER), files(objects, CONSUMER)
    assert told["DB_HOST"] == "md-postgresql"
    assert mounted[told["DB_PASSWORD_FILE"]] == ("md-postgresql", "password")
    assert told["REDIS_HOST"] == "md-redis-master"
    assert mounted[told["REDIS_PASSWORD_FILE"]] == ("md-redis", "redis-password")
    assert told["KAFKA_BOOTSTRAP_SERVERS"] == "md-market-data-kafka-bootstrap:9093"
    assert told["KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
    assert told["KAFKA_SASL_USERNAME"] == "md-market-data-consumer"
    assert mounted[told["KAFKA_SASL_PASSWORD_FILE"]] == ("md-market-data-kafka", "consumer")
    assert mounted[told["KAFKA_CA_FILE"]] == ("md-market-data-cluster-ca-cert", "ca.crt")


@pytest.mark.parametrize(
    ("sets", "secret", "key"),
    [
        ((), "md-market-data-kafka", "poller"),
        (("kafka.strimzi.passwordsSecret=ours",), "ours", "poller"),
        (("quickstart.createSecrets=false",), "md-market-data-poller", "password"),
    ],
)
def test_a_kafka_user_and_its_pods_take_the_password_from_one_place(
    helm: Helm, sets: tuple[str, ...], secret: str, key: str
) -> None:
    objects = helm.objects(sets=sets)
    assert files(objects, POLLER)["/etc/market-data/kafka/password"] == (secret, key)
    user = objects.one("KafkaUser", "md-market-data-poller")["spec"]["authentication"]
    given = user.get(
        "password", {"valueFrom": {"secretKeyRef": {"name": "md-market-data-poller", "key": "password"}}}
    )
    assert given["valueFrom"]["secretKeyRef"] == {"name": secret, "key": key}


def test_what_is_outside_is_reached_as_its_values_say(helm: Helm) -> None:
    objects = helm.objects(profile="external", apis=())
    told, mounted = objects.environment(CONSUMER), files(objects, CONSUMER)
    assert told["DB_HOST"] == "postgres.example.com"
    assert (told["DB_NAME"], told["DB_USER"]) == ("prices", "prices")
    assert told["DB_SSLMODE"] == "verify-full"
    assert mounted[told["DB_PASSWORD_FILE"]] == ("db-password", "password")
    assert mounted[told["DB_CA_FILE"]] == ("db-ca", "ca.crt")
    authority = "/etc/market-data/redis-ca/ca.crt"
    assert told["REDIS_URL"] == f"rediss://redis.example.com:6380/0?ssl_ca_certs={authority}"
    assert mounted[authority] == ("redis-ca", "ca.crt")
    assert mounted[told["REDIS_PASSWORD_FILE"]] == ("redis-password", "password")
    assert told["KAFKA_SASL_USERNAME"] == "market-data-consumer"
    assert mounted[told["KAFKA_SASL_PASSWORD_FILE"]] == ("kafka-consumer", "password")


def test_a_secret_of_cloudnative_pg_is_used_as_it_is(helm: Helm) -> None:
    objects = helm.objects(profile="cloudnative-pg")
    told, mounted = objects.environment(API), files(objects, API)
    assert mounted[told["DB_PASSWORD_FILE"]] == ("market-data-db-app", "password")
    assert mounted[told["DB_CA_FILE"]] == ("market-data-db-ca", "ca.crt")


def test_a_component_is_told_only_what_it_connects_to(helm: Helm) -> None:
    objects = helm.objects()
    assert not [name for name in objects.environment(API) if name.startswith("KAFKA")]
    assert not [name for name in objects.environment(POLLER) if name.startswith("REDIS")]
    assert not [name for name in objects.environment(OPERATOR) if name.startswith(("REDIS", "KAFKA"))]


@pytest.mark.parametrize("profile", ["default", "production", "external", "cloudnative-pg"])
def test_no_password_is_in_an_environment(helm: Helm, profile: str) -> None:
    objects = helm.objects(profile=profile)
    for name in objects.of("Deployment"):
        given = objects.environment(name)
        assert not [key for key in given if "PASSWORD" in key and not key.endswith("_FILE")], name


def test_plain_kafka_has_no_users_and_no_rights(helm: Helm) -> None:
    objects = helm.objects(profile="kind")
    told = objects.environment(POLLER)
    assert told["KAFKA_SECURITY_PROTOCOL"] == "PLAINTEXT"
    assert told["KAFKA_BOOTSTRAP_SERVERS"].endswith(":9092")
    assert "KAFKA_SASL_USERNAME" not in told
    assert not objects.of("KafkaUser")
    assert "authorization" not in objects.one("Kafka", "md-market-data")["spec"]["kafka"]


def test_each_kafka_user_has_the_rights_of_its_work_and_no_more(helm: Helm) -> None:
    users = helm.objects().of("KafkaUser")
    rights = {
        name.removeprefix("md-market-data-"): {
            (acl["resource"]["type"], acl["resource"]["name"]): set(acl["operations"])
            for acl in user["spec"]["authorization"]["acls"]
        }
        for name, user in users.items()
    }
    events, group = ("topic", "price-events"), ("group", "market-data-consumer")
    assert rights == {
        "poller": {events: {"Describe", "Write"}, ("topic", "price-events.dlq"): {"Describe", "Write"}},
        "consumer": {events: {"Describe", "Read"}, group: {"Describe", "Read"}},
        "lag-reader": {events: {"Describe", "Read"}, group: {"Describe"}},
    }


def test_the_topic_is_what_the_code_expects(helm: Helm) -> None:
    found = {each["spec"]["topicName"]: each["spec"] for each in helm.objects().of("KafkaTopic").values()}
    assert set(found) == {topics.PRICE_EVENTS, topics.DEAD_LETTERS}
    assert found[topics.PRICE_EVENTS]["partitions"] == topics.PARTITIONS
    assert helm.objects().environment(CONSUMER)["KAFKA_GROUP"] == topics.CONSUMER_GROUP


@pytest.mark.parametrize(("nodes", "copies", "least"), [(1, 1, 1), (2, 2, 1), (3, 3, 2), (5, 3, 2)])
def test_copies_follow_the_number_of_nodes(helm: Helm, nodes: int, copies: int, least: int) -> None:
    objects = helm.objects(sets=[f"kafka.strimzi.replicas={nodes}"])
    config = objects.one("Kafka", "md-market-data")["spec"]["kafka"]["config"]
    assert (config["default.replication.factor"], config["min.insync.replicas"]) == (copies, least)
    assert {each["spec"]["replicas"] for each in objects.of("KafkaTopic").values()} == {copies}


def test_a_changed_setting_rolls_out_its_component_alone(helm: Helm) -> None:
    before = helm.objects().of("Deployment")
    after = helm.objects(sets=["poller.settings.MARKETDATA_SWEEP_SECONDS=2"]).of("Deployment")
    assert [name for name in before if before[name] != after[name]] == [POLLER]


def test_every_variable_that_a_pod_is_told_is_a_setting_of_its_process(helm: Helm) -> None:
    """An unknown MARKETDATA_ variable ends a process at its start; this finds it before a pod does."""
    common = (ProcessSettings, PostgresSettings)
    groups = {
        API: (*common, RedisSettings, ApiSettings),
        POLLER: (*common, KafkaSettings, PollerSettings, YfinanceSettings, AlphaVantageSettings),
        CONSUMER: (*common, RedisSettings, KafkaSettings, ConsumerSettings),
        OPERATOR: (*common, OperatorSettings),
    }
    objects = helm.objects(sets=["alphaVantage.existingSecret=key", "api.keys.existingSecret=keys"])
    for name, known in groups.items():
        names = {variable for group in known for variable in variable_names(group)}
        assert set(objects.environment(name)) <= names, name
