"""dbt's manifest of the project: parsed when it is missing or the project's files changed, never otherwise.

Parsing takes four seconds and no server. It is the same for every cell: what a model becomes depends on the target
only when it runs.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from orchestration.analysis.configuration import ConfigurationError, read_configuration
from orchestration.cells.shell_environment import DBT_PROJECT_DIR
from orchestration.dbt.command import dbt_executable

# Placeholders for one target's variables: parsing renders the profile and connects to nothing.
_PARSE_CELL = "na"
_UNREACHABLE = {
    "CAPSTONE_CELL": _PARSE_CELL,
    "CAPSTONE_NA_HOST": "parse-only.invalid",
    "CAPSTONE_NA_PORT": "1",
    "CAPSTONE_NA_DATABASE": "capstone",
    "CAPSTONE_NA_TRANSFORMER_PASSWORD": "parse-only",
}
_PARSE_SECONDS = 120

_log = logging.getLogger(__name__)


class ManifestError(RuntimeError):
    """The dbt project cannot be parsed; the message is dbt's own."""


def fingerprint(project_dir: Path = DBT_PROJECT_DIR) -> str:
    """Return a digest of everything that the manifest is made of: the project's files and dbt's versions."""
    digest = hashlib.sha256(f"{version('dbt-core')} {version('dbt-postgres')}".encode())
    sources = [project_dir / "dbt_project.yml", project_dir / "profiles.yml"]
    for folder in ("models", "macros", "tests", "docs"):
        sources += sorted(path for path in (project_dir / folder).rglob("*") if path.is_file())
    for path in sources:
        digest.update(f"\0{path.relative_to(project_dir)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@contextmanager
def _one_at_a_time(target: Path) -> Iterator[None]:
    # Webserver, daemon and runs load the code location at the same moment.
    with (target / "manifest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _parse(project_dir: Path, target: Path) -> None:
    scratch = Path(tempfile.mkdtemp(prefix="parse-", dir=target))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CAPSTONE_", "DBT_"))}
    environment |= _UNREACHABLE | {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DBT_PROFILES_DIR": str(project_dir)}
    try:
        done = subprocess.run(
            [
                dbt_executable(),
                "--no-use-colors",
                "--log-path",
                str(scratch),
                "parse",
                "--quiet",
                "--no-partial-parse",
                "--project-dir",
                str(project_dir),
                "--target-path",
                str(scratch),
            ],
            env=environment,
            cwd=project_dir,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PARSE_SECONDS,
        )
        if done.returncode:
            raise ManifestError(f"the dbt project in {project_dir} cannot be parsed:\n{done.stdout}{done.stderr}")
        (scratch / "manifest.json").replace(target / "manifest.json")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def prepare_manifest(project_dir: Path = DBT_PROJECT_DIR) -> Path:
    """Return the path of an up-to-date ``target/manifest.json``, parsing the project if need be.

    While the configured funnels or cohorts have a mistake the manifest before it stays, and the mistake is logged:
    loads, proofs and gates go on, and the runs that start dbt fail with the mistake's line.

    Raises:
        ConfigurationError: there is such a mistake and no manifest before it.
        ManifestError: dbt cannot parse the project.
        OSError: ``target`` cannot be written.
    """
    target = project_dir / "target"
    target.mkdir(exist_ok=True)
    manifest, record = target / "manifest.json", target / "manifest.fingerprint"

    def current(expected: str) -> bool:
        return manifest.exists() and record.exists() and record.read_text() == expected

    expected = fingerprint(project_dir)
    if current(expected):
        return manifest
    try:
        read_configuration(project_dir / "dbt_project.yml")
    except ConfigurationError as error:
        if not manifest.exists():
            raise
        _log.error("the dbt project is as it was before this mistake:\n%s", error)
        return manifest
    with _one_at_a_time(target):
        if not current(expected):
            # The record goes first and comes last: killed in between, the next process parses again.
            record.unlink(missing_ok=True)
            _parse(project_dir, target)
            record.write_text(expected)
    return manifest


def read_manifest(path: Path) -> dict[str, object]:
    """Return the manifest as a mapping."""
    content = json.loads(path.read_text())
    if not isinstance(content, dict):
        raise ManifestError(f"{path} is damaged: remove it")
    return content
