"""An empty database of a real server for each test that applies migrations of its own."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg import sql
from pydantic import SecretStr

from orchestration.cells import endpoints, routing
from orchestration.engines.local import LocalEngines
from orchestration.migrations import DOMAINS
from orchestration.settings import Settings, get_settings


@pytest.fixture
def empty_database(engines: LocalEngines) -> Iterator[Settings]:
    """Settings whose cell na is a new, empty database beside the cell's own."""
    del engines  # only has to run
    name = f"migrations_{uuid4().hex[:12]}"
    with routing.connect("na", "superuser", autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
    dsn = endpoints.dsn("na", "superuser", database=name)
    yield Settings(home=get_settings().home, dsn_na=SecretStr(dsn))
    with routing.connect("na", "superuser", autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def sql_root(tmp_path: Path) -> Path:
    """A copy of the shipped platform files, and one small file in each other domain."""
    from orchestration.migrations.files import SQL_ROOT

    for domain in DOMAINS:
        (tmp_path / domain).mkdir()
        if domain == "platform":
            for path in (SQL_ROOT / domain).glob("*.sql"):
                (tmp_path / domain / path.name).write_bytes(path.read_bytes())
        else:
            (tmp_path / domain / "001_first.sql").write_text(f"create table {domain}.first (id integer primary key);\n")
    return tmp_path


@pytest.fixture
def managed_database(empty_database: Settings) -> Iterator[Settings]:
    """The same, administered by one who is no superuser: roles and TimescaleDB were made by the server's operator."""
    name = f"admin_{uuid4().hex[:12]}"
    database = endpoints.postgres("na", empty_database).database
    with routing.connect("na", "superuser", settings=empty_database, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create role {} login createrole createdb password 'managed'").format(sql.Identifier(name))
        )
        connection.execute(
            sql.SQL("alter database {} owner to {}").format(sql.Identifier(database), sql.Identifier(name))
        )
        connection.execute("create extension timescaledb schema public")
        where = connection.info
        dsn = f"postgresql://{name}:managed@{where.host}:{where.port}/{database}"
    yield Settings(home=empty_database.home, dsn_na=SecretStr(dsn))
    with routing.connect("na", "superuser", settings=empty_database, autocommit=True) as connection:
        connection.execute(sql.SQL("alter database {} owner to postgres").format(sql.Identifier(database)))
        connection.execute(sql.SQL("drop owned by {} cascade").format(sql.Identifier(name)))
        connection.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))
