"""Rows of one tenant from one table into another, or into a file: binary COPY, streamed, never all in memory."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import psycopg
from psycopg import sql

from orchestration.loading.id_spaces import SYNTHETIC_FIRST_ID
from orchestration.tenancy.holdings import names

Connection: TypeAlias = psycopg.Connection[Any]
Format = Literal["binary", "csv"]

# Read from a file at once, in bytes.
_BLOCK = 1 << 20


class RowCopyError(RuntimeError):
    """Rows did not all arrive; nothing of the transaction is kept."""


def _out(
    relation: sql.Identifier,
    columns: Sequence[str],
    condition: sql.Composable,
    order: str | None,
    form: Format,
) -> sql.Composed:
    return sql.SQL("copy (select {} from {} where {}{}) to stdout ({})").format(
        names(columns),
        relation,
        condition,
        sql.SQL(f" order by {order}") if order else sql.SQL(""),
        sql.SQL("format csv, header" if form == "csv" else "format binary"),
    )


def stream(
    source: Connection,
    relation: sql.Identifier,
    columns: Sequence[str],
    condition: sql.Composable,
    *,
    order: str | None = None,
    form: Format = "binary",
) -> Iterator[bytes]:
    """Yield the rows' COPY data block by block.

    Args:
        source: a connection in the transaction whose snapshot counts.
        relation: where they are.
        columns: which, in this order.
        condition: which rows.
        order: an expression to sort by; a fixed text, never input.
        form: binary, or csv with a header.
    """
    with source.cursor() as cursor, cursor.copy(_out(relation, columns, condition, order, form)) as copy:
        for block in copy:
            yield bytes(block)


def write_rows(target: Connection, relation: sql.Identifier, columns: Sequence[str], blocks: Iterator[bytes]) -> int:
    """COPY binary blocks into ``relation`` within the caller's transaction and return the number of rows."""
    command = sql.SQL("copy {} ({}) from stdin (format binary)").format(relation, names(columns))
    with target.cursor() as cursor:
        with cursor.copy(command) as copy:
            for block in blocks:
                copy.write(block)
        return cursor.rowcount


def write_file(path: Path, blocks: Iterator[bytes]) -> tuple[int, str]:
    """Write blocks into a new file, mode 0600, on disk when this returns; return its bytes and SHA-256."""
    checksum, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for block in blocks:
            file.write(block)
            checksum.update(block)
            size += len(block)
        file.flush()
        os.fsync(file.fileno())
    return size, checksum.hexdigest()


def read_file(path: Path) -> Iterator[bytes]:
    """Yield a file block by block."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def advance_identities(connection: Connection, relation: sql.Identifier, condition: sql.Composable) -> None:
    """Move the identity column of a table beyond the ids that arrived: the next row must not meet one of them.

    Synthetic orders have ids of their own, far above those that a running shop counts up.
    """
    name = relation.as_string(None)
    row = connection.execute(
        "select pg_get_serial_sequence(%(relation)s, 'id') where exists (select from pg_catalog.pg_attribute "
        "where attrelid = to_regclass(%(relation)s) and attname = 'id' and attidentity <> '')",
        {"relation": name},
    ).fetchone()
    if row is None or row[0] is None:
        return
    query = sql.SQL(
        "select setval({sequence}, n.newest) from (select max(id) as newest from {relation} "
        "where {condition} and id < {above}) as n, {counter} as s where n.newest > s.last_value"
    ).format(
        sequence=sql.Literal(row[0]),
        relation=relation,
        condition=condition,
        above=sql.Literal(SYNTHETIC_FIRST_ID),
        counter=sql.SQL(row[0]),
    )
    connection.execute(query)
