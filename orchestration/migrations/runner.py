"""Applies migrations to a cell: one runner at a time, each file whole or not at all.

The platform's files run as the cell's administrator, the others as ``migrator`` acting for ``owner``, so that objects
belong to ``owner`` whoever applied them. Row security is set to *off* meanwhile, which does not switch it off: a
statement that it would filter raises an error instead of changing no rows. A migration that has to change tenants'
rows says ``reset role`` and does it as ``migrator``, which bypasses row security.

On a managed server the administrator need not be a superuser, with these limits: granting BYPASSRLS and REPLICATION
(platform/001) takes a superuser on PostgreSQL 15 and an administrator with those attributes on 16 and later, so there
its operator makes the roles beforehand; he installs TimescaleDB too where that takes a superuser. Privileges on the
server's own functions, on those of extensions that another owns, and on databases of the provider stay as they are.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from orchestration.cells import credentials, endpoints, routing
from orchestration.cells.endpoints import Role
from orchestration.cells.regions import Cell, Cluster
from orchestration.migrations import ledger
from orchestration.migrations.files import (
    CONTROL_DOMAINS,
    DOMAINS,
    SQL_ROOT,
    Domain,
    Edition,
    Migration,
    MigrationFileError,
    parse_domain,
    plan,
)
from orchestration.migrations.ledger import Applied
from orchestration.migrations.statements import Statement, StatementError, split
from orchestration.settings import Settings, get_settings

# One lock per database: advisory locks are the database's own. The number only has to be nobody else's.
LOCK_KEY = 0x6361707374  # "capst"

# A migration of a filled table may take minutes; a runner that hangs should be noticed before a night is over.
LOCK_WAIT_SECONDS = 600
_LOCK_POLL_SECONDS = 0.2

# DDL that waits for a lock makes every later reader wait behind it; better to fail and be run again.
LOCK_TIMEOUT = "30s"

# The same for every runner, whatever its role or server has as default; extensions live in public.
SEARCH_PATH = "public"

# Domains of tables that tenants write: a new one gets its write fence in the transaction that makes it.
_TENANTS_DOMAINS: frozenset[Domain] = frozenset({"saas", "ecommerce"})

Report = Callable[[str], None]
Connection = psycopg.Connection[TupleRow]


class MigrationError(RuntimeError):
    """A migration was not applied; the message names file, line and statement, and what PostgreSQL said."""


def silent(_: str) -> None:
    """Report to nobody."""


def edition(connection: Connection) -> Edition:
    """Return the TimescaleDB edition of this database, known once the extension is installed in it.

    Raises:
        MigrationError: TimescaleDB is not installed.
    """
    row = connection.execute("select current_setting('timescaledb.license', true)").fetchone()
    license_name = row[0] if row else None
    if license_name is None:
        raise MigrationError(
            f"{connection.info.host}:{connection.info.port}/{connection.info.dbname}: TimescaleDB is not installed: "
            "apply domain 'platform' first"
        )
    return "community" if license_name == "timescale" else "apache"


@contextmanager
def _lock(connection: Connection, cluster: Cluster, report: Report) -> Iterator[None]:
    # Asked again and again instead of waited for: a session that waits holds a snapshot, for which CREATE INDEX
    # CONCURRENTLY of the runner that holds the lock would wait in turn, until PostgreSQL ends one of the two.
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    told = False
    while True:
        row = connection.execute("select pg_try_advisory_lock(%s)", (LOCK_KEY,)).fetchone()
        if row is not None and row[0]:
            break
        if not told:
            report(f"{cluster}: another run applies migrations, waiting for it")
            told = True
        if time.monotonic() > deadline:
            raise MigrationError(
                f"{cluster!r}: another run has been applying migrations for {LOCK_WAIT_SECONDS} s; nothing was "
                "applied by this one. Look for it in pg_stat_activity, or wait and try again"
            )
        time.sleep(_LOCK_POLL_SECONDS)
    try:
        yield
    finally:
        # Where the connection is lost, so is the lock.
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(%s)", (LOCK_KEY,))


def _failure(migration: Migration, statement: Statement, number: int, error: psycopg.Error) -> MigrationError:
    line = statement.line
    where = f"statement {number}"
    position = error.diag.statement_position
    if position is not None:
        before = statement.text[: int(position) - 1]
        line += before.count("\n")
        where += f", character {len(before) - (before.rfind(chr(10)) + 1) + 1} of the line"
    # The detail is left out: it may quote a row.
    message = error.diag.message_primary or str(error).strip().splitlines()[0]
    hint = f" (hint: {error.diag.message_hint})" if error.diag.message_hint else ""
    context = f"; in {error.diag.context.splitlines()[0]}" if error.diag.context else ""
    outcome = (
        "nothing of this file was kept"
        if migration.transactional
        else "what it did before stays; it is idempotent, so mend it and run it again"
    )
    return MigrationError(f"sql/{migration}:{line} ({where}): {message}{hint}{context}; {outcome}")


def _statements(migration: Migration) -> list[Statement]:
    try:
        statements = split(migration.text)
    except StatementError as error:
        raise MigrationError(f"sql/{migration}: {error}; nothing of this file was applied") from None
    for statement in statements:
        if statement.controls_transaction:
            raise MigrationError(
                f"sql/{migration}:{statement.line}: {statement.first_word.upper()} is not for a migration to say: "
                "each file is one transaction, or begins with the line -- no-transaction"
            )
    return statements


def _run_statements(connection: Connection, migration: Migration, statements: Sequence[Statement]) -> None:
    for number, statement in enumerate(statements, start=1):
        try:
            # Without parameters a statement is sent as it is: per cent signs in it are not placeholders.
            connection.execute(statement.text.encode())
        except psycopg.Error as error:
            raise _failure(migration, statement, number, error) from None


def _install_write_fences(connection: Connection) -> None:
    row = connection.execute("select to_regproc('platform.install_write_fences') is not null").fetchone()
    if row is not None and row[0]:
        connection.execute("call platform.install_write_fences()")


def apply_statements(connection: Connection, migration: Migration, statements: Sequence[Statement], role: str) -> None:
    """Run ``statements``, which come of ``migration``, within the caller's transaction, acting for ``role``.

    Raises:
        MigrationError: one failed; names file, line and what PostgreSQL said.
    """
    connection.execute("select set_config('lock_timeout', %s, true)", (LOCK_TIMEOUT,))
    connection.execute("select set_config('search_path', %s, true)", (SEARCH_PATH,))
    connection.execute("set local row_security = off")
    connection.execute("select set_config('role', %s, true)", (role,))
    _run_statements(connection, migration, statements)


def _apply_file(connection: Connection, migration: Migration, *, as_owner: bool) -> None:
    statements = _statements(migration)
    started = time.monotonic()
    role = "owner" if as_owner else "none"
    if migration.transactional:
        with connection.transaction():
            apply_statements(connection, migration, statements, role)
            if migration.domain in _TENANTS_DOMAINS:
                connection.execute("select set_config('role', %s, true)", (role,))
                _install_write_fences(connection)
            connection.execute("reset role")
            ledger.write(connection, migration, int((time.monotonic() - started) * 1000))
        # What a file set for the session is not the next file's business.
        connection.execute("reset all")
        return
    connection.execute("select set_config('search_path', %s, false)", (SEARCH_PATH,))
    connection.execute("select set_config('role', %s, false)", (role,))
    try:
        _run_statements(connection, migration, statements)
    finally:
        if not connection.closed and connection.info.transaction_status == TransactionStatus.IDLE:
            connection.execute("reset role")
            connection.execute("reset all")
    # Killed between the two, the file runs again: that is why it must be idempotent.
    ledger.write(connection, migration, int((time.monotonic() - started) * 1000))


def _check_order(connection: Connection, domain: Domain, found: Edition | None, root: Path) -> None:
    for earlier in DOMAINS[: DOMAINS.index(domain)]:
        left = ledger.remaining(plan(earlier, root=root), ledger.read(connection, earlier), found)
        if left:
            raise MigrationError(
                f"domain {domain!r} rests on {earlier!r}, where {len(left)} migrations are still to be applied: "
                f"apply {earlier!r} first"
            )


def _apply_files(connection: Connection, cell: Cell, domain: Domain, report: Report, root: Path) -> list[Applied]:
    # The platform's files install TimescaleDB and are the same for both editions.
    found: Edition | None = None if domain == "platform" else edition(connection)
    _check_order(connection, domain, found, root)
    if not ledger.remaining(plan(domain, root=root), ledger.read(connection, domain), found):
        return []
    with _lock(connection, cell, report):
        # Read again: the run that had the lock may have done it all.
        left = ledger.remaining(plan(domain, root=root), ledger.read(connection, domain), found)
        for number, migration in enumerate(left, start=1):
            report(f"{cell}: {migration} ({number} of {len(left)})")
            _apply_file(connection, migration, as_owner=domain != "platform")
        names = {migration.name for migration in left}
        return [entry for entry in ledger.read(connection, domain) if entry.name in names]


def _record_cell(connection: Connection, cell: Cell) -> None:
    connection.execute("insert into platform.cell (cell) values (%s) on conflict do nothing", (cell,))
    row = connection.execute("select cell from platform.cell").fetchone()
    recorded = row[0] if row else None
    if recorded != cell:
        raise MigrationError(
            f"this database is cell {recorded!r}, not {cell!r}: check CAPSTONE_DSN_{cell.upper()}; nothing was applied"
        )


def _check_login(cell: Cell, role: Role, settings: Settings) -> None:
    try:
        routing.connect(cell, role, settings=settings).close()
    except routing.CellUnavailableError as error:
        raise MigrationError(
            f"cell {cell!r}: the administrator may not set the password of role {role!r}, and the role cannot log in "
            f"with the one in {endpoints.secrets_file(settings)} ({error}): have the server's operator set it"
        ) from None


def _apply_platform(cell: Cell, settings: Settings, report: Report, root: Path) -> list[Applied]:
    with routing.connect(
        cell, "superuser", autocommit=True, application_name="capstone migrations", settings=settings
    ) as connection:
        if ledger.exists(connection) and _has_cell(connection):
            _record_cell(connection, cell)
        else:
            with _lock(connection, cell, report), connection.transaction():
                ledger.create(connection)
        applied = _apply_files(connection, cell, "platform", report, root)
        with _lock(connection, cell, report):
            _record_cell(connection, cell)
            connection.execute("call platform.close_public_functions()")
            changed, refused = credentials.set_role_passwords(connection, settings)
        for role in changed:
            report(f"{cell}: password of role {role} set")
        for role in refused:
            _check_login(cell, role, settings)
        return applied


def _has_cell(connection: Connection) -> bool:
    row = connection.execute("select to_regclass('platform.cell') is not null").fetchone()
    return row is not None and bool(row[0])


def apply_domain(
    cell: Cell, domain: str, *, settings: Settings | None = None, report: Report = silent, root: Path = SQL_ROOT
) -> list[Applied]:
    """Apply what is still to be applied of ``domain`` to ``cell``; returns that, in order, and nothing when done.

    The domain platform also records the cell's name, sets the roles' passwords and closes public functions.

    Raises:
        MigrationFileError: the files cannot be applied as they are.
        LedgerError: an applied file was edited or is missing.
        MigrationError: a migration failed, another run holds the lock, or the database is another cell's.
        CellUnavailableError: the cell does not answer.
    """
    settings = settings or get_settings()
    checked = parse_domain(domain)
    if checked not in DOMAINS:
        raise MigrationFileError(f"domain {domain!r} is not a cell's: the control cluster has it (apply_control)")
    if checked == "platform":
        return _apply_platform(cell, settings, report, root)
    with routing.connect(
        cell, "migrator", autocommit=True, application_name="capstone migrations", settings=settings
    ) as connection:
        return _apply_files(connection, cell, checked, report, root)


def apply_all(
    cell: Cell, *, settings: Settings | None = None, report: Report = silent, root: Path = SQL_ROOT
) -> list[Applied]:
    """Apply every domain to ``cell``, in order; see :func:`apply_domain`."""
    return [
        applied
        for domain in DOMAINS
        for applied in apply_domain(cell, domain, settings=settings, report=report, root=root)
    ]


def apply_control(*, settings: Settings | None = None, report: Report = silent, root: Path = SQL_ROOT) -> list[Applied]:
    """Apply what is still to be applied to database ``global`` of the control cluster; nothing when done.

    Runs as the administrator, since the first file makes the roles; each further one acts for the owner that it made.

    Raises:
        MigrationFileError, LedgerError, MigrationError: as of :func:`apply_domain`.
        CellUnavailableError: the control cluster does not answer.
    """
    settings = settings or get_settings()
    done: list[Applied] = []
    with routing.connect(
        "control",
        "superuser",
        database=endpoints.GLOBAL_DATABASE,
        autocommit=True,
        application_name="capstone migrations",
        settings=settings,
    ) as connection:
        with _lock(connection, "control", report), connection.transaction():
            ledger.create(connection)
        for domain in CONTROL_DOMAINS:
            with _lock(connection, "control", report):
                left = ledger.remaining(plan(domain, root=root), ledger.read(connection, domain), None)
                for number, migration in enumerate(left, start=1):
                    report(f"control: {migration} ({number} of {len(left)})")
                    _apply_file(connection, migration, as_owner=False)
                names = {migration.name for migration in left}
                done += [entry for entry in ledger.read(connection, domain) if entry.name in names]
        with _lock(connection, "control", report):
            for role in credentials.GLOBAL_LOGINS:
                if credentials.set_password(connection, role, endpoints.password(role, settings)):
                    report(f"control: password of role {role} set")
    return done


def pending(cell: Cell, *, settings: Settings | None = None, root: Path = SQL_ROOT) -> list[Migration]:
    """Return what is still to be applied to ``cell``, in order, without applying it.

    Of a database without TimescaleDB the edition is not known yet; the Apache variants stand for both.

    Raises:
        LedgerError: an applied file was edited or is missing.
    """
    settings = settings or get_settings()
    # The administrator, since before the first migration there is no other role.
    role: Role = "superuser"
    with routing.connect(cell, role, autocommit=True, settings=settings) as connection:
        row = connection.execute("select exists (select from pg_extension where extname = 'timescaledb')").fetchone()
        found: Edition = edition(connection) if row is not None and row[0] else "apache"
        return [
            migration
            for domain in DOMAINS
            for migration in ledger.remaining(plan(domain, root=root), ledger.read(connection, domain), found)
        ]
