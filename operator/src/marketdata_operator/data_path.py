"""Proves an installed release by using it, as `helm test` does.

Makes a job for one symbol of the synthetic provider, waits until it is ready, reads its price from
the API, deletes the job and sees it gone. With `--namespace` the job is a PollingJob, else it goes
over REST. Needs nothing from the internet, leaves nothing behind but prices.

    python -m marketdata_operator.data_path http://market-data-api --namespace market-data
"""

import argparse
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx2
from lightkube import ApiError, Client
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta

from marketdata.clock import Clock, SystemClock
from marketdata.errors import Misconfigured
from marketdata_operator.connection import connection
from marketdata_operator.resource import API_VERSION, FIELD_MANAGER, GROUP, KIND, PLURAL, VERSION

_PROVIDER = "synthetic"
_PAUSE_SECONDS = 0.5

_PollingJobs = create_namespaced_resource(GROUP, VERSION, KIND, PLURAL)
Found = TypeVar("Found")


class Failed(Exception):
    """A step did not come true in time; the message says which, and what was seen last."""


class Trial:
    """One run through the release."""

    def __init__(self, *, api: httpx2.Client, symbol: str, within_seconds: float, clock: Clock) -> None:
        self._api = api
        self._symbol = symbol
        self._within = within_seconds
        self._clock = clock
        self._never = threading.Event()

    def over_kubernetes(self, client: Client, namespace: str) -> None:
        """Try a PollingJob; raises Failed."""
        name = f"helm-test-{uuid4().hex[:8]}"
        spec = {"symbols": [self._symbol], "provider": _PROVIDER, "interval": "1s"}
        job = _PollingJobs(apiVersion=API_VERSION, kind=KIND, metadata=ObjectMeta(name=name), spec=spec)
        try:
            # 1. The object is the only thing made; whatever fails from here on, it is deleted.
            self._until("the PollingJob is made", lambda: _made(client, job, namespace))
            status = self._until("the PollingJob is Ready", lambda: _ready(client, name, namespace))
            self._price_arrives()
        finally:
            # 2. Deleted: the operator forgets the job, and REST no longer shows it.
            with suppress(ApiError):
                client.delete(_PollingJobs, name, namespace=namespace)
        self._until("the job is gone", lambda: self._is_gone(status["jobID"]))

    def over_rest(self) -> None:
        """Try a job made by POST; raises Failed."""
        made = self._api.post(
            "/prices/poll", json={"symbols": [self._symbol], "provider": _PROVIDER, "interval": 1}
        )
        if made.status_code != 202:
            raise Failed(f"POST /prices/poll answered {made.status_code}: {made.text[:200]}")
        job = made.json()["job_id"]
        try:
            self._price_arrives()
        finally:
            self._api.delete(f"/prices/poll/{job}")
        self._until("the job is gone", lambda: self._is_gone(job))

    def _price_arrives(self) -> None:
        def price() -> str | None:
            answer = self._api.get("/prices/latest", params={"symbol": self._symbol, "provider": _PROVIDER})
            return str(answer.json()["price"]) if answer.status_code == 200 else None

        told = self._until("the API answers with a price", price)
        sys.stdout.write(f"{self._symbol} is at {told}\n")

    def _is_gone(self, job: str) -> bool:
        return self._api.get(f"/prices/poll/{job}").status_code == 404

    def _until(self, what: str, look: Callable[[], Found | None]) -> Found:
        deadline = self._clock.monotonic() + self._within
        while True:
            seen: object = None
            try:
                seen = found = look()
                if found:
                    sys.stdout.write(f"ok: {what}\n")
                    return found
            except (httpx2.HTTPError, ApiError) as error:
                seen = error
            if self._clock.monotonic() > deadline:
                raise Failed(f"not within {self._within:g} s: {what} (last: {seen})")
            self._clock.wait(_PAUSE_SECONDS, self._never)


def _made(client: Client, job: Any, namespace: str) -> bool:
    """Make the object; raises ApiError where trying again may help, Failed where it cannot."""
    try:
        client.create(job, namespace=namespace)
    except ApiError as error:
        code = error.status.code or 0
        # A role that was bound a moment ago may not be known to the API server yet.
        if code in {HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS} or code >= 500:
            raise
        if code != HTTPStatus.CONFLICT:  # that of a try whose answer was lost
            raise Failed(f"the PollingJob cannot be made: {error}") from error
    return True


def _ready(client: Client, name: str, namespace: str) -> dict[str, Any] | None:
    status: dict[str, Any] = client.get(_PollingJobs, name, namespace=namespace).get("status") or {}
    conditions = status.get("conditions") or []
    return (
        status if any(each["type"] == "Ready" and each["status"] == "True" for each in conditions) else None
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 when all came true, 1 with the step that did not on standard error."""
    parser = argparse.ArgumentParser(prog="python -m marketdata_operator.data_path", description=__doc__)
    parser.add_argument("url", help="where the API is")
    parser.add_argument("--symbol", default="HELMTEST")
    parser.add_argument("--within", type=float, default=90.0, metavar="SECONDS", help="for each step")
    parser.add_argument("--namespace", help="use a PollingJob here; without it, REST")
    parser.add_argument("--key-file", type=Path, help="an API key of the scopes prices:read and jobs:write")
    asked = parser.parse_args(argv)
    headers = {"x-api-key": asked.key_file.read_text().strip()} if asked.key_file else {}
    try:
        with httpx2.Client(base_url=asked.url, headers=headers, timeout=10, trust_env=False) as api:
            trial = Trial(api=api, symbol=asked.symbol, within_seconds=asked.within, clock=SystemClock())
            if asked.namespace:
                client = Client(connection(), field_manager=FIELD_MANAGER, trust_env=False)
                trial.over_kubernetes(client, asked.namespace)
            else:
                trial.over_rest()
    except (Failed, Misconfigured, ApiError, httpx2.HTTPError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
