import pytest

from support.chart import Helm, Refused

CASES = {
    "two databases": (["externalDatabase.host=db"], "set postgresql.enabled=false to use yours"),
    "no database": (["postgresql.enabled=false"], "set postgresql.enabled=true for a bundled one"),
    "a database that makes its own password": (["postgresql.auth.existingSecret="], "name a Secret"),
    "two caches": (["externalRedis.host=r"], "set redis.enabled=false to use yours"),
    "no cache": (["redis.enabled=false"], "set redis.enabled=true for a bundled one"),
    "a cache that makes its own password": (["redis.auth.existingSecret="], "name a Secret"),
    "an outside Kafka without an address": (["kafka.mode=external"], "give HOST:PORT"),
    "an outside Kafka without users": (
        ["kafka.mode=external", "kafka.external.bootstrapServers=k:9092"],
        "give the user and its existingSecret",
    ),
    "two Kafkas": (["kafka.external.bootstrapServers=k:9092"], "set kafka.mode=external to use yours"),
    "consumers without partitions": (["consumer.replicas=13"], "lower the one or raise the other"),
    "scaling beyond the partitions": (
        ["consumer.autoscaling.mode=keda", "consumer.autoscaling.maxReplicas=13"],
        "lower the one or raise the other",
    ),
    "a minimum above the maximum": (
        ["consumer.autoscaling.mode=keda", "consumer.autoscaling.minReplicas=9"],
        "lower the one or raise the other",
    ),
    "an HPA from zero": (
        ["consumer.autoscaling.mode=hpa", "consumer.autoscaling.minReplicas=0"],
        "set it to 1, or mode to keda",
    ),
    "an HPA on a lag that nobody tells": (
        ["consumer.autoscaling.mode=hpa", "lag.enabled=false"],
        "set lag.enabled=true, or mode to keda",
    ),
    "KEDA without a user": (
        ["consumer.autoscaling.mode=keda", "kafka.mode=external", "kafka.external.bootstrapServers=k:9092",
         "kafka.external.poller.username=p", "kafka.external.consumer.username=c"],
        "give a user that may describe the group",
    ),
    "a lag exporter without a user": (
        ["kafka.mode=external", "kafka.external.bootstrapServers=k:9092",
         "kafka.external.poller.username=p", "kafka.external.consumer.username=c"],
        "or set lag.enabled=false",
    ),
    "an API with its minimum above its maximum": (
        ["api.autoscaling.mode=hpa", "api.autoscaling.minReplicas=9"], "lower the one or raise the other",
    ),
    "every pod scraped twice": (
        ["metrics.podMonitor.enabled=true", "metrics.serviceMonitor.enabled=true"], "turn one off",
    ),
    "a default provider that is none": (["defaultProvider=nasdaq"], "add it there, or choose one of"),
    "an account that is nobody's": (["api.serviceAccount.create=false"], "name an account that exists"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_work_is_refused_with_the_remedy(helm: Helm, case: str) -> None:
    sets, remedy = CASES[case]
    with pytest.raises(Refused) as refused:
        helm.render(sets=sets)
    assert remedy in str(refused.value)


def test_a_cluster_without_strimzi_is_told_what_to_install(helm: Helm) -> None:
    with pytest.raises(Refused, match="install Strimzi's operator first"):
        helm.render(apis=())


def test_a_cluster_without_strimzi_may_bring_its_own_kafka(helm: Helm) -> None:
    assert not helm.objects(profile="external", apis=()).of("Kafka")


@pytest.mark.parametrize(
    ("setting", "where"),
    [
        ("nope=1", "additional properties 'nope' not allowed"),
        ("api.replicaz=1", "at '/api'"),
        ("kafka.topic.partition=3", "at '/kafka/topic'"),
        ("logging.level=loud", "at '/logging/level'"),
        ("consumer.replicas=two", "at '/consumer/replicas'"),
        ("api.image.digest=sha256:1", "at '/api/image/digest'"),
        ("defaultProvider=Yahoo!", "at '/defaultProvider'"),
    ],
)
def test_a_value_that_is_not_one_is_refused_by_name(helm: Helm, setting: str, where: str) -> None:
    with pytest.raises(Refused) as refused:
        helm.render(sets=[setting])
    assert where in str(refused.value)


def test_the_subcharts_own_values_may_be_set(helm: Helm) -> None:
    assert "shared_buffers" in helm.render(
        sets=["postgresql.primary.extendedConfiguration=shared_buffers=1GB"]
    )
