"""A client within the cluster that asks the API without a pause, and remembers all that it was told."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from support.pods import restricted
from support.releases import Release
from support.waiting import eventually

# Each time over a new connection, as clients behind a load balancer do, until it is told to stop.
_ASK_AND_ASK = """\
import json, signal, sys, time, urllib.request
url, pause, asked, wrong, told, stop = sys.argv[1], float(sys.argv[2]), 0, [], {}, []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
print("asking", flush=True)
first = time.monotonic()
while not stop:
    began = time.time()
    asked += 1
    try:
        price = json.loads(urllib.request.urlopen(url, timeout=10).read())
        told[price["raw_response_id"]] = [price["timestamp"], price["price"]]
    except Exception as error:
        wrong.append(f"{began:.1f} {type(error).__name__}: {error}")
    time.sleep(pause)
seconds = time.monotonic() - first
print(json.dumps({"asked": asked, "seconds": seconds, "wrong": wrong, "told": told}), flush=True)
signal.pause()  # until the pod is deleted: with this process would end the command that told it to stop
"""
_NAME = "asking"


@dataclass
class Told:
    """What the client saw; filled when it has ended."""

    asked: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    prices: dict[str, list[str]] = field(default_factory=dict)  # time and price by raw answer

    @property
    def per_second(self) -> float:
        return self.asked / self.seconds


@contextmanager
def asking(release: Release, symbol: str, *, pause: float = 0.05) -> Iterator[Told]:
    """Ask for the latest price of `symbol` within the block, `pause` seconds between two requests."""
    api = release.get("deployment", f"{release.name}-market-data-api")["spec"]["template"]["spec"]
    url = f"http://{release.name}-market-data-api/prices/latest?symbol={symbol}"
    command = ["python", "-u", "-c", _ASK_AND_ASK, url, str(pause)]
    release.apply(restricted(_NAME, api["containers"][0]["image"], command=command))
    told = Told()
    try:
        eventually(lambda: "asking" in release.run("logs", _NAME), within=60, every=1)
        yield told
        release.run("exec", _NAME, "--", "python", "-c", "import os; os.kill(1, 15)")
        seen = eventually(lambda: _seen(release), within=30, every=0.5)
        told.asked, told.seconds = seen["asked"], seen["seconds"]
        told.wrong, told.prices = seen["wrong"], seen["told"]
    finally:
        release.run("delete", "pod", _NAME, "--grace-period=1")


def _seen(release: Release) -> dict[str, Any]:
    """Return what the client printed at its end; an AssertionError while that is not there, or not whole."""
    last = release.run("logs", _NAME).strip().rpartition("\n")[2]
    try:
        return dict(json.loads(last))
    except ValueError:
        raise AssertionError(f"the client has not ended: {last[:80]}") from None
