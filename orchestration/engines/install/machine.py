"""What this machine is, and what this user may do on it."""

import os
import platform
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

OS_RELEASE = Path("/etc/os-release")


@dataclass(frozen=True)
class Machine:
    """The operating system.

    Attributes:
        distribution: ``ID`` of os-release: debian, ubuntu, …; darwin on macOS.
        version: ``VERSION_ID``: 12, 13, …; empty for a rolling release.
        codename: ``VERSION_CODENAME``: bookworm, trixie, …
        name: for people.
    """

    distribution: str
    version: str
    codename: str
    name: str


def parse_os_release(text: str) -> Machine:
    """Return the machine that an os-release(5) file describes."""
    values = {}
    for line in text.splitlines():
        key, found, value = line.partition("=")
        if found and not key.startswith("#"):
            values[key.strip()] = "".join(shlex.split(value))
    distribution = values.get("ID", "unknown")
    return Machine(
        distribution=distribution,
        version=values.get("VERSION_ID", ""),
        codename=values.get("VERSION_CODENAME", ""),
        name=values.get("PRETTY_NAME", distribution),
    )


def this_machine() -> Machine:
    """Return the machine that this process runs on."""
    if sys.platform.startswith("linux") and OS_RELEASE.is_file():
        return parse_os_release(OS_RELEASE.read_text())
    system = platform.system() or sys.platform
    return Machine(system.lower(), "", "", f"{system} {platform.release()}".strip())


def is_root() -> bool:
    """Tell whether this process may install packages without asking anybody."""
    return os.geteuid() == 0


def sudo_prefix() -> list[str] | None:
    """Return the words that make a command run as root: none for root, sudo's, or None when there is no way.

    With a terminal sudo may ask for the password; without one it must not need it.
    """
    if is_root():
        return []
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    if sys.stdin.isatty():
        return [sudo]
    silent = subprocess.run(
        [sudo, "-n", "true"], check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return [sudo, "-n"] if silent.returncode == 0 else None
