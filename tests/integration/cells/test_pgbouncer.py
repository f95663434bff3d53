"""Requests of tenants through a real pgbouncer in transaction mode, where two transactions seldom have one session."""

import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

import psycopg
import pytest

from orchestration.cells.tenant_context import TenantBusyError
from orchestration.cells.tenant_pool import TenantPool
from orchestration.cells.tenant_resolution import TenantResolver
from orchestration.engines.install.system_servers import usable_pgbouncer

OWNER = "select distinct tenant_id from saas.projects"

# Fewer server connections than clients, so that every transaction may meet a session that another tenant had.
CONFIGURATION = """
[databases]
{database} = host={host} port={port} dbname={database}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = 2
max_client_conn = 50
logfile = {log}
pidfile =
ignore_startup_parameters = extra_float_digits
{prepared}
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def version(program: Path) -> tuple[int, int]:
    told = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"PgBouncer (\d+)\.(\d+)", told)
    assert found, told
    return int(found[1]), int(found[2])


@pytest.fixture(scope="module")
def program() -> Path:
    found = usable_pgbouncer()
    assert found is not None, "pgbouncer is not installed: run `make install`"
    return found


@pytest.fixture(scope="module")
def bouncer(serving: Any, program: Path) -> Iterator[Any]:
    """Return a function role -> DSN through pgbouncer."""
    # Not pytest's own directory, which only its user may enter.
    directory = Path(tempfile.mkdtemp(prefix="capstone-pgbouncer-"))
    port = free_port()
    urls = {role: urlsplit(serving.dsn(role)) for role in ("app", "gateway")}
    users = directory / "users.txt"
    users.write_text("".join(f'"{role}" "{unquote(url.password or "")}"\n' for role, url in urls.items()))
    users.chmod(0o600)
    database = urls["app"].path.lstrip("/")
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(
        CONFIGURATION.format(
            database=database,
            host=urls["app"].hostname,
            port=urls["app"].port,
            own_port=port,
            users=users,
            log=directory / "pgbouncer.log",
            prepared="max_prepared_statements = 100" if version(program) >= (1, 21) else "",
        )
    )
    command: list[str | Path] = [program, configuration]
    if os.geteuid() == 0:
        # It refuses to run as root.
        for path in (directory, *directory.iterdir()):
            os.chown(path, 65534, 65534)
        command[1:1] = ["--user", "nobody"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, process.stderr.read() if process.stderr else "it ended"
                assert time.monotonic() < deadline, "pgbouncer does not listen"
                time.sleep(0.05)
        yield lambda role: urls[role]._replace(netloc=urls[role].netloc.rsplit(":", 1)[0] + f":{port}").geturl()
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(directory)


def prepares(program: Path) -> bool:
    """Whether this version keeps track of prepared statements in transaction mode."""
    return version(program) >= (1, 21)


def owners(connection: psycopg.Connection[Any]) -> set[UUID]:
    return {owner for (owner,) in connection.execute(OWNER)}


def test_each_transaction_has_its_tenant_whatever_session_it_meets(serving: Any, bouncer: Any, program: Path) -> None:
    wrong: list[object] = []

    def borrow(pool: TenantPool, number: int) -> None:
        for turn in range(15):
            tenant = serving.tenants[(number + turn) % 3]
            try:
                with pool.tenant(tenant) as connection:
                    if owners(connection) != {tenant}:
                        wrong.append("rows of another tenant")
                    if turn % 5 == number % 5:
                        # What is not local reaches whoever has this server connection next, unless it is given up.
                        connection.execute("select set_config('app.current_tenant', %s, false)", [str(tenant)])
                        connection.execute("declare held cursor with hold for select * from saas.projects")
                    if turn % 4 == 3:
                        connection.execute("select 1 / 0")
            except psycopg.errors.DivisionByZero:
                pass
            except Exception as error:  # noqa: BLE001 (handed to the test)
                wrong.append(error)

    with TenantPool(bouncer("app"), max_size=6, max_per_tenant=6, wait=30, prepared=prepares(program)) as pool:
        threads = [threading.Thread(target=borrow, args=(pool, number)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    with psycopg.connect(bouncer("app"), prepare_threshold=None, autocommit=True) as connection:
        for _ in range(6):
            assert owners(connection) == set()
            assert connection.execute("select count(*) from pg_cursors where is_holdable").fetchone() == (0,)


def test_a_plans_places_are_counted_behind_pgbouncer_too(
    serving: Any, bouncer: Any, program: Path, new_plan: Any
) -> None:
    tenant = serving.new_tenant(new_plan(max_connections=1, statement_timeout_ms=60))
    with TenantPool(bouncer("app"), max_size=4, max_per_tenant=4, prepared=prepares(program)) as pool:
        with pool.tenant(tenant), pytest.raises(TenantBusyError), pool.tenant(tenant):
            pytest.fail("the block must not run")
        with pytest.raises(psycopg.errors.QueryCanceled), pool.tenant(tenant) as connection:
            connection.execute("select pg_sleep(10)")
        with pool.tenant(serving.tenants[0]) as connection:
            # Longer than the other tenant's statements may be: its limit stayed behind.
            connection.execute("select pg_sleep(0.2)")


def test_tenants_are_found_through_it(serving: Any, bouncer: Any, program: Path) -> None:
    with TenantResolver(bouncer("gateway"), keep=0.0, prepared=prepares(program)) as resolver:
        for _ in range(8):
            assert {resolver.resolve(tenant).id for tenant in serving.tenants} == set(serving.tenants)


def test_it_asks_for_the_password(bouncer: Any) -> None:
    url = urlsplit(bouncer("app"))
    other = url._replace(netloc=f"app:{secrets.token_hex(8)}@{url.hostname}:{url.port}").geturl()
    with pytest.raises(psycopg.OperationalError, match="auth"):
        psycopg.connect(other)
