"""Passwords change under a release that runs: no pod is restarted, and polling goes on."""

import secrets

import pytest

from support.releases import Release
from support.waiting import eventually

pytestmark = pytest.mark.cluster

# A mounted Secret is brought up to date when its pod is next looked at, which is once a minute or so.
SEEN_WITHIN_SECONDS = 180
_POSTGRES = """\
import os, psycopg2, sys
from pathlib import Path
connection = psycopg2.connect(
    host=os.environ["DB_HOST"], dbname=os.environ["DB_NAME"], user=os.environ["DB_USER"], password=sys.argv[1]
)
connection.autocommit = True
connection.cursor().execute(sys.argv[2])
"""
_REDIS = """\
import os, redis, sys
client = redis.Redis(host=os.environ["REDIS_HOST"], password=sys.argv[1], decode_responses=True)
print(client.execute_command(*sys.argv[2:]))
"""
_END_ALL = """\
select pg_terminate_backend(pid) from pg_stat_activity
where usename = current_user and pid <> pg_backend_pid()
"""


class Rotation:
    """The three services' passwords, before and after."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self.before = {name: release.secret(f"{release.name}-{name}") for name in ("postgresql", "redis")}
        self.postgres, self.redis, self.poller, self.consumer = (secrets.token_hex(16) for _ in range(4))
        self.files = (
            ("api", "postgres", self.postgres), ("poller", "postgres", self.postgres),
            ("consumer", "postgres", self.postgres), ("operator", "postgres", self.postgres),
            ("api", "redis", self.redis), ("consumer", "redis", self.redis),
            ("poller", "kafka", self.poller), ("consumer", "kafka", self.consumer),
        )  # fmt: skip

    def change(self) -> None:
        """Change the passwords at the services and in the Secrets."""
        release = self.release
        self.in_postgres(
            self.before["postgresql"]["password"], f"alter role current_user password '{self.postgres}'"
        )
        self.in_redis(self.before["redis"]["redis-password"], "CONFIG", "SET", "requirepass", self.redis)
        release.set_secret(f"{release.name}-postgresql", {"password": self.postgres})
        release.set_secret(f"{release.name}-redis", {"redis-password": self.redis})
        release.set_secret(
            f"{release.name}-market-data-kafka", {"poller": self.poller, "consumer": self.consumer}
        )
        # Strimzi looks at all users every few minutes, and at once at those whose Secret is touched.
        users = [f"secret/{release.name}-market-data-{role}" for role in ("poller", "consumer")]
        release.run("annotate", *users, "marketdata.dev/rotated=true")

    def has_arrived(self) -> bool:
        """Tell whether each pod's files, and Strimzi's users, have the new ones."""
        users = {
            role: self.release.secret(f"{self.release.name}-market-data-{role}")
            for role in ("poller", "consumer")
        }
        assert users["poller"]["password"] == self.poller
        assert users["consumer"]["password"] == self.consumer
        for component, service, password in self.files:
            told = self.release.in_each(component, "cat", f"/etc/market-data/{service}/password")
            assert set(told) == {password}, (component, service)
        return True

    def in_postgres(self, password: str, statement: str) -> None:
        self._in_api(_POSTGRES, password, statement)

    def in_redis(self, password: str, *command: str) -> str:
        return self._in_api(_REDIS, password, *command)

    def _in_api(self, code: str, *arguments: str) -> str:
        api = f"deploy/{self.release.name}-market-data-api"
        return self.release.run("exec", api, "--", "python", "-c", code, *arguments).strip()


def stored_grows(release: Release) -> bool:
    before = release.ledger()["counters"]["stored"]
    eventually(lambda: release.ledger()["counters"]["stored"] > before + 4, within=60, every=1)
    return True


def test_rotated_passwords_are_taken_while_prices_flow_and_no_pod_is_restarted(release: Release) -> None:
    job = release.poll("AMZN", "META")
    pods = release.starts()
    rotation = Rotation(release)
    # Each has a connection now that stands: a new one is refused until the new password has arrived.
    eventually(release.answers_from_each_pod, within=60, every=1)

    rotation.change()
    stored_grows(release)
    eventually(rotation.has_arrived, within=SEEN_WITHIN_SECONDS, every=5)
    # From here on nothing that stands is left: every connection is a new one, with the new password.
    rotation.in_postgres(rotation.postgres, _END_ALL)
    rotation.in_redis(rotation.redis, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    # Emptied after that, so that what is found there was written over new connections.
    rotation.in_redis(rotation.redis, "FLUSHALL")
    release.kill("strimzi.io/kind=Kafka")
    eventually(release.is_ready, within=120, every=2)
    eventually(lambda: stored_grows(release), within=120, every=1)

    # The consumers write there again: the cache is tried anew some time after the store.
    eventually(lambda: int(rotation.in_redis(rotation.redis, "DBSIZE")) > 0, within=30, every=1)
    eventually(lambda: release.source("/prices/latest?symbol=META") == "HIT", within=30, every=1)
    assert release.starts() == pods
    release.retire(job)
    release.settled()
