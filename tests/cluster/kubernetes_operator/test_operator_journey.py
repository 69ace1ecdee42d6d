"""A user's way through kubectl, with the operator on a real API server and no more rights than it needs."""

import re

import pytest

from marketdata_operator.reporter import LONGEST_PAUSE_SECONDS
from support.real_kubernetes import a_manifest
from support.servers import ROOT
from support.slowness import slowness
from support.waiting import eventually

pytestmark = pytest.mark.cluster

AT_ONCE = 2.0  # on a machine that is free
SHOWN = LONGEST_PAUSE_SECONDS + 30  # ends a hang: after a slow look at the rows the reporter rests that long
SEED = {"symbols": ["AAPL", "MSFT"], "interval": "1h", "provider": "synthetic"}


def test_samples_become_jobs_that_kubectl_waits_for_and_describes(world):
    world.watching_operator()
    world.place.kubectl("apply", "-f", str(ROOT / "k8s" / "samples"))
    eventually(lambda: len(world.rows()) == 3, within=AT_ONCE * slowness())
    world.serve()
    world.place.kubectl("wait", "--for=condition=Ready", "pj", "--all", f"--timeout={SHOWN:.0f}s")
    world.place.kubectl("apply", "-f", str(ROOT / "k8s" / "examples" / "suspended.yaml"))
    eventually(lambda: world.place.condition("crypto") == ("False", "Suspended"), within=SHOWN)

    narrow = world.place.kubectl("get", "pj")
    wide = world.place.kubectl("get", "pj", "-o", "wide")
    assert narrow.splitlines()[0].split("  ")[0] == "NAME"
    assert re.search(r"^watchlist +8 +synthetic +5s +false +True +Polling +\S+ +\S+$", narrow, re.MULTILINE)
    assert re.search(r"^crypto +2 +synthetic +30s +true +False +Suspended ", narrow, re.MULTILINE)
    assert re.search(
        r"^NAME .*READY +REASON +LAST SUCCESS +FAILURES +NEXT +PROMISE KEPT +MESSAGE +AGE$",
        wide,
        re.MULTILINE,
    )
    assert re.search(r"^indices .* all 4 symbols are current ", wide, re.MULTILINE)
    # An event follows the status that it is of.
    eventually(lambda: sorted(told_of(world.place, "watchlist")) == ["Polling", "Valid"], within=SHOWN)


def told_of(place, name):
    """Return the reasons of the operator's events as `kubectl describe` shows them."""
    described = place.kubectl("describe", "pj", name)
    return [line.split()[1] for line in described.split("Events:")[1].splitlines() if "data-operator" in line]


def test_what_users_do_acts_at_once(world):
    world.watching_operator()
    world.place.apply("tech", SEED)
    eventually(lambda: world.rows().get("tech"), within=AT_ONCE * slowness())
    world.serve()

    world.place.patch("tech", suspend=True)
    eventually(lambda: world.rows()["tech"].suspended, within=AT_ONCE * slowness())
    world.place.patch("tech", suspend=False, interval="5m")
    eventually(lambda: not world.rows()["tech"].suspended, within=AT_ONCE * slowness())
    assert (world.rows()["tech"].interval_seconds, world.rows()["tech"].is_due) == (300, True)

    world.execute("update polling_schedule set due_at = now() + interval '1 hour'")
    world.place.kubectl("annotate", "pj", "tech", "marketdata.dev/poll-now=1")
    eventually(lambda: world.rows()["tech"].is_due, within=AT_ONCE * slowness())

    world.place.patch("tech", provider="bloomberg")
    world.place.kubectl("wait", "--for=condition=Accepted=false", "pj/tech", f"--timeout={SHOWN:.0f}s")
    assert world.place.condition("tech") == ("False", "UnknownProvider")
    world.place.delete("tech")
    eventually(lambda: not world.rows(), within=AT_ONCE * slowness())


def test_deleting_many_acts_at_once_and_hangs_on_nothing(world):
    world.watching_operator()
    world.place.apply_all(*(a_manifest(f"job-{number:02}", SEED) for number in range(60)))
    eventually(lambda: len(world.rows()) == 60, within=20)
    world.place.delete()

    eventually(lambda: not world.rows(), within=2 * AT_ONCE * slowness())
