"""The COPY loader: Arrow blocks into a table, replacing exactly what the same load put there before.

A load is identified by its asset and partition, and its ``load_id`` is derived from them, so that whoever loads
the partition again, after whatever happened to the process before, finds and replaces precisely those rows. The
price: ``platform.loads`` holds the latest run of each load, not a history of runs (the orchestrator keeps that).

Everything of a replacement happens in one transaction under an advisory lock: killed in the middle it changed
nothing, and a second replacement of the same partition waits for the first instead of doubling its rows.

Binary COPY was chosen by measurement, 1 M events into the hypertable with its indexes, interleaved in one run,
relative to ``psql \\copy`` of text made beforehand: binary from Arrow columns, encoding included, 1.04-1.20; text
made by polars and sent in 1 MB blocks, 0.84-0.98.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID, uuid5

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import pq, sql

from orchestration.cells.regions import Cell
from orchestration.loading.arrow_columns import constant_text, constant_uuid
from orchestration.loading.copy_encoding import COPY_HEADER, COPY_TRAILER, TableColumn, encode

if TYPE_CHECKING:
    # A load that has no frames does not pay for polars: the stream processor stays small.
    import polars as pl

Connection: TypeAlias = psycopg.Connection[Any]
Block: TypeAlias = "pa.Table | pl.DataFrame"

# Namespace of every deterministic UUID the platform derives; drawn once at random, and never to change.
NAMESPACE = UUID("6f1c2f0a-6a0e-4f0f-9d43-8f6f0a3b7c51")

# Rows in one block at most: 1 M rows of events are about 300 MB in Arrow.
MAX_BLOCK_ROWS = 1_000_000

_SQL = Path(__file__).parent / "sql"


class LoadError(RuntimeError):
    """A load cannot be done as asked; the message names the table, what is wrong and the way out."""


@cache
def statement(name: str) -> sql.SQL:
    """Return the statement kept in ``orchestration/loading/sql/<name>.sql``."""
    return sql.SQL((_SQL / f"{name}.sql").read_text())


@dataclass(frozen=True)
class Load:
    """What is replaced as one.

    Attributes:
        asset: the asset's key, ``na/analytics/events``.
        origin: the rows' origin: synthetic, import or stream.
        partition_key: the partition, ``2026-03-01``; None for an asset without partitions.
        source: where the rows come from, for ``platform.loads``: a file's name or a generator's.
    """

    asset: str
    origin: str
    partition_key: str | None
    source: str

    @property
    def load_id(self) -> UUID:
        """The load's id: the same for the same asset and partition, whoever runs it and whenever."""
        return uuid5(NAMESPACE, f"load/{self.asset}/{self.partition_key or ''}")


@dataclass(frozen=True)
class Scope:
    """The rows of a table that a load owns, beside their origin and load_id.

    Attributes:
        table: ``schema.table``; it has the columns ``origin`` and ``load_id``.
        time_column: the column that ``start`` and ``end`` bound.
        start: first instant of the partition, or None for no bound.
        end: first instant after the partition, or None for no bound.
        tenant_id: the one tenant whose rows are loaded, or None for all of the cell's.
    """

    table: str
    time_column: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    tenant_id: UUID | None = None


@dataclass(frozen=True)
class Reject:
    """A row of a source that was not loaded: where it was and why, never what it said."""

    line: int
    column: str | None
    reason: str


@dataclass(frozen=True)
class LoadReport:
    """What a load did.

    Attributes:
        rows_read: rows of the source; equals ``rows_loaded + rows_rejected``.
        rows_replaced: rows of an earlier run of the same load that were deleted first.
        seconds: from taking the lock to the commit.
    """

    asset: str
    partition_key: str | None
    load_id: UUID
    table: str
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rows_replaced: int
    seconds: float


@dataclass(frozen=True)
class Upserted:
    """What an upsert did: rows that were new, rows that differed, rows that were already as given."""

    table: str
    inserted: int
    updated: int
    unchanged: int

    @property
    def rows(self) -> int:
        return self.inserted + self.updated + self.unchanged


def identifier(table: str) -> sql.Identifier:
    """Return ``schema.table`` as a quoted identifier."""
    return sql.Identifier(*table.split("."))


def table_columns(connection: Connection, table: str) -> dict[str, TableColumn]:
    """Return the columns of ``table`` by name, without generated ones.

    Raises:
        LoadError: the table does not exist.
    """
    rows = connection.execute(statement("table_columns"), {"table": table}).fetchall()
    if not rows:
        raise LoadError(f"table {table!r} does not exist in this database: apply the schema assets first")
    return {name: TableColumn(name, kind, nullable, required) for name, kind, nullable, required in rows}


def require_row_security_bypassed(connection: Connection, table: str) -> None:
    """Fail when row security applies to this role: a delete would see no rows, and report success.

    Raises:
        LoadError: names the role and the table.
    """
    row = connection.execute("select row_security_active(%s), current_user", [table]).fetchone()
    if row is None or row[0]:
        user = row[1] if row else "?"
        raise LoadError(f"role {user!r} is subject to row security on {table}: load as a role with BYPASSRLS (loader)")


def require_cell(connection: Connection, cell: Cell) -> None:
    """Fail unless this database is ``cell``: people of one region must not be loaded into another by a wrong DSN.

    Raises:
        LoadError: the database is another cell's, or none yet.
    """
    row = connection.execute("select cell from platform.cell").fetchone()
    if row is None or row[0] != cell:
        found = "no cell yet: apply the schema assets first" if row is None else f"cell {row[0]!r}"
        raise LoadError(f"the database that CAPSTONE_DSN_{cell.upper()} or the engines name for {cell!r} is {found}")


def plan_for_bulk(connection: Connection) -> None:
    """Keep the planner from nested loops until the transaction ends.

    Rows that a transaction has just loaded have no statistics yet, and only a table's owner could gather them: the
    planner takes thousands of rows for one, and joined order items to orders for minutes instead of half a second.
    Where a nested loop is the only way its cost now looks enormous, and compiling such a plan takes 0.2 s: no JIT.
    """
    connection.execute("set local enable_nestloop = off")
    connection.execute("set local jit = off")


def lock_load(connection: Connection, table: str, load: Load) -> None:
    """Wait until no other transaction replaces the same load of the same table; held until the transaction ends."""
    connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"load/{table}/{load.load_id}"])


def _arrow(block: Block) -> pa.Table:
    table = block if isinstance(block, pa.Table) else block.to_arrow()
    if table.num_rows > MAX_BLOCK_ROWS:
        raise LoadError(f"a block of {table.num_rows} rows is too large: give at most {MAX_BLOCK_ROWS} at once")
    return table


def _chosen(table: str, known: Mapping[str, TableColumn], names: Sequence[str]) -> list[TableColumn]:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise LoadError(f"table {table!r} has no column {', '.join(map(repr, unknown))}")
    missing = [column.name for column in known.values() if column.required and column.name not in names]
    if missing:
        raise LoadError(f"table {table!r} needs a value for column {', '.join(map(repr, missing))}: give it")
    return [known[name] for name in names]


def copy_rows(connection: Connection, table: str, blocks: Iterable[Block]) -> int:
    """COPY all blocks into ``table`` within the caller's transaction and return the number of rows.

    Args:
        connection: an open connection.
        table: ``schema.table``.
        blocks: Arrow tables or polars frames of at most ``MAX_BLOCK_ROWS`` rows, all with the same columns, named
            as the table's; consumed one at a time.

    Raises:
        LoadError: unknown table or column, a block that is too large, or rows that the server did not store.
        ColumnEncodingError: a type or a value that the table's column cannot take.
    """
    iterator = iter(blocks)
    first = next(iterator, None)
    if first is None:
        return 0
    head = _arrow(first)
    names = head.column_names
    columns = _chosen(table, table_columns(connection, table), names)
    command = sql.SQL("copy {} ({}) from stdin (format binary)").format(identifier(table), _names(names))
    sent = 0
    with connection.cursor() as cursor:
        with cursor.copy(command) as copy:
            copy.write(COPY_HEADER)
            block: pa.Table | None = head
            while block is not None:
                if block.column_names != names:
                    raise LoadError(f"a block for {table!r} has other columns than the first: {block.column_names}")
                for buffer in encode(columns, block):
                    copy.write(memoryview(buffer))
                sent += block.num_rows
                following = next(iterator, None)
                block = None if following is None else _arrow(following)
            copy.write(COPY_TRAILER)
        if cursor.rowcount != sent:
            raise LoadError(f"{table!r} stored {cursor.rowcount} of {sent} rows: look for a trigger that drops rows")
    return sent


def _require_in_scope(block: pa.Table, scope: Scope) -> None:
    """Fail on a row that the same load would not find again, and so would double, the next time."""
    if scope.time_column is not None and scope.start is not None and scope.end is not None:
        bounds = pc.min_max(block[scope.time_column]).as_py()
        if bounds["min"] is None or bounds["min"] < scope.start or bounds["max"] >= scope.end:
            raise LoadError(
                f"a row for {scope.table} has its {scope.time_column} outside the partition "
                f"[{scope.start.isoformat()}, {scope.end.isoformat()}): it belongs to another one"
            )
    if scope.tenant_id is not None:
        tenants = block["tenant_id"].combine_chunks().cast(pa.binary())
        if not pc.all(pc.equal(tenants, pa.scalar(scope.tenant_id.bytes, pa.binary()))).as_py():
            raise LoadError(f"a row for {scope.table} belongs to another tenant than {scope.tenant_id}")


def marked(blocks: Iterable[Block], load: Load, scope: Scope) -> Iterator[pa.Table]:
    """Yield the blocks with the load's ``origin`` and ``load_id`` added, each checked to lie in the scope."""
    for block in blocks:
        table = _arrow(block)
        if not table.num_rows:
            continue
        _require_in_scope(table, scope)
        yield table.append_column("origin", constant_text(load.origin, table.num_rows)).append_column(
            "load_id", constant_uuid(load.load_id, table.num_rows)
        )


def delete_own(connection: Connection, load: Load, scope: Scope) -> int:
    """Delete the rows that an earlier run of ``load`` put into ``scope`` and return how many there were."""
    query = sql.SQL("delete from {} where origin = %(origin)s and load_id = %(load_id)s").format(
        identifier(scope.table)
    )
    clauses: list[sql.Composable] = [query]
    if scope.time_column is not None:
        column = sql.Identifier(scope.time_column)
        if scope.start is not None:
            clauses.append(sql.SQL("and {} >= %(start)s").format(column))
        if scope.end is not None:
            clauses.append(sql.SQL("and {} < %(end)s").format(column))
    if scope.tenant_id is not None:
        clauses.append(sql.SQL("and tenant_id = %(tenant_id)s"))
    parameters = {
        "origin": load.origin,
        "load_id": load.load_id,
        "start": scope.start,
        "end": scope.end,
        "tenant_id": scope.tenant_id,
    }
    return connection.execute(sql.SQL(" ").join(clauses), parameters).rowcount


def record_load(
    connection: Connection,
    load: Load,
    *,
    rows_read: int,
    rows_loaded: int,
    rejects: Sequence[Reject] = (),
) -> None:
    """Write the load into ``platform.loads`` and its rejects into ``platform.load_rejects``, replacing its earlier run.

    Raises:
        LoadError: the numbers do not add up.
    """
    if rows_read != rows_loaded + len(rejects):
        raise LoadError(
            f"load {load.asset} accounts for {rows_loaded} loaded and {len(rejects)} rejected of {rows_read} rows read"
        )
    connection.execute(statement("delete_rejects"), {"load_id": load.load_id})
    connection.execute(
        statement("record_load"),
        {
            "load_id": load.load_id,
            "asset": load.asset,
            "origin": load.origin,
            "partition_key": load.partition_key,
            "source": load.source,
            "rows_read": rows_read,
            "rows_loaded": rows_loaded,
            "rows_rejected": len(rejects),
        },
    )
    if rejects:
        frame = pa.table(
            {
                "load_id": constant_uuid(load.load_id, len(rejects)),
                "line": pa.array([reject.line for reject in rejects], pa.int64()),
                "column_name": pa.array([reject.column for reject in rejects], pa.string()),
                "reason": pa.array([reject.reason for reject in rejects], pa.string()),
            }
        )
        copy_rows(connection, "platform.load_rejects", [frame])


def require_no_transaction(connection: Connection) -> None:
    """Fail inside an open transaction: the lock would come after its snapshot, and the commit would not be ours.

    Raises:
        LoadError: a transaction is open.
    """
    if connection.info.transaction_status != pq.TransactionStatus.IDLE:
        raise LoadError("a replacement is a transaction of its own: commit or roll back the open one first")


def replace(connection: Connection, load: Load, scope: Scope, blocks: Iterable[Block]) -> LoadReport:
    """Replace exactly what ``load`` owns in ``scope`` by ``blocks``, in one transaction.

    Args:
        connection: a connection of a role with BYPASSRLS, without an open transaction.
        load: whose rows; ``origin`` and ``load_id`` are added to every block from it.
        scope: where its rows are.
        blocks: Arrow tables or polars frames, see ``copy_rows``; a generator is consumed inside the transaction.

    Raises:
        LoadError: a row outside the scope, a role under row security, see also ``copy_rows``; nothing is changed.
        ColumnEncodingError: see ``copy_rows``; nothing is changed.
    """
    require_no_transaction(connection)
    started = time.perf_counter()
    with connection.transaction():
        require_row_security_bypassed(connection, scope.table)
        lock_load(connection, scope.table, load)
        replaced = delete_own(connection, load, scope)
        loaded = copy_rows(connection, scope.table, marked(blocks, load, scope))
        record_load(connection, load, rows_read=loaded, rows_loaded=loaded)
    return LoadReport(
        asset=load.asset,
        partition_key=load.partition_key,
        load_id=load.load_id,
        table=scope.table,
        rows_read=loaded,
        rows_loaded=loaded,
        rows_rejected=0,
        rows_replaced=replaced,
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True)
class UpsertRule:
    """How given rows meet existing ones.

    Attributes:
        table: ``schema.table``.
        key: columns of the primary key, by which rows meet.
        keep: columns that are written once, when the row is new, and belong to the running service afterwards.
        owner: columns by which an existing row is known to be the load's own; one that differs is an error.
    """

    table: str
    key: tuple[str, ...]
    keep: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()


def _names(names: Sequence[str], table: str | None = None) -> sql.Composed:
    """Return column names, of ``table`` if given, as a list for a statement."""
    return sql.SQL(", ").join(sql.Identifier(*([table] if table else []), name) for name in names)


def _require_own(connection: Connection, rule: UpsertRule) -> None:
    query = statement("taken_keys").format(
        table=identifier(rule.table),
        key=_names(rule.key),
        existing=_names(rule.owner, "existing"),
        staged=_names(rule.owner, "staged"),
    )
    row = connection.execute(query).fetchone()
    if row is None or row[0]:
        raise LoadError(
            f"{row[0] if row else '?'} rows of {rule.table} have the keys of rows to be loaded and belong to somebody "
            f"else (they differ in {', '.join(rule.owner)}): remove them, or give them other ids"
        )


def upsert(connection: Connection, rule: UpsertRule, blocks: Iterable[Block]) -> Upserted:
    """Insert or update rows through a staging table, within the caller's transaction; other rows are not touched.

    A row that already is as given is not rewritten.

    Raises:
        LoadError: an existing row with the same key is not the load's own, see also ``copy_rows``.
        ColumnEncodingError: see ``copy_rows``.
    """
    iterator = iter(blocks)
    first = next(iterator, None)
    if first is None:
        return Upserted(rule.table, 0, 0, 0)
    require_row_security_bypassed(connection, rule.table)
    head = _arrow(first)
    names = head.column_names
    _chosen(rule.table, table_columns(connection, rule.table), names)
    parts = {"table": identifier(rule.table), "columns": _names(names), "key": _names(rule.key)}
    connection.execute(statement("staging_table").format(**parts))

    def all_blocks() -> Iterator[Block]:
        yield head
        yield from iterator

    staged = copy_rows(connection, "pg_temp.staging", all_blocks())
    if rule.owner:
        _require_own(connection, rule)
    changeable = [name for name in names if name not in rule.key and name not in rule.keep]
    query = statement("upsert_from_staging" if changeable else "insert_from_staging").format(
        **parts,
        changeable=_names(changeable),
        existing=_names(changeable, "existing"),
        excluded=_names(changeable, "excluded"),
    )
    row = connection.execute(query).fetchone()
    inserted, written = row if row is not None else (0, 0)
    connection.execute("drop table pg_temp.staging")
    return Upserted(rule.table, inserted, written - inserted, staged - written)
