"""The virtual environment: `.venv`, uv in it at one version, and the packages of uv.lock.

What was done is recorded in `.venv` by content (the digest of the lock), and what is there is looked at each time:
a record alone would not notice a package that somebody removed.
"""

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestration.engines.install.debian_packages import without_candidate
from orchestration.engines.install.errors import StepFailedError
from orchestration.engines.install.progress import Progress, StepLog

REQUIREMENTS = Path(__file__).with_name("uv.txt")
RECORD = "capstone.json"

# As requires-python in pyproject.toml says; a test compares the two.
OLDEST_PYTHON = (3, 11)
FIRST_UNSUPPORTED_PYTHON = (3, 14)

# Where Debian keeps the certificates that the machine trusts, a company's own among them.
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")

# Installed by pip into the environment, not by uv from the lock.
SEEDS = ("pip", "setuptools", "uv", "wheel")


@dataclass(frozen=True)
class Work:
    """One step that the environment needs: its title and what does it."""

    title: str
    run: Callable[[StepLog], None]


def pinned_uv() -> str:
    """Return the version of uv in ``uv.txt``."""
    match = re.search(r"^uv==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE)
    if match is None:
        raise RuntimeError(f"{REQUIREMENTS} pins no version of uv")
    return match.group(1)


def venv_package() -> str | None:
    """Return the Debian package that `python -m venv` lacks here, None when nothing is missing."""
    if importlib.util.find_spec("ensurepip") is not None and importlib.util.find_spec("venv") is not None:
        return None
    version = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    return version if version not in without_candidate([version]) else "python3-venv"


def plan(root: Path) -> list[Work]:
    """Return what the environment of the checkout ``root`` needs, in order; nothing when it is as it should be."""
    environment = root / ".venv"
    works: list[Work] = []
    why = reason_to_create(root)
    if why is not None:
        title = "Create the virtual environment .venv" + (f" ({why})" if environment.exists() else "")
        works.append(Work(title, lambda log: _create(log, root)))
    if why is not None or uv_version(environment) != pinned_uv():
        works.append(Work(f"Install uv {pinned_uv()} into .venv", lambda log: _install_uv(log, root)))
    if why is not None:
        options: list[str] | None = []
    else:
        options = sync_options(root)
    if options is not None:
        chosen = options
        title = "Install the Python packages of uv.lock" + (" anew" if chosen else "")
        works.append(Work(title, lambda log: _sync(log, root, chosen)))
    return works


def reason_to_create(root: Path) -> str | None:
    """Return why `.venv` has to be made (anew), None when it can be kept."""
    environment = root / ".venv"
    try:
        configuration = (environment / "pyvenv.cfg").read_text()
    except OSError:
        return "there is none"
    # uv removes pip, and itself, from an environment that it made; ours is made by Python.
    if re.search(r"^uv\s*=", configuration, re.MULTILINE):
        return "it was made by another tool"
    record = _read_record(environment)
    if not record and next(environment.glob("lib/*/site-packages/dagster*"), None):
        # Any package may be half there. From uv's cache all of them are back in seconds, without the network.
        return "an installation in it was interrupted"
    if record and record.get("root") != str(root):
        return f"it was made for {record.get('root')}"
    return _reason_in_its_python(environment)


def _reason_in_its_python(environment: Path) -> str | None:
    python = environment / "bin" / "python"
    version = _answer(python, "-I", "-c", "import sys; print(*sys.version_info[:2])").split()
    if len(version) != 2:
        return "its Python is gone"
    if not OLDEST_PYTHON <= (int(version[0]), int(version[1])) < FIRST_UNSUPPORTED_PYTHON:
        return f"its Python is {'.'.join(version)}"
    if uv_version(environment) != pinned_uv() and not _answer(python, "-m", "pip", "--version"):
        return "it has no pip"
    return None


def uv_version(environment: Path) -> str:
    """Return the version of uv in ``environment``, empty when there is none that runs."""
    words = _answer(environment / "bin" / "uv", "--version").split()
    return words[1] if len(words) > 1 and words[0] == "uv" else ""


def sync_options(root: Path) -> list[str] | None:
    """Return the options with which uv has to synchronize, None when all of the lock is there.

    uv looks for a package's metadata, not for its files: a package that an interruption or a hand has left without
    some of them is named for reinstallation here.
    """
    environment = root / ".venv"
    record = _read_record(environment)
    damaged = packages_with_missing_files(environment)
    if damaged:
        return [word for name in damaged for word in ("--reinstall-package", name)]
    if record != _expected_record(root):
        return []
    check = subprocess.run(
        [environment / "bin" / "uv", "sync", "--frozen", "--check"],
        check=False, capture_output=True, cwd=root, env=uv_environment(root),
    )  # fmt: skip
    return None if check.returncode == 0 else []


def packages_with_missing_files(environment: Path) -> list[str]:
    """Return the installed packages that lack a file of their RECORD. Takes a tenth of a second for 22,000 files."""
    damaged = []
    for record in environment.glob("lib/*/site-packages/*.dist-info/RECORD"):
        name = record.parent.name.partition("-")[0]
        if name in SEEDS:
            continue
        site = str(record.parent.parent)
        for line in record.read_text(errors="replace").splitlines():
            file = line.rsplit(",", 2)[0].strip('"')
            if "__pycache__" not in file and not os.path.lexists(f"{site}/{file}"):
                damaged.append(name)
                break
    return sorted(damaged)


def uv_environment(root: Path) -> dict[str, str]:
    """Return the environment for uv: this checkout's `.venv`, no Python of uv's own, the machine's certificates."""
    environment = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    environment.update(
        UV_PROJECT_ENVIRONMENT=str(root / ".venv"),
        UV_PYTHON=str(root / ".venv" / "bin" / "python"),
        UV_PYTHON_DOWNLOADS="never",
        UV_NO_PROGRESS="1",
    )
    if SYSTEM_CERTIFICATES.is_file():
        # For uv and for pip's requests; a certificate that pip's own configuration names comes before it.
        environment.setdefault("SSL_CERT_FILE", str(SYSTEM_CERTIFICATES))
        environment.setdefault("REQUESTS_CA_BUNDLE", str(SYSTEM_CERTIFICATES))
    return environment


def carry_out(works: list[Work], progress: Progress) -> None:
    """Do the steps that ``plan`` returned.

    Raises:
        StepFailedError: a step failed; the next set-up goes on from there.
    """
    for work in works:
        with progress.step(work.title) as log:
            work.run(log)


def _create(log: StepLog, root: Path) -> None:
    log.run([sys.executable, "-m", "venv", "--clear", str(root / ".venv")], env=uv_environment(root))


def _install_uv(log: StepLog, root: Path) -> None:
    environment = root / ".venv"
    log.run(
        [
            str(environment / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check",
            "--force-reinstall", "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(REQUIREMENTS),
        ],
        env=uv_environment(root),
    )  # fmt: skip
    if uv_version(environment) != pinned_uv():
        raise StepFailedError(log.title, f"{environment}/bin/uv is not uv {pinned_uv()}", log.path)


def _sync(log: StepLog, root: Path, options: list[str]) -> None:
    environment = root / ".venv"
    expected = _expected_record(root)
    # Gone before the first package is touched: a record never stands beside half a synchronization.
    (environment / RECORD).unlink(missing_ok=True)
    log.run([str(environment / "bin" / "uv"), "sync", "--frozen", *options], env=uv_environment(root), cwd=root)
    damaged = packages_with_missing_files(environment)
    if damaged:
        raise StepFailedError(log.title, f"files of {', '.join(damaged)} are missing after uv has run", log.path)
    temporary = environment / f".{RECORD}.new"
    temporary.write_text(json.dumps(expected, indent=1) + "\n")
    temporary.replace(environment / RECORD)


def _expected_record(root: Path) -> dict[str, str]:
    return {
        "root": str(root),
        "uv": pinned_uv(),
        "uv.lock": _digest(root / "uv.lock"),
        "pyproject.toml": _digest(root / "pyproject.toml"),
    }


def _read_record(environment: Path) -> dict[str, str]:
    try:
        record = json.loads((environment / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _answer(*argv: str | Path) -> str:
    try:
        return subprocess.run(argv, check=False, capture_output=True, text=True).stdout
    except OSError:
        return ""
