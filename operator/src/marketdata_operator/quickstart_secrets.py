"""Makes the passwords of the quick start's bundled services, each once.

A Secret that exists is left as it is, whatever is in it: volumes remember the password they were
made with. The one right needed is to create Secrets; nothing is read.

    python -m marketdata_operator.quickstart_secrets NAMESPACE NAME=KEY[,KEY…] …
"""

import argparse
import secrets
import sys
import threading
from collections.abc import Sequence
from typing import NamedTuple

import httpx2
from lightkube import ApiError, Client
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta

from marketdata.clock import Clock, SystemClock
from marketdata.errors import Misconfigured
from marketdata_operator.connection import connection
from marketdata_operator.resource import FIELD_MANAGER

_BYTES = 24  # 192 bits
_PAUSE_SECONDS = 2.0
_TRIES = 5

_Secrets = create_namespaced_resource("", "v1", "Secret", "secrets", verbs=["post"])


class Wanted(NamedTuple):
    """A Secret and its keys, each of which gets a password of its own."""

    name: str
    keys: tuple[str, ...]


def wanted(text: str) -> Wanted:
    """Return what `NAME=KEY,KEY` asks for; raises ValueError."""
    name, _, keys = text.partition("=")
    named = tuple(key for each in keys.split(",") if (key := each.strip()))
    if not name or not named:
        raise ValueError(f"{text!r} is not NAME=KEY[,KEY…]")
    return Wanted(name, named)


def create(client: Client, namespace: str, secret: Wanted) -> bool:
    """Create `secret` and return True; False if it exists. Raises ApiError."""
    document = _Secrets(
        apiVersion="v1",
        kind="Secret",
        metadata=ObjectMeta(
            name=secret.name,
            namespace=namespace,
            labels={
                "app.kubernetes.io/part-of": "market-data",
                "app.kubernetes.io/managed-by": FIELD_MANAGER,
            },
        ),
        type="Opaque",
        stringData={key: secrets.token_urlsafe(_BYTES) for key in secret.keys},
    )
    try:
        client.create(document, namespace=namespace)
    except ApiError as error:
        if error.status.code == 409:
            return False
        raise
    return True


def main(argv: Sequence[str] | None = None, *, clock: Clock | None = None) -> int:
    """Return 0 when all exist, 1 with one sentence on standard error otherwise."""
    parser = argparse.ArgumentParser(
        prog="python -m marketdata_operator.quickstart_secrets", description=__doc__
    )
    parser.add_argument("namespace")
    parser.add_argument("secrets", nargs="+", type=wanted, metavar="NAME=KEY[,KEY…]")
    asked = parser.parse_args(argv)
    waiting, never = clock or SystemClock(), threading.Event()
    try:
        client = Client(connection(), field_manager=FIELD_MANAGER, trust_env=False)
    except Misconfigured as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for secret in asked.secrets:
        for left in reversed(range(_TRIES)):
            try:
                is_new = create(client, asked.namespace, secret)
            except (ApiError, httpx2.HTTPError) as error:
                # A role that was bound a moment ago may not be known to the API server yet.
                if not left:
                    sys.stderr.write(f"the Secret {secret.name} cannot be made: {error}\n")
                    return 1
                waiting.wait(_PAUSE_SECONDS, never)
            else:
                sys.stdout.write(f"{secret.name} {'made' if is_new else 'is there, left as it is'}\n")
                break
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
