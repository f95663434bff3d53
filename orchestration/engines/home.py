"""The state directory: what makes it one, who may enter it, and how it is removed."""

import errno
import hashlib
import os
import re
import shutil
import stat
from pathlib import Path

from orchestration.engines.atomic_file import write_atomically
from orchestration.engines.errors import HomeError
from orchestration.engines.server_user import ServerUser
from orchestration.settings import Settings

# `destroy` removes a whole tree: it must be one that the platform made, not whatever CAPSTONE_HOME happens to name.
MARKER = ".capstone-home"

# What the platform's own parts may have put into a new home before the engines first start.
OWN_ENTRIES = frozenset({MARKER, "dagster", "docs", "logs", "platform.json", "run", "up.lock", "lost+found"})

# The path stands in configuration files and in a command line that pg_ctl hands to a shell.
SAFE_PATH = re.compile(r"/[\w./ +@:=,~-]+")

# sun_path is 108 bytes with its final zero; ".s.PGSQL.65535.lock" is the longest name PostgreSQL makes, but only
# the socket itself is bound by the limit.
SOCKET_PATH_BYTES = 107
LONGEST_SOCKET_NAME = "/.s.PGSQL.65535"


def is_home(path: Path) -> bool:
    """Tell whether ``path`` is a state directory that the platform made."""
    return (path / MARKER).is_file()


def digest(path: Path) -> str:
    """Return 8 hexadecimal digits that tell this home's servers from another home's."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]


def prepare(settings: Settings) -> None:
    """Make the state directory if need be, and mark it.

    Raises:
        HomeError: it is somebody else's directory, lies where nothing can be written, or has an unusable name.
    """
    path = settings.home
    if not SAFE_PATH.fullmatch(str(path)):
        raise HomeError(
            f"CAPSTONE_HOME {str(path)!r} holds characters that a server's configuration cannot: "
            "use letters, digits, spaces and ./_+@:=,~-"
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
        if is_home(path):
            return
        foreign = sorted(entry.name for entry in path.iterdir() if entry.name not in OWN_ENTRIES)
        if foreign:
            raise HomeError(
                f"CAPSTONE_HOME {path} is not empty ({foreign[0]!r} is in it) and was not made by capstone: "
                "name a new or empty directory"
            )
        # Others may pass through (the servers' own user has to) but not look around.
        path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        write_atomically(path / MARKER, "State directory of a capstone platform; see `capstone down --destroy`.\n")
    except FileExistsError:
        raise HomeError(f"CAPSTONE_HOME {path} is not a directory: name another") from None
    except PermissionError as error:
        raise HomeError(
            f"CAPSTONE_HOME {path} cannot be written by this user ({error.filename}): "
            "run as its owner, or set CAPSTONE_HOME to a directory of yours"
        ) from None
    except OSError as error:
        raise HomeError(f"CAPSTONE_HOME {path} cannot be made: {error.strerror}") from None


def check_access(path: Path, user: ServerUser) -> None:
    """Fail when the servers' user cannot reach ``path``.

    Raises:
        HomeError: names the first directory on the way that keeps the user out.
    """
    if not user.drops:
        return
    for directory in [*reversed(path.parents), path]:
        if not _may_enter(directory, user):
            raise HomeError(
                f"the servers run as OS user {user.name!r}, which may not enter {directory}: "
                "set CAPSTONE_HOME to a directory that it can reach, such as /var/lib/capstone"
            )


def _may_enter(directory: Path, user: ServerUser) -> bool:
    information = directory.stat()
    if information.st_uid == user.uid:
        return bool(information.st_mode & stat.S_IXUSR)
    if information.st_gid == user.gid:
        return bool(information.st_mode & stat.S_IXGRP)
    return bool(information.st_mode & stat.S_IXOTH)


def passage(path: Path) -> Path:
    """Make a directory that the servers' user may pass through and not change, whatever the umask is."""
    path.mkdir(parents=True, exist_ok=True)
    if stat.S_IMODE(path.stat().st_mode) != 0o711:
        path.chmod(0o711)
    return path


def own_directory(path: Path, user: ServerUser, mode: int) -> Path:
    """Make a directory that belongs to the servers' user; its parent does not, so nobody can swap it for a link.

    The parent exists: a passage, or the home itself.
    """
    path.mkdir(mode=mode, exist_ok=True)
    if user.drops:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)
    if stat.S_IMODE(path.stat().st_mode) != mode:
        path.chmod(mode)
    return path


def sockets_path(settings: Settings) -> Path:
    """Return the directory for Unix sockets: in the home, or somewhere short when the home lies too deep."""
    inside = settings.home / "sockets"
    if len(os.fsencode(inside)) + len(LONGEST_SOCKET_NAME) <= SOCKET_PATH_BYTES:
        return inside
    return Path("/tmp") / f"capstone-{digest(settings.home)}"  # noqa: S108 -- ownership is checked in sockets_directory


def sockets_directory(settings: Settings, user: ServerUser) -> Path:
    """Make the directory for Unix sockets and return it.

    Raises:
        HomeError: the short directory in /tmp belongs to somebody else.
    """
    path = sockets_path(settings)
    if path.parent != settings.home and path.is_symlink():
        raise HomeError(f"{path} is a link, not the directory for this platform's sockets: remove it")
    if path.parent != settings.home and path.exists() and path.lstat().st_uid not in {user.uid, os.geteuid()}:
        raise HomeError(f"{path} belongs to uid {path.lstat().st_uid}: remove it, or use a shorter CAPSTONE_HOME")
    return own_directory(path, user, 0o755)


def remove(settings: Settings) -> None:
    """Remove the state directory with all that is in it. The servers have been stopped.

    Raises:
        HomeError: the directory was not made by capstone.
    """
    path = settings.home
    if not is_home(path):
        raise HomeError(f"{path} was not made by capstone ({MARKER} is missing): nothing was removed")
    sockets = sockets_path(settings)
    if sockets.parent != path and sockets.is_dir() and not sockets.is_symlink():
        shutil.rmtree(sockets)
    # The marker goes last: a removal that was interrupted can be repeated.
    for entry in path.iterdir():
        if entry.name == MARKER:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    (path / MARKER).unlink()
    try:
        path.rmdir()
    except OSError as error:
        # A mount point, or a directory whose parent is not ours, stays behind empty.
        if error.errno not in {errno.EBUSY, errno.EACCES, errno.EPERM}:
            raise
