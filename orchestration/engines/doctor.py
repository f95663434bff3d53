"""What keeps the platform from running on this machine, and the command that mends each of it.

Looks only: nothing is created, started or changed. A finding never holds a password.
"""

import locale
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import psycopg

from orchestration.analysis.configuration import ConfigurationError, read_configuration
from orchestration.cells import endpoints, routing
from orchestration.cells.regions import CELLS, CLUSTERS
from orchestration.engines import home, ports, probe, processes
from orchestration.engines.binaries import installed_postgres
from orchestration.engines.errors import EngineError, HomeError
from orchestration.engines.install import python_environment, system_servers
from orchestration.engines.install.debian_packages import RELEASES
from orchestration.engines.install.machine import this_machine
from orchestration.engines.install.wanted_servers import WantedServers, wanted_servers
from orchestration.engines.local import LocalEngines
from orchestration.engines.server_user import ServerUser
from orchestration.settings import PROJECT_ROOT, Scale, Settings, SettingsError, get_settings

GIB = 1024**3

# Events take 316 bytes with their indexes, marts and rollups as much again, and each of four clusters may keep 1 GB
# of write-ahead log; at scale small that log is most of it.
DISK_GIB: dict[Scale, float] = {"small": 6, "medium": 14, "large": 45}

# Servers and Dagster take 1.5 GB when idle, three runs at once 1 GB, sorting and the kernel's cache the rest.
MEMORY_GIB = 3.5

# A parallel query of PostgreSQL shares its hash tables there; 64 MB, as containers have it, is too little for two.
SHARED_MEMORY_MIB = 128

# What `initdb` is given; without it there is no cluster.
SERVER_LOCALE = "C.UTF-8"

INSTALL = "make install"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what, in a word or two.
        ok: whether the platform can run with it as it is.
        detail: what was found.
        mend: a command, or what to do; empty when there is nothing to mend.
    """

    name: str
    ok: bool
    detail: str
    mend: str = ""


Check = Callable[[Settings, WantedServers], list[Finding]]


def diagnose(settings: Settings | None = None) -> list[Finding]:
    """Return a finding for everything the platform needs, what is in order included.

    Args:
        settings: of the platform; read from the environment when None, where a mistake is a finding too.
    """
    findings = [_python(), *_environment()]
    if settings is None:
        try:
            settings = get_settings()
        except SettingsError as error:
            return [*findings, Finding("settings", ok=False, detail=str(error), mend="correct these variables")]
    findings.append(Finding("settings", ok=True, detail=f"home {settings.home}"))
    wanted = _wanted(settings)
    for check in CHECKS:
        try:
            findings += check(settings, wanted)
        except OSError as error:
            # A check that cannot look has found nothing in order.
            name = check.__name__.strip("_").replace("_", " ")
            findings.append(Finding(name, ok=False, detail=f"cannot be examined: {error.filename}: {error.strerror}"))
    return [replace(finding, mend="") if finding.ok else finding for finding in findings]


def _wanted(settings: Settings) -> WantedServers:
    names = [f"dsn_{cluster}" for cluster in CLUSTERS] + [f"redis_url_{cell}" for cell in CELLS]
    given = {f"CAPSTONE_{name.upper()}": "set" for name in names if getattr(settings, name) is not None}
    return wanted_servers(given)


def _python() -> Finding:
    version = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    suits = python_environment.OLDEST_PYTHON <= sys.version_info[:2] < python_environment.FIRST_UNSUPPORTED_PYTHON
    return Finding("Python", ok=suits, detail=version, mend="install Python 3.11, 3.12 or 3.13, then `make install`")


def _environment() -> list[Finding]:
    if not (PROJECT_ROOT / "uv.lock").is_file():
        return [Finding("Python packages", ok=True, detail="not a checkout: installed as a package")]
    works = python_environment.plan(PROJECT_ROOT)
    detail = "; ".join(f"to do: {work.title}" for work in works) or "as in uv.lock"
    return [Finding("Python packages", ok=not works, detail=detail, mend=INSTALL)]


def _postgres(_: Settings, wanted: WantedServers) -> list[Finding]:
    if not wanted.postgres:
        return []
    installed = [major for major in sorted(installed_postgres()) if major >= system_servers.OLDEST_POSTGRES]
    there = (
        f"PostgreSQL {', '.join(map(str, installed))}" if installed else "none of 15 or newer in /usr/lib/postgresql"
    )
    usable = system_servers.usable_postgres()
    library = (
        f"{usable[1]}, for PostgreSQL {usable[0].major}" if usable is not None else "for none of these PostgreSQLs"
    )
    return [
        Finding("PostgreSQL", ok=bool(installed), detail=there, mend=INSTALL),
        Finding("TimescaleDB", ok=usable is not None, detail=library, mend=INSTALL),
    ]


def _redis(_: Settings, wanted: WantedServers) -> list[Finding]:
    if not wanted.redis:
        return []
    program = shutil.which("redis-server")
    if program is None:
        return [Finding("Redis", ok=False, detail="no redis-server on PATH", mend=INSTALL)]
    answer = subprocess.run([program, "--version"], check=False, capture_output=True, text=True)
    version = next((word[2:] for word in answer.stdout.split() if word.startswith("v=")), "")
    detail = f"{version}, {program}" if version else f"{program} does not run: {answer.stderr.strip()}"
    return [Finding("Redis", ok=bool(version), detail=detail, mend="apt-get install --reinstall redis-server")]


def _system(_: Settings, wanted: WantedServers) -> list[Finding]:
    machine = this_machine()
    if not (wanted.postgres or wanted.redis):
        return [Finding("system", ok=True, detail=f"{machine.name}; servers run elsewhere")]
    if machine.distribution == "debian" and machine.version in RELEASES:
        apt = shutil.which("apt-get")
        return [Finding("system", ok=apt is not None, detail=f"{machine.name}, {apt or 'without apt-get'}",
                        mend="install the servers by hand, see docker-compose.yml for another way")]  # fmt: skip
    # Not a fault as long as the servers are there: their own findings say.
    return [Finding("system", ok=True, detail=f"{machine.name}: set-up cannot install servers here")]


def _locale(_: Settings, wanted: WantedServers) -> list[Finding]:
    if not wanted.postgres:
        return []
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, SERVER_LOCALE)
    except locale.Error:
        return [Finding("locale", ok=False, detail=f"{SERVER_LOCALE} is missing", mend="apt-get install libc-bin")]
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    return [Finding("locale", ok=True, detail=SERVER_LOCALE)]


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


def _disk(settings: Settings, _: WantedServers) -> list[Finding]:
    place = _existing(settings.home)
    free = shutil.disk_usage(place).free / GIB
    scale = settings.scale or "small"
    used = home.is_home(settings.home) and (settings.home / "platform.json").exists()
    # A home that is filled needs room to breathe; one that is not, room for all of it.
    needed = 1.0 if used else DISK_GIB[scale]
    detail = f"{free:.1f} GiB free at {place}; {needed:.0f} GiB wanted" + ("" if used else f" for scale {scale}")
    return [Finding("disk", ok=free >= needed, detail=detail, mend="free some, or set CAPSTONE_HOME to a larger disk")]


def _memory(_: Settings, _wanted_servers: WantedServers) -> list[Finding]:
    memory = psutil.virtual_memory()
    total, available = memory.total / GIB, memory.available / GIB
    detail = f"{total:.1f} GiB, {available:.1f} GiB of it available; {MEMORY_GIB} GiB wanted"
    mend = "a larger machine, or servers elsewhere by CAPSTONE_DSN_*"
    return [Finding("memory", ok=total >= MEMORY_GIB, detail=detail, mend=mend)]


def _shared_memory(_: Settings, wanted: WantedServers) -> list[Finding]:
    place = Path("/dev/shm")  # noqa: S108 -- looked at, not written to
    if not wanted.postgres or not sys.platform.startswith("linux"):
        return []
    if not place.is_dir():
        return [Finding("shared memory", ok=False, detail=f"{place} is missing", mend=f"mount -t tmpfs tmpfs {place}")]
    size = shutil.disk_usage(place).total / 1024**2
    mend = f"mount -o remount,size=512m {place}; in Docker: --shm-size=512m"
    return [Finding("shared memory", ok=size >= SHARED_MEMORY_MIB, detail=f"{size:.0f} MiB at {place}", mend=mend)]


def _home(settings: Settings, wanted: WantedServers) -> list[Finding]:
    place = _existing(settings.home)
    mend = "set CAPSTONE_HOME to a directory of yours outside the checkout"
    if not place.is_dir():
        return [Finding("home", ok=False, detail=f"{place} is not a directory", mend=mend)]
    if not os.access(place, os.W_OK | os.X_OK):
        return [Finding("home", ok=False, detail=f"{place} cannot be written by this user", mend=mend)]
    findings = [
        Finding("home", ok=True, detail=f"{settings.home}" + ("" if place == settings.home else ", to be made"))
    ]
    if os.geteuid() == 0 and (wanted.postgres or wanted.redis):
        findings.append(_server_user(settings, place))
    return findings


def _server_user(settings: Settings, place: Path) -> Finding:
    name = "servers' user"
    try:
        entry = pwd.getpwnam(settings.os_user)
        user, there = ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid, drops=True), "exists"
    except KeyError:
        # Nobody's numbers: what the user that is to be made may enter is what anybody may.
        user, there = ServerUser(settings.os_user, 65534, 65534, drops=True), "is made at first start"
    if user.uid == 0:
        return Finding(name, ok=False, detail="CAPSTONE_OS_USER is root", mend="name another user in CAPSTONE_OS_USER")
    try:
        home.check_access(place, user)
    except HomeError as error:
        return Finding(name, ok=False, detail=str(error), mend="set CAPSTONE_HOME to a directory it can enter")
    return Finding(name, ok=True, detail=f"{settings.os_user} {there} and can enter {place}")


def _ports(settings: Settings, wanted: WantedServers) -> list[Finding]:
    base = ports.recorded_base(settings)
    if base is None:
        if settings.port_base is None:
            return [Finding("ports", ok=True, detail="a free block is chosen at first start")]
        block = {name: settings.port_base + offset for name, offset in endpoints.PORT_OFFSETS.items()}
        own: set[str] = set()
    else:
        block = {name: base + offset for name, offset in endpoints.PORT_OFFSETS.items()}
        own = {f"{status.kind}_{status.name}" for status in LocalEngines(settings).status() if status.pid is not None}
        own |= {status.name for status in processes.status(settings) if status.state == "running"}
    elsewhere = {name for name in block if _is_elsewhere(name, wanted)}
    taken = [name for name, port in block.items() if name not in own | elsewhere and not ports.is_free(port)]
    if taken:
        detail = "; ".join(f"{block[name]} of {name} is taken by {ports.holder(block[name])}" for name in taken)
        return [Finding("ports", ok=False, detail=detail, mend="stop that process, or use another CAPSTONE_PORT_BASE")]
    return [Finding("ports", ok=True, detail=f"{min(block.values())} to {max(block.values())}, {len(own)} in use")]


def _is_elsewhere(name: str, wanted: WantedServers) -> bool:
    return (name.startswith("postgres") and not wanted.postgres) or (name.startswith("redis") and not wanted.redis)


def _funnels_and_cohorts(_: Settings, _wanted_servers: WantedServers) -> list[Finding]:
    name = "funnels and cohorts"
    try:
        configured = read_configuration()
    except ConfigurationError as error:
        return [Finding(name, ok=False, detail=str(error), mend="correct these lines; docs/analysis.md has examples")]
    detail = f"{len(configured.funnels)} funnels and {len(configured.cohorts)} cohorts configured"
    return [Finding(name, ok=True, detail=detail)]


def _databases(settings: Settings, _: WantedServers) -> list[Finding]:
    findings = []
    for cluster in CLUSTERS:
        if getattr(settings, f"dsn_{cluster}") is None:
            continue
        name = f"CAPSTONE_DSN_{cluster.upper()}"
        mend = f"check the server and {name}"
        try:
            facts = probe.ask_postgres(cluster, settings)
        except (routing.CellUnavailableError, endpoints.EndpointError) as error:
            findings.append(Finding(name, ok=False, detail=str(error), mend=mend))
        except (psycopg.Error, ValueError):
            # Drivers quote what they cannot parse, password included.
            findings.append(Finding(name, ok=False, detail="not a usable URL", mend=mend))
        else:
            edition = f", TimescaleDB edition {facts.edition}" if facts.edition else ""
            findings.append(Finding(name, ok=True, detail=f"PostgreSQL {facts.version}{edition}"))
    return findings


def _caches(settings: Settings, _: WantedServers) -> list[Finding]:
    findings = []
    for cell in CELLS:
        if getattr(settings, f"redis_url_{cell}") is None:
            continue
        name = f"CAPSTONE_REDIS_URL_{cell.upper()}"
        try:
            findings.append(Finding(name, ok=True, detail=f"Redis {probe.ask_redis(cell, settings)}"))
        except EngineError as error:
            findings.append(Finding(name, ok=False, detail=str(error), mend=f"check the server and {name}"))
    return findings


CHECKS: tuple[Check, ...] = (
    _system,
    _postgres,
    _redis,
    _locale,
    _disk,
    _memory,
    _shared_memory,
    _home,
    _ports,
    _funnels_and_cohorts,
    _databases,
    _caches,
)
