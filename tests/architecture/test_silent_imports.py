"""Importing does nothing: no socket, no process, no thread, no file written, no setting read.

Everything is made in a `wiring.py`, when somebody asks; so a module can be imported by a test, a
tool or a type checker without a server in sight.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from support.servers import ROOT

_WATCH = '''
import importlib, os, sys, threading

OURS = tuple(sys.argv[1].split(":"))
module = sys.argv[2]
refused = []

def callers():
    frame = sys._getframe(2)
    while frame is not None:
        yield frame.f_code.co_filename
        frame = frame.f_back

def is_called_by_us():
    """Tell whether we called into it, however deep, rather than only imported what does it."""
    for name in callers():
        if name.startswith(OURS):
            return True
        if "importlib" in name:
            return False
    return False

def is_read_by_us():
    """Tell whether our own line reads it: what a library asks the environment is its business."""
    for name in callers():
        if name not in (os.__file__, "<frozen os>", "<frozen _collections_abc>", "<string>"):
            return name.startswith(OURS)
    return False

EFFECTS = ("socket.connect", "socket.bind", "subprocess.Popen", "os.fork", "os.posix_spawn", "os.mkdir")

def watch(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and bool(set(arguments[1]) & set("wax+"))
    if (event in EFFECTS or writes) and is_called_by_us():
        refused.append((event, str(arguments)[:200]))

class Watched(type(os.environ)):
    def __getitem__(self, key):
        if is_read_by_us():
            refused.append(("os.environ", key))
        return super().__getitem__(key)

sys.addaudithook(watch)
os.environ.__class__ = Watched
before = threading.active_count()
importlib.import_module(module)
if threading.active_count() != before:
    refused.append(("thread", [thread.name for thread in threading.enumerate()]))
print(refused)
sys.exit(bool(refused))
'''

SOURCES = sorted(
    [*ROOT.glob("libs/*/src"), *ROOT.glob("services/*/src"), *ROOT.glob("operator/src")],
)


def modules() -> list[str]:
    """Return every module that ships and can be imported by name."""
    found: list[str] = []
    for source in SOURCES:
        for file in sorted(source.rglob("*.py")):
            parts = file.relative_to(source).with_suffix("").parts
            if "migrations" not in parts:
                found.append(".".join(part for part in parts if part != "__init__"))
    return found


# In a few processes and not in one for each module: most of the time is Python's own start.
@pytest.mark.parametrize("package", sorted({name.split(".")[0] for name in modules()}))
def test_importing_does_nothing(package: str) -> None:
    names = [name for name in modules() if name.split(".")[0] == package]
    script = _WATCH.replace(
        "importlib.import_module(module)",
        "for name in module.split(','): importlib.import_module(name)",
    )

    done = subprocess.run(
        [sys.executable, "-c", script, ":".join(map(str, SOURCES)), ",".join(names)],
        capture_output=True, text=True, check=False, cwd=Path("/"),
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_watch_itself_sees(tmp_path: Path) -> None:
    module = tmp_path / "noisy.py"
    module.write_text("import os, socket\nos.environ.get('HOME')\nsocket.socket().bind(('127.0.0.1', 0))\n")

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _WATCH, str(tmp_path), "noisy"],
        capture_output=True, text=True, check=False, env={"PYTHONPATH": str(tmp_path), "HOME": "/"},
    )  # fmt: skip

    assert "os.environ" in done.stdout
    assert "socket.bind" in done.stdout
    assert done.returncode == 1
