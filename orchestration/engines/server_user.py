"""In whose name the servers run: never root, whoever installs them."""

import fcntl
import grp
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestration.engines.errors import EngineError, HomeError
from orchestration.settings import Settings


@dataclass(frozen=True)
class ServerUser:
    """The OS user of the local servers.

    Attributes:
        name: login name.
        uid: user id.
        gid: id of the primary group, the only one a server keeps.
        drops: whether this process is root and has to change into that user.
    """

    name: str
    uid: int
    gid: int
    drops: bool

    @property
    def owner(self) -> tuple[int, int] | None:
        """Return (uid, gid) for files that root hands over, None when they are the user's already."""
        return (self.uid, self.gid) if self.drops else None

    def run(self, argv: Sequence[str | Path], *, cwd: Path, timeout: float) -> subprocess.CompletedProcess[str]:
        """Run a command as this user and return its result, with standard error in ``stdout``; never raises for it.

        The environment is a new one: a server must inherit neither PGDATA or PGPORT nor a DSN's password.

        Raises:
            subprocess.TimeoutExpired: after ``timeout`` seconds.
        """
        return subprocess.run(
            [os.fspath(part) for part in argv],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=cwd,
            timeout=timeout,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            umask=0o077,
            user=self.uid if self.drops else None,
            group=self.gid if self.drops else None,
            extra_groups=[] if self.drops else None,
        )


def resolve(settings: Settings) -> ServerUser:
    """Return the servers' user; as root, create ``CAPSTONE_OS_USER`` when it is missing.

    Data that is already there decides: its owner goes on owning it, whoever types the command.

    Raises:
        HomeError: the data belong to somebody else, and this process is not root.
        EngineError: the user cannot be created.
    """
    data = _data(settings.home)
    if os.geteuid() != 0:
        if data is not None and data.st_uid != os.geteuid():
            raise HomeError(
                f"the data in {settings.home} belong to uid {data.st_uid}: run as root or as that user, "
                "or set CAPSTONE_HOME"
            )
        return ServerUser(_name(os.geteuid()), os.geteuid(), os.getegid(), drops=False)
    if data is not None and data.st_uid:
        # A user that was removed still owns its files: what stops and removes them needs no more than the numbers.
        return ServerUser(_name(data.st_uid), data.st_uid, data.st_gid, drops=True)
    with _one_at_a_time():
        entry = _ensure_user(settings.os_user)
    if entry.pw_uid == 0:
        raise EngineError("CAPSTONE_OS_USER is root: PostgreSQL refuses to run as root, name another user")
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid, drops=True)


def _data(home: Path) -> os.stat_result | None:
    for data in [*home.glob("postgres/*/data"), *home.glob("redis/*/data")]:
        return data.stat()
    return None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Hold the directory of the users' file: the later of two `useradd` replaces the user.

    It looks whether there is such a user before it takes its own lock; the servers of whoever was first then belong to
    a user that is no more.
    """
    directory = os.open("/etc", os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _ensure_user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        pass
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if useradd is None:
        raise EngineError(f"OS user {name!r} does not exist and `useradd` is not installed: create the user")
    try:
        grp.getgrnam(name)
        group = ["--gid", name]
    except KeyError:
        group = ["--user-group"]
    result = subprocess.run(
        [
            useradd, "--system", *group, "--no-create-home", "--home-dir", "/nonexistent",
            "--shell", "/usr/sbin/nologin", name,
        ],
        check=False,
        capture_output=True,
        text=True,
    )  # fmt: skip
    try:
        # Somebody else may have made it: what counts is that it is there.
        return pwd.getpwnam(name)
    except KeyError:
        raise EngineError(f"OS user {name!r} cannot be created: {result.stderr.strip()}") from None
