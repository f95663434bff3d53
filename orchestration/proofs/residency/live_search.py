"""A database searched for people, logically and at once: all rows of every relation, and the texts of the catalog.

Of what begins like a canary's id, and of e-mail addresses where they are not declared to be, nothing is kept but the
salted digest.

As the administrator, for a table that nobody was given a right to is a copy too. So nothing that somebody else defined
may run: values become text by ``concat``, which asks the server's own output functions and nobody's casts, row security
is not asked, and views are not read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import errors, sql
from psycopg.rows import class_row

from orchestration.proofs.residency import marks

_SQL = Path(__file__).parent / "sql"

# A table that somebody alters meanwhile is waited for this long, then it counts as not searched.
LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "300s"

# What PostgreSQL takes out of a text; `marks.addresses` says what of it is an address.
_ADDRESS = r"""[^\s@<>(),;:"\[\]]+@[0-9A-Za-z.-]+"""


@dataclass(frozen=True)
class Found:
    """A place in the database, and the digests of what may be somebody there.

    ``problem``: why it could not be searched.
    """

    place: str
    digests: frozenset[str] = frozenset()
    problem: str | None = None


@dataclass(frozen=True)
class _Relation:
    oid: int
    name: str
    schema_name: str
    relation_name: str
    readable: bool
    # Name, kind, and whether addresses belong there.
    columns: Sequence[tuple[str, str, bool]]


def search_database(
    connection: psycopg.Connection[Any], salt: str, *, with_addresses: bool = True, timescale: bool = True
) -> list[Found]:
    """Search the database that ``connection`` is open to, in autocommit mode and reading every row.

    Args:
        connection: as the administrator.
        salt: of the digests that are returned.
        with_addresses: whether e-mail addresses are looked for too, and not only canaries.
        timescale: whether hypertables are to be looked for.

    Raises:
        psycopg.OperationalError: the connection was lost.
    """
    # Nobody's own operators, nothing that writes, no compiling of what is read once.
    for setting in (
        "default_transaction_read_only = on",
        "bytea_output = 'hex'",
        "search_path = pg_catalog",
        "jit = off",
        # How many rows hold something is estimated a million times too high, and workers would seem to cost more than
        # they save.
        "parallel_tuple_cost = 0",
        "parallel_setup_cost = 0",
        f"lock_timeout = '{LOCK_TIMEOUT}'",
        f"statement_timeout = '{STATEMENT_TIMEOUT}'",
    ):
        connection.execute(f"set {setting}".encode())
    query = (_SQL / "searched_columns.sql").read_text()
    if not timescale:
        # Between these lines stands what asks TimescaleDB's register of chunks.
        head, _, rest = query.partition("    and not exists (")
        query = head + rest.partition("    )\n")[2]
    with connection.cursor(row_factory=class_row(_Relation)) as cursor:
        relations = cursor.execute(query.encode()).fetchall()
    found = [
        each for relation in relations if (each := _searched(connection, relation, salt, with_addresses)) is not None
    ]
    return [*found, *_catalog(connection, salt, with_addresses)]


def _searched(
    connection: psycopg.Connection[Any],
    relation: _Relation,
    salt: str,
    with_addresses: bool,
) -> Found | None:
    if not relation.readable:
        return Found(relation.name, problem="may not be read")
    if not relation.columns:
        return None
    try:
        rows = connection.execute(_query(relation, with_addresses=with_addresses)).fetchall()
    except (errors.UndefinedTable, errors.UndefinedColumn):
        # dbt rebuilds its relations; what is there under another name now is what the next proof reads.
        if connection.execute("select to_regclass(%s) is null", (relation.name,)).fetchone() == (True,):
            return None
        return Found(relation.name, problem="changed meanwhile")
    except psycopg.Error as error:
        if connection.broken:
            raise
        return Found(relation.name, problem=type(error).__name__)
    return Found(relation.name, _of(rows, salt)) if rows else None


def _of(rows: Sequence[tuple[bool, str]], salt: str) -> frozenset[str]:
    found: set[str] = set()
    for is_address, content in rows:
        if is_address:
            found |= {marks.address_digest(salt, each) for each in marks.addresses(content.encode())}
        else:
            found |= marks.digests(salt, content.encode(), with_addresses=False)
    return frozenset(found)


def _query(relation: _Relation, *, with_addresses: bool) -> sql.Composed:
    """Return the query of what may be somebody, in one pass over the rows.

    Its rows are whether it is an address, and the text: the address, or all columns of a row in which something begins
    like a canary's id.
    """
    columns = [
        (sql.SQL("searched.{}").format(sql.Identifier(name)), kind, home) for name, kind, home in relation.columns
    ]
    marked = _any(_held(column, kind, marks.IN_TEXT) for column, kind, _ in columns)
    parts = [sql.SQL("select false, {} where {}").format(_texts(column for column, _, _ in columns), marked)]
    addressed = [(column, kind) for column, kind, home in columns if with_addresses and kind != "uuid" and not home]
    if addressed:
        parts.append(
            sql.SQL("select true, a[1] from regexp_matches(replace({}, '%40', '@'), {}, 'g') as a where {}").format(
                _texts(column for column, _ in addressed),
                sql.Literal(_ADDRESS),
                _any(_held(column, kind, marks.IN_ADDRESS) for column, kind in addressed),
            )
        )
    # What nearly every row is refused by: each column is turned to text once at most.
    wanted = _any(
        _held(column, kind, (*marks.IN_TEXT, *marks.IN_ADDRESS) if (column, kind) in addressed else marks.IN_TEXT)
        for column, kind, _ in columns
    )
    return sql.SQL(
        "select distinct found.* from {} as searched cross join lateral ({}) as found (is_address, content) where {}"
    ).format(sql.Identifier(relation.schema_name, relation.relation_name), sql.SQL(" union all ").join(parts), wanted)


def _any(conditions: Iterable[sql.Composed]) -> sql.Composed:
    return sql.SQL(" or ").join(conditions)


def _texts(columns: Iterable[sql.Composed]) -> sql.Composed:
    return sql.SQL("concat_ws(' ', {})").format(sql.SQL(", ").join(columns))


def _held(column: sql.Composed, kind: str, sought: Sequence[str]) -> sql.Composed:
    """Return whether a column can hold one of these, as cheaply as millions of rows need it: by its length first."""
    if kind == "uuid":
        first, last = (f"{marks.MARK}-{fill * 4}-{fill * 4}-{fill * 4}-{fill * 12}" for fill in "0f")
        return sql.SQL("{} between {} and {}").format(column, first, last)
    of_addresses = [each for each in sought if each in marks.IN_ADDRESS]
    of_marks = [each for each in sought if each not in marks.IN_ADDRESS]
    conditions = []
    if kind == "text":
        length = sql.SQL("octet_length({})").format(column)
        if of_addresses:
            # The cheaper function, for there are more texts that are long enough for an address than for a mark.
            signs = _any(sql.SQL("strpos({}, {}) > 0").format(column, each) for each in of_addresses)
            conditions.append(sql.SQL("({} >= {} and ({}))").format(length, marks.ADDRESS_BYTES, signs))
        if of_marks:
            conditions.append(sql.SQL("({} >= {} and {})").format(length, marks.TEXT_BYTES, _like(column, of_marks)))
        return _any(conditions)
    least = marks.TEXT_BYTES if kind == "json" else marks.BINARY_BYTES
    return sql.SQL("(pg_column_size({}) >= {} and {})").format(
        column, marks.ADDRESS_BYTES if of_addresses else least, _like(sql.SQL("concat({})").format(column), sought)
    )


def _like(text: sql.Composed, sought: Sequence[str]) -> sql.Composed:
    patterns = (sql.Literal("%" + each.replace("%", r"\%") + "%") for each in sought)
    return sql.SQL("{} like any (array[{}])").format(text, sql.SQL(", ").join(patterns))


def _catalog(connection: psycopg.Connection[Any], salt: str, with_addresses: bool) -> list[Found]:
    sought = (*marks.IN_TEXT, marks.IN_ADDRESS[0]) if with_addresses else marks.IN_TEXT
    patterns = [f"%{each}%" for each in sought]
    rows = connection.execute((_SQL / "catalog_texts.sql").read_bytes(), {"patterns": patterns}).fetchall()
    found: dict[str, frozenset[str]] = {}
    for place, content in rows:
        held = marks.digests(salt, str(content).encode(), with_addresses=with_addresses)
        found[place] = found.get(place, frozenset()) | held
    return [Found(f"catalog: {place}", digests) for place, digests in found.items() if digests]
