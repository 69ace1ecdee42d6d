"""Every numbered effect of a service is reported by it, and a test kills the process there."""

import ast
import re
from enum import StrEnum

import pytest

from marketdata_consumer import steps as consumer_steps
from marketdata_operator import steps as operator_steps
from marketdata_poller import steps as poller_steps
from support.servers import ROOT

STEPS = [
    (module.__name__.split(".")[0], step)
    for module in (poller_steps, consumer_steps, operator_steps)
    for enumeration in vars(module).values()
    if isinstance(enumeration, type) and issubclass(enumeration, StrEnum) and enumeration is not StrEnum
    for step in enumeration
]


def _crash_cases() -> tuple[set[tuple[str, str]], set[str]]:
    """Return the steps that crash tests name one by one, and the enumerations that they go through."""
    members: set[tuple[str, str]] = set()
    whole: set[str] = set()
    for path in (ROOT / "tests" / "component").rglob("*.py"):
        if "crash_at" not in (text := path.read_text()):
            continue
        tree = ast.parse(text)
        named = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        owners = {id(node.value) for node in named}
        members |= {(node.value.id, node.attr) for node in named if isinstance(node.value, ast.Name)}
        annotations = {
            id(part)
            for node in ast.walk(tree)
            if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None
            for part in ast.walk(node.annotation)
        }
        whole |= {
            node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and id(node) not in owners | annotations
        }
    return members, whole


def _source(package: str) -> str:
    (folder,) = (*ROOT.glob(f"services/*/src/{package}"), *ROOT.glob(f"operator/src/{package}"))
    files = [path for path in folder.rglob("*.py") if path.name != "steps.py"]
    return "\n".join(path.read_text() for path in files)


@pytest.mark.parametrize(("package", "step"), STEPS, ids=str)
def test_a_step_is_reported_by_its_service(package: str, step: StrEnum) -> None:
    assert re.search(rf"on_step\(\s*{type(step).__name__}\.{step.name}\b", _source(package))


@pytest.mark.parametrize(("package", "step"), STEPS, ids=str)
def test_a_test_kills_the_process_at_the_step(package: str, step: StrEnum) -> None:
    members, whole = _crash_cases()
    enumeration = type(step).__name__

    assert enumeration in whole or (enumeration, step.name) in members, (
        f"{package} is never killed at {step!r}"
    )


def test_no_two_steps_share_a_name() -> None:
    names = [(package, str(step)) for package, step in STEPS]

    assert len(set(names)) == len(names)
