"""`make install`: all that the platform needs on this machine. A second run looks, and changes nothing."""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from orchestration.engines.errors import LockedError
from orchestration.engines.install import python_environment, system_servers
from orchestration.engines.install.debian_packages import RELEASES
from orchestration.engines.install.errors import InstallError, PrivilegeError
from orchestration.engines.install.machine import Machine, is_root, sudo_prefix, this_machine
from orchestration.engines.install.progress import Progress
from orchestration.engines.install.system_servers import SystemPlan
from orchestration.engines.install.wanted_servers import WantedServers, wanted_servers
from orchestration.engines.locking import hold

ROOT = Path(__file__).resolve().parents[3]

# Ignored by git, and the user's own: root's logs are in root's cache.
USER_CACHE = ROOT / ".cache" / "install"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the set-up; return the exit status: 0 done, 1 something is to be mended first, 130 interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    options = _parse(arguments)
    try:
        if options.what == "system":
            install_system(options)
        else:
            install()
    except (InstallError, LockedError) as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    except BrokenPipeError:
        # Whoever read the progress has gone; what was done stays. Python would complain once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except PermissionError as error:
        sys.stderr.write(f"\n{error.filename} cannot be written by this user: run this as its owner, or as root\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted: the same command goes on from here\n")
        return 130
    return 0


def install() -> None:
    """Bring this machine and this checkout to what the platform needs.

    Raises:
        InstallError: it cannot be done here, or a step failed.
        LockedError: another set-up is at work in this checkout.
    """
    began = time.monotonic()
    USER_CACHE.mkdir(parents=True, exist_ok=True)
    with hold(USER_CACHE, "make install"):
        machine = this_machine()
        wanted = wanted_servers(os.environ)
        works = python_environment.plan(ROOT)
        system = system_servers.plan(machine, wanted, _python_packages(machine, works), _cache())
        if not works and not system.steps:
            sys.stdout.write(f"{_inventory(wanted)}: nothing to do, looked for {time.monotonic() - began:.1f} s\n")
            return
        progress = Progress(USER_CACHE, len(system.steps) + len(works))
        if system.steps:
            _as_root(system, machine, wanted, progress)
        python_environment.carry_out(works, progress)
        sys.stdout.write(f"{_inventory(wanted)}: set up in {time.monotonic() - began:.0f} s\n")


def install_system(options: argparse.Namespace) -> None:
    """Do root's part of the set-up; called through sudo, or by hand where there is none.

    Raises:
        InstallError: it cannot be done here, or a step failed.
        LockedError: another set-up is installing on this machine.
    """
    if not is_root():
        raise PrivilegeError("this part of the set-up has to be run as root")
    cache = _cache()
    cache.mkdir(parents=True, exist_ok=True)
    machine = this_machine()
    with hold(cache, "set-up of the machine"):
        wanted = WantedServers(postgres=options.postgres, redis=options.redis)
        todo = system_servers.plan(machine, wanted, options.package, cache)
        total = options.of or len(todo.steps)
        system_servers.carry_out(todo, machine, Progress(cache / "logs", total), cache)


def _as_root(todo: SystemPlan, machine: Machine, wanted: WantedServers, progress: Progress) -> None:
    if is_root():
        cache = _cache()
        cache.mkdir(parents=True, exist_ok=True)
        with hold(cache, "set-up of the machine"):
            system_servers.carry_out(todo, machine, progress, cache)
        return
    command = _system_command(todo, wanted)
    prefix = sudo_prefix()
    if prefix is None:
        raise PrivilegeError(_by_hand(todo, command))
    sys.stdout.write(f"As root, with sudo: {shlex.join(command)}\n")
    sys.stdout.flush()
    result = subprocess.run([*prefix, *command, "--of", str(progress.total)], check=False, cwd=ROOT)
    if result.returncode != 0:
        raise InstallError("root's part of the set-up did not succeed, see above; then run the same command again")
    progress.skip(len(todo.steps))


def _system_command(todo: SystemPlan, wanted: WantedServers) -> list[str]:
    command = [sys.executable, "-B", "-m", "orchestration.engines.install", "system"]
    command += ["--postgres"] if wanted.postgres else []
    command += ["--redis"] if wanted.redis else []
    for package in todo.packages:
        if package.startswith("python") or package == "ca-certificates":
            command += ["--package", package]
    return command


def _by_hand(todo: SystemPlan, command: list[str]) -> str:
    lines = [
        "something has to be installed, and this user has neither root nor a sudo that works here.",
        "As root, run this, then the same make command as before:",
        f"    cd {shlex.quote(str(ROOT))} && {shlex.join(command)}",
        "It does the following:",
    ]
    if todo.refresh:
        lines.append("    apt-get update")
    if todo.packages:
        lines.append(f"    apt-get install --no-install-recommends {' '.join(todo.packages)}")
    if todo.build_for is not None:
        lines.append(
            f"    builds TimescaleDB from Debian {todo.suite}'s source package and installs it into "
            f"/usr/lib/postgresql/{todo.build_for} and /usr/share/postgresql/{todo.build_for}"
        )
    return "\n".join(lines)


def _python_packages(machine: Machine, works: list[python_environment.Work]) -> list[str]:
    """Return the Debian packages without which the environment cannot be made."""
    if not works or machine.distribution != "debian" or machine.version not in RELEASES:
        return []
    packages = []
    if not python_environment.SYSTEM_CERTIFICATES.is_file():
        packages.append("ca-certificates")
    needs_venv = python_environment.reason_to_create(ROOT) is not None
    venv = python_environment.venv_package() if needs_venv else None
    return [*packages, venv] if venv is not None else packages


def _inventory(wanted: WantedServers) -> str:
    parts = []
    if wanted.postgres and (found := system_servers.usable_postgres()) is not None:
        parts.append(f"PostgreSQL {found[0].major} with TimescaleDB {found[1]}")
    parts += ["Redis"] if wanted.redis else []
    parts += [] if wanted.postgres and wanted.redis else ["servers from the environment's DSNs"]
    return ", ".join([*parts, "Python packages of uv.lock"])


def _cache() -> Path:
    return system_servers.cache_directory(dict(os.environ) if is_root() else {})


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m orchestration.engines.install", description=__doc__)
    parser.set_defaults(what="all")
    commands = parser.add_subparsers(dest="what")
    commands.add_parser("all", help="everything (the default)")
    system = commands.add_parser("system", help="root's part alone")
    system.add_argument("--postgres", action="store_true", help="PostgreSQL and TimescaleDB are wanted")
    system.add_argument("--redis", action="store_true", help="Redis is wanted")
    system.add_argument("--package", action="append", default=[], help="one more Debian package")
    system.add_argument("--of", type=int, default=0, help="number of steps to count to")
    return parser.parse_args(arguments)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main())
