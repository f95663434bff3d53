"""TimescaleDB from another Debian release's source package, built for the PostgreSQL that is installed here.

apt fetches and verifies the package under a private configuration, so that the machine's own sources, lists and
pins stay as they are. The Apache edition alone is built, with Debian's own patches and without telemetry.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestration.engines.binaries import POSTGRES_ROOT, PostgresBinaries
from orchestration.engines.install import suite_entry
from orchestration.engines.install.debian_packages import APT_GET, apt_environment
from orchestration.engines.install.errors import InstallError, StepFailedError
from orchestration.engines.install.progress import StepLog

SOURCE_PACKAGE = "timescaledb"

# Debian's own flags, and without the tests, which need PostgreSQL's sources.
BUILD_FLAGS = (
    "-DAPACHE_ONLY=1",
    "-DCMAKE_BUILD_TYPE=Release",
    "-DREGRESS_CHECKS=OFF",
    "-DTAP_CHECKS=OFF",
    "-DWARNINGS_AS_ERRORS=OFF",
    "-DSEND_TELEMETRY_DEFAULT=OFF",
    "-DUSE_TELEMETRY=OFF",
)

LOADER = "timescaledb.so"
CONTROL = "timescaledb.control"


def installed_version(postgres: PostgresBinaries) -> str | None:
    """Return the version of TimescaleDB that a new database would get, None when a part of it is missing."""
    control = _share(postgres) / "extension" / CONTROL
    try:
        match = re.search(r"^default_version\s*=\s*'([^']+)'", control.read_text(), re.MULTILINE)
    except OSError:
        return None
    if match is None:
        return None
    version = match.group(1)
    library = postgres.directory / "lib"
    parts = [library / LOADER, library / f"timescaledb-{version}.so", control.with_name(f"timescaledb--{version}.sql")]
    return version if all(part.is_file() and part.stat().st_size for part in parts) else None


def _share(postgres: PostgresBinaries) -> Path:
    """Return where the distribution keeps the extensions' files of this major version."""
    name = str(postgres.directory)
    return Path(name.replace("/lib/postgresql/", "/share/postgresql/"))


@contextmanager
def work_directory(cache: Path) -> Iterator[Path]:
    """Make a directory for one build, gone afterwards; those of builds that were killed are removed."""
    cache.mkdir(parents=True, exist_ok=True)
    for stale in cache.glob("timescaledb-build-*"):
        shutil.rmtree(stale, ignore_errors=True)
    directory = Path(tempfile.mkdtemp(prefix="timescaledb-build-", dir=cache))
    # apt downloads as an unprivileged user of its own, which has to get in.
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def fetch(log: StepLog, work: Path, cache: Path, *, codename: str, suite: str) -> Path:
    """Download and unpack the source package of ``suite``; return the directory of the sources.

    Raises:
        InstallError: this machine's apt has no network source of Debian.
        StepFailedError: the suite cannot be had from there, or its signature is not known.
    """
    entry = suite_entry.debian_entry(suite_entry.read_sources(), codename, suite_entry.debian_uris(codename))
    parts = work / "sources.list.d"
    parts.mkdir()
    (parts / f"{suite}.sources").write_text(suite_entry.source_stanza(entry, suite))
    # The lists are worth keeping: 10 MB that change a few times a year.
    lists = cache / f"lists-{suite}"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    options = _private_configuration(parts, lists)
    log.run([*APT_GET, *options, "-o", "APT::Update::Error-Mode=any", "update"], env=apt_environment())
    version = _newest_version(log, options)
    log.note(f"{SOURCE_PACKAGE} {version}")
    source = work / "source"
    source.mkdir()
    log.run(
        [*APT_GET, *options, "--only-source", "source", f"{SOURCE_PACKAGE}={version}"],
        env=apt_environment(), cwd=source,
    )  # fmt: skip
    unpacked = [path for path in source.iterdir() if (path / "bootstrap").is_file()]
    if len(unpacked) != 1:
        raise StepFailedError(log.title, f"{SOURCE_PACKAGE} {version} did not unpack into one directory", log.path)
    return unpacked[0]


def _private_configuration(parts: Path, lists: Path) -> list[str]:
    values = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": str(parts),
        "Dir::State::Lists": str(lists),
        # Without these the machine's own package cache would be rebuilt from the foreign lists.
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        # Whatever the machine's own configuration says: what will run as a server comes signed or not at all.
        "Acquire::AllowInsecureRepositories": "false",
        "Acquire::AllowWeakRepositories": "false",
        "APT::Get::AllowUnauthenticated": "false",
    }
    return [word for name, value in values.items() for word in ("-o", f"{name}={value}")]


def _newest_version(log: StepLog, options: list[str]) -> str:
    result = subprocess.run(
        ["apt-cache", *options, "--only-source", "showsrc", SOURCE_PACKAGE],
        check=False, capture_output=True, text=True, env=apt_environment(),
    )  # fmt: skip
    versions: list[str] = re.findall(r"^Version: (\S+)$", result.stdout, re.MULTILINE)
    if not versions:
        raise StepFailedError(log.title, f"the suite has no source package {SOURCE_PACKAGE}", log.path)
    newest = versions[0]
    for version in versions[1:]:
        if subprocess.run(["dpkg", "--compare-versions", version, "gt", newest], check=False).returncode == 0:
            newest = version
    return newest


def build(log: StepLog, source: Path, work: Path, cache: Path, *, major: int) -> None:
    """Compile for PostgreSQL ``major`` and install.

    Raises:
        StepFailedError: it does not compile, or compiles for another PostgreSQL.
    """
    postgres = PostgresBinaries(major, POSTGRES_ROOT / str(major))
    pg_config = postgres.directory / "bin" / "pg_config"
    _require_same_major(log, postgres, pg_config)
    environment = apt_environment()
    log.run(["./bootstrap", *BUILD_FLAGS, f"-DPG_CONFIG={pg_config}"], cwd=source, env=environment)
    log.run(["make", "-C", "build", f"-j{os.cpu_count() or 1}"], cwd=source, env=environment)
    staged = work / "staged"
    log.run(["make", "-C", "build", "install", f"DESTDIR={staged}"], cwd=source, env=environment)
    publish(staged, Path("/"), cache / f"timescaledb-postgresql-{major}.files")
    if installed_version(postgres) is None:
        raise StepFailedError(log.title, f"the build left no usable TimescaleDB in {postgres.directory}/lib", log.path)


def _require_same_major(log: StepLog, postgres: PostgresBinaries, pg_config: Path) -> None:
    for program in (postgres.directory / "bin" / "postgres", pg_config):
        try:
            answer = subprocess.run([program, "--version"], check=False, capture_output=True, text=True).stdout
        except OSError as error:
            raise StepFailedError(log.title, f"{program} cannot be run: {error.strerror}", log.path) from None
        found = re.search(r"PostgreSQL\)? (\d+)", answer)
        log.note(f"{program}: {answer.strip()}")
        if found is None or int(found.group(1)) != postgres.major:
            raise StepFailedError(log.title, f"{program} is not PostgreSQL {postgres.major}: {answer!r}", log.path)


def publish(staged: Path, root: Path, record: Path) -> None:
    """Move the staged files to their places, each whole or not at all, and the loader last.

    The loader's presence is what everybody looks for: an interrupted installation is never taken for a finished one.

    Args:
        staged: a tree as below ``root``.
        root: of the file system.
        record: where the names of the files are written, for whoever wants to remove them.
    """
    files = sorted((path for path in staged.rglob("*") if path.is_file()), key=lambda path: (path.name == LOADER, path))
    if not files or files[-1].name != LOADER:
        raise InstallError(f"the build made no {LOADER}")
    targets = [root / path.relative_to(staged) for path in files]
    record.write_text("".join(f"{target}\n" for target in targets))
    for path, target in zip(files, targets, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.capstone-new")
        shutil.copyfile(path, temporary)
        temporary.chmod(0o644)
        temporary.replace(target)
