"""What has to be installed on the machine itself, as root: which packages, and TimescaleDB from source or not."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestration.engines.binaries import PostgresBinaries, installed_postgres
from orchestration.engines.install import debian_packages, service_guard, timescaledb_source
from orchestration.engines.install.debian_packages import RELEASES, Release
from orchestration.engines.install.errors import StepFailedError, UnsupportedMachineError
from orchestration.engines.install.machine import Machine
from orchestration.engines.install.progress import Progress, StepLog
from orchestration.engines.install.wanted_servers import WantedServers

# Publications with a row filter came with 15; the cells cannot replicate without.
OLDEST_POSTGRES = 15

# Debian 12's keyring knows the next release's keys from this version on; images of 12.10 and older have it older.
KEYRING = ("debian-archive-keyring", "2023.3+deb12u2")


@dataclass(frozen=True)
class SystemPlan:
    """What is missing on the machine.

    Attributes:
        packages: Debian packages to install.
        services: services those packages would start.
        refresh: whether apt's lists have to be fetched first.
        build_for: PostgreSQL version to build TimescaleDB for, None when it need not be built.
        suite: where its source comes from.
        unfinished: whether an earlier set-up was killed while it installed packages.
    """

    packages: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    refresh: bool = False
    build_for: int | None = None
    suite: str | None = None
    unfinished: bool = False

    @property
    def steps(self) -> tuple[str, ...]:
        """Return the titles of the steps, in order; none when nothing is missing."""
        titles = []
        if self.refresh:
            titles.append("Refresh apt's package lists")
        if self.packages or self.unfinished:
            what = ", ".join(self.packages) or "finish what was interrupted"
            titles.append(f"Install Debian packages: {what}")
        if self.build_for is not None:
            titles.append(f"Fetch TimescaleDB's source package of Debian {self.suite}")
            titles.append(f"Build TimescaleDB for PostgreSQL {self.build_for} and install it")
        return tuple(titles)


def usable_postgres() -> tuple[PostgresBinaries, str] | None:
    """Return the PostgreSQL that the engines will use and its TimescaleDB's version, None when one is missing."""
    candidates = [
        (binaries, version)
        for major, binaries in sorted(installed_postgres().items())
        if major >= OLDEST_POSTGRES and (version := timescaledb_source.installed_version(binaries)) is not None
    ]
    return candidates[-1] if candidates else None


def usable_pgbouncer() -> Path | None:
    """Return the program, None when it is not installed. Only tests need it: where it is packaged it is installed."""
    # Debian's is not on an unprivileged user's PATH.
    found = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    return Path(found) if found else None


def cache_directory(environment: dict[str, str]) -> Path:
    """Return where root keeps builds, logs and the note of an unfinished installation."""
    configured = environment.get("XDG_CACHE_HOME")
    return Path(configured or "/var/cache") / "capstone"


def plan(machine: Machine, wanted: WantedServers, more: Sequence[str], cache: Path) -> SystemPlan:
    """Return what is missing.

    Args:
        machine: this one.
        wanted: kinds of server that must be here.
        more: packages that other steps need.
        cache: see ``cache_directory``.

    Raises:
        UnsupportedMachineError: something is missing and this system's packages are not known here.
    """
    no_postgres = wanted.postgres and usable_postgres() is None
    no_redis = wanted.redis and shutil.which("redis-server") is None
    unfinished = (cache / service_guard.MARKER).exists()
    release = RELEASES.get(machine.version) if machine.distribution == "debian" else None
    no_pgbouncer = wanted.postgres and release is not None and usable_pgbouncer() is None
    if not (no_postgres or no_redis or no_pgbouncer or more or unfinished):
        return SystemPlan()
    if release is None:
        raise UnsupportedMachineError(_what_to_do(machine, no_postgres, no_redis, more))
    packages, build_for = list(more), None
    if no_redis:
        packages.append("redis-server")
    if no_pgbouncer:
        packages.append("pgbouncer")
    if no_postgres:
        postgres, build_for = _postgres_packages(release)
        packages += postgres
    missing = tuple(name for name in packages if name not in debian_packages.installed(packages))
    services = [name for name, package in _services(release).items() if package in missing]
    if build_for is not None and _keyring_is_old():
        missing = (*missing, KEYRING[0])
    return SystemPlan(
        packages=missing,
        services=tuple(services),
        refresh=bool(missing) and bool(debian_packages.without_candidate(missing)),
        build_for=build_for,
        suite=release.source_suite if build_for is not None else None,
        unfinished=unfinished,
    )


def _services(release: Release) -> dict[str, str]:
    """Return service -> the package that starts it."""
    return {
        "redis-server": "redis-server",
        "pgbouncer": "pgbouncer",
        "postgresql": f"postgresql-{release.postgres_major}",
    }


def _postgres_packages(release: Release) -> tuple[list[str], int | None]:
    major = release.postgres_major
    server = f"postgresql-{major}"
    if release.timescaledb_package is not None:
        return [server, release.timescaledb_package], None
    return [server, *debian_packages.build_packages(major)], major


def _keyring_is_old() -> bool:
    name, version = KEYRING
    result = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Version}", name], check=False, capture_output=True, text=True
    )
    older = ["dpkg", "--compare-versions", result.stdout.strip(), "lt", version]
    return result.returncode == 0 and subprocess.run(older, check=False).returncode == 0


def carry_out(todo: SystemPlan, machine: Machine, progress: Progress, cache: Path) -> None:
    """Do what ``todo`` says, as root.

    Raises:
        StepFailedError: a step failed; what the earlier ones did stays, and the next set-up goes on from there.
    """
    titles = iter(todo.steps)
    if todo.refresh:
        with progress.step(next(titles)) as log:
            debian_packages.refresh(log)
    if todo.packages or todo.unfinished:
        with progress.step(next(titles)) as log:
            _install_packages(log, todo, cache)
    if todo.build_for is not None and todo.suite is not None:
        with timescaledb_source.work_directory(cache) as work:
            with progress.step(next(titles)) as log:
                source = timescaledb_source.fetch(log, work, cache, codename=machine.codename, suite=todo.suite)
            with progress.step(next(titles)) as log:
                timescaledb_source.build(log, source, work, cache, major=todo.build_for)


def _install_packages(log: StepLog, todo: SystemPlan, cache: Path) -> None:
    with service_guard.hold_back(todo.services, cache):
        if debian_packages.is_interrupted():
            try:
                debian_packages.finish_interrupted(log)
            except StepFailedError:
                # A package that was half unpacked cannot be configured; apt unpacks it anew below.
                log.note("going on: apt repairs what dpkg could not finish")
        try:
            debian_packages.install(log, todo.packages)
        except StepFailedError:
            # Lists that are some weeks old name files that the mirror no longer has.
            if todo.refresh or not re.search(r"404 +Not Found", log.path.read_text(errors="replace")):
                raise
            debian_packages.refresh(log)
            debian_packages.install(log, todo.packages)
    service_guard.keep_from_booting(log, cache)


def _what_to_do(machine: Machine, no_postgres: bool, no_redis: bool, more: Sequence[str]) -> str:
    missing = [
        *(["PostgreSQL 15 or newer with TimescaleDB for it (below /usr/lib/postgresql)"] if no_postgres else []),
        *(["redis-server (on PATH)"] if no_redis else []),
        *more,
    ]
    lines = [
        f"set-up installs servers on Debian {' and '.join(sorted(RELEASES))} only; this is {machine.name}.",
        f"Missing here: {'; '.join(missing)}. One of these goes on:",
        "  - Docker, any system: `cp .env.example .env`, set its passwords, `docker compose up --build`",
        "  - servers that you have: set CAPSTONE_DSN_CONTROL, CAPSTONE_DSN_NA, CAPSTONE_DSN_EU, CAPSTONE_DSN_APAC and",
        "    CAPSTONE_REDIS_URL_NA, CAPSTONE_REDIS_URL_EU, CAPSTONE_REDIS_URL_APAC, then run this again",
    ]
    if machine.distribution == "ubuntu" or "debian" in machine.distribution:
        lines.append(
            "  - install postgresql-17, TimescaleDB for it (https://docs.timescale.com/self-hosted) and redis-server "
            "yourself,\n    then run this again: what is there is used"
        )
    return "\n".join(lines)
