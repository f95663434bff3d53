"""Keeps the packages' own services from starting: the platform runs its own servers, on its own ports.

Debian starts what it installs: a PostgreSQL cluster on 5432, a Redis on 6379. Only services that were not there
before are held back, and only while they are being installed; what the machine already ran is not touched.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestration.engines.install.progress import StepLog

SIGNATURE = "# Written by capstone's set-up, which removes it when it ends."
POLICY = Path("usr/sbin/policy-rc.d")
NO_MAIN_CLUSTER = Path("etc/postgresql-common/createcluster.d/capstone-install.conf")
MARKER = "installing.json"

# Services that Debian enables for the next boot as well; PostgreSQL's does nothing while it has no cluster.
ENABLED_AT_BOOT = ("redis-server", "pgbouncer")


def unfinished(cache: Path) -> tuple[str, ...]:
    """Return the services that an interrupted set-up was installing."""
    try:
        return tuple(json.loads((cache / MARKER).read_text())["services"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


@contextmanager
def hold_back(services: Sequence[str], cache: Path, *, root: Path = Path("/")) -> Iterator[None]:
    """Keep ``services`` from being started by their packages while the block runs.

    Args:
        services: init scripts that are about to be installed: redis-server, postgresql.
        cache: where a note is left, so that the next set-up can finish the work of one that was killed.
        root: of the file system.
    """
    services = sorted({*services, *unfinished(cache)})
    cache.mkdir(parents=True, exist_ok=True)
    (cache / MARKER).write_text(json.dumps({"services": services}))
    _remove_own(root)
    try:
        if services:
            _write_policy(root / POLICY, services)
        if "postgresql" in services:
            cluster = root / NO_MAIN_CLUSTER
            cluster.parent.mkdir(parents=True, exist_ok=True)
            cluster.write_text(f"{SIGNATURE}\ncreate_main_cluster = false\n")
        yield
    finally:
        _remove_own(root)


def keep_from_booting(log: StepLog, cache: Path) -> None:
    """Disable at boot what was installed by this set-up, then forget the note: the installation is complete."""
    for service in unfinished(cache):
        if service in ENABLED_AT_BOOT:
            log.run(["update-rc.d", service, "disable"])
            if Path("/run/systemd/system").is_dir():
                subprocess.run(["systemctl", "stop", service], check=False, capture_output=True)
    (cache / MARKER).unlink(missing_ok=True)


def _write_policy(path: Path, services: Sequence[str]) -> None:
    if path.exists():
        # Somebody else's policy, as container images have it, stays in force.
        return
    names = "|".join([*services, *(f"{name}.service" for name in services), "postgresql@*"])
    lines = [
        "#!/bin/sh",
        SIGNATURE,
        # A policy that outlives a killed set-up must not hold anything back.
        f"[ -d /proc/{os.getpid()} ] || exit 0",
        f'case "$1" in {names}) exit 101 ;; esac',
        "exit 0",
    ]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)


def _remove_own(root: Path) -> None:
    for path in (root / POLICY, root / NO_MAIN_CLUSTER):
        try:
            own = SIGNATURE in path.read_text(errors="replace")
        except OSError:
            continue
        if own:
            path.unlink()
            if path.name == NO_MAIN_CLUSTER.name:
                # PostgreSQL's packages do not bring this directory; it stays when somebody else's file is in it.
                with suppress(OSError):
                    path.parent.rmdir()
