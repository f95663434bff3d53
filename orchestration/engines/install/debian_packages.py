"""Debian's packages: what a release offers, what is installed, and how apt is called."""

import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestration.engines.install.progress import StepLog

# A machine that has just booted updates itself; apt then waits this long for its turn.
APT_LOCK_SECONDS = 300

APT_GET = (
    "apt-get",
    "--yes",
    "--no-install-recommends",
    "-o", f"DPkg::Lock::Timeout={APT_LOCK_SECONDS}",
    "-o", "Dpkg::Use-Pty=0",
    "-o", "Dpkg::Options::=--force-confold",
)  # fmt: skip


@dataclass(frozen=True)
class Release:
    """What a Debian release has of the servers.

    Attributes:
        postgres_major: version of its PostgreSQL.
        timescaledb_package: its package of TimescaleDB, None when it has none.
        source_suite: the suite whose source package of TimescaleDB is built instead.
    """

    postgres_major: int
    timescaledb_package: str | None
    source_suite: str | None


# By VERSION_ID. There is no fallback: an unlisted release may have another PostgreSQL, or another layout.
RELEASES: dict[str, Release] = {
    "12": Release(postgres_major=15, timescaledb_package=None, source_suite="trixie"),
    "13": Release(postgres_major=17, timescaledb_package="postgresql-17-timescaledb", source_suite=None),
}


def build_packages(postgres_major: int) -> tuple[str, ...]:
    """Return what building TimescaleDB takes: Debian's own build dependencies, and dpkg-dev to unpack the source."""
    return (f"postgresql-server-dev-{postgres_major}", "cmake", "gcc", "libc6-dev", "libkrb5-dev", "libssl-dev",
            "make", "dpkg-dev")  # fmt: skip


def apt_environment() -> dict[str, str]:
    """Return an environment in which no package asks a question or restarts a stranger's service."""
    return {
        **os.environ,
        "DEBIAN_FRONTEND": "noninteractive",
        "NEEDRESTART_SUSPEND": "1",
        "LC_ALL": "C.UTF-8",
    }


def installed(packages: Iterable[str]) -> set[str]:
    """Return those of ``packages`` that are installed and configured."""
    result = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *packages],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    rows = (line.split() for line in result.stdout.splitlines())
    return {row[0] for row in rows if len(row) == 2 and row[1] == "installed"}


def without_candidate(packages: Sequence[str]) -> set[str]:
    """Return those of ``packages`` that apt's lists do not offer, as they are now."""
    result = subprocess.run(
        ["apt-cache", "policy", *packages], check=False, capture_output=True, text=True, env=apt_environment()
    )
    offered, name = set(), ""
    for line in result.stdout.splitlines():
        if not line.startswith(" "):
            name = line.rstrip(":")
        elif line.strip().startswith("Candidate:") and "(none)" not in line:
            offered.add(name)
    return set(packages) - offered


def is_interrupted() -> bool:
    """Tell whether dpkg was stopped in the middle of something and has to finish it first."""
    audit = subprocess.run(["dpkg", "--audit"], check=False, capture_output=True, text=True)
    return bool(audit.stdout.strip())


def refresh(log: StepLog) -> None:
    """Fetch the package lists anew."""
    log.run([*APT_GET, "update"], env=apt_environment())


def finish_interrupted(log: StepLog) -> None:
    """Finish what dpkg was stopped in; packages that have to be unpacked anew are left to ``install``."""
    log.run(["dpkg", "--force-confold", "--configure", "--pending"], env=apt_environment())


def install(log: StepLog, packages: Sequence[str]) -> None:
    """Install ``packages``; nothing that is installed is upgraded unless they depend on it.

    Raises:
        StepFailedError: apt cannot.
    """
    log.run([*APT_GET, "--no-upgrade", "install", *packages], env=apt_environment())
