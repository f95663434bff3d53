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

    What nearly every row is refused by has to be cheap, for there are millions: all columns of a row become one text,
    once (``offset 0`` keeps the planner from writing it out where it is used), in which fixed strings are looked for.
    """
    ids = [name for name, kind, _ in relation.columns if kind == "uuid"]
    texts = [(name, kind, home) for name, kind, home in relation.columns if kind != "uuid"]
    abroad = [(name, kind) for name, kind, home in texts if not home] if with_addresses else []
    shown = [
        *(sql.SQL("{} as {}").format(sql.Identifier(name), _id(at)) for at, name in enumerate(ids)),
        sql.SQL("{} as texts").format(_line([(name, kind) for name, kind, _ in texts], with_addresses=with_addresses)),
    ]
    line = sql.SQL("searched.texts")
    if abroad and len(abroad) < len(texts):
        shown.append(sql.SQL("{} as abroad").format(_line(abroad, with_addresses=True)))
        line = sql.SQL("searched.abroad")
    columns = [sql.SQL("searched.{}").format(_id(at)) for at in range(len(ids))]
    marked = _any([*map(_is_marked, columns), _holds(sql.SQL("searched.texts"), marks.IN_TEXT)])
    whole = sql.SQL(", ").join([*columns, sql.SQL("searched.texts")])
    parts = [sql.SQL("select false, concat_ws(' ', {}) where {}").format(whole, marked)]
    wanted = marked
    if abroad:
        addressed = _holds(line, marks.IN_ADDRESS)
        wanted = _any([addressed, marked])
        parts.append(
            sql.SQL("select true, a[1] from regexp_matches(replace({}, '%40', '@'), {}, 'g') as a where {}").format(
                line, sql.Literal(_ADDRESS), addressed
            )
        )
    return sql.SQL(
        "select distinct found.* from (select {} from {} offset bigint '0') as searched "
        "cross join lateral ({}) as found (is_address, content) where {}"
    ).format(
        sql.SQL(", ").join(shown),
        sql.Identifier(relation.schema_name, relation.relation_name),
        sql.SQL(" union all ").join(parts),
        wanted,
    )


def _id(at: int) -> sql.Identifier:
    return sql.Identifier(f"id_{at}")


def _any(conditions: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(" or ").join(conditions)


def _line(columns: Iterable[tuple[str, str]], *, with_addresses: bool) -> sql.Composable:
    """Return the columns as one text, without what is too short to hold what is looked for.

    By its bytes: columns may have collations of their own, which say nothing about fixed strings.
    """
    parts = [_part(sql.Identifier(name), kind, with_addresses=with_addresses) for name, kind in columns]
    if not parts:
        return sql.SQL("null::text")
    return sql.SQL("concat_ws(' ', {}) collate \"C\"").format(sql.SQL(", ").join(parts))


def _part(column: sql.Identifier, kind: str, *, with_addresses: bool) -> sql.Composable:
    if kind == "text":
        if with_addresses:
            return column
        return sql.SQL("case when octet_length({0}) >= {1} then {0} end").format(column, marks.TEXT_BYTES)
    of_marks = marks.TEXT_BYTES if kind == "json" else marks.BINARY_BYTES
    least = marks.ADDRESS_BYTES if with_addresses else of_marks
    return sql.SQL("case when pg_column_size({0}) >= {1} then concat({0}) end").format(column, least)


def _is_marked(column: sql.Composable) -> sql.Composed:
    first, last = (f"{marks.MARK}-{fill * 4}-{fill * 4}-{fill * 4}-{fill * 12}" for fill in "0f")
    return sql.SQL("{} between {} and {}").format(column, first, last)


def _holds(line: sql.Composable, sought: Iterable[str]) -> sql.Composed:
    return _any(sql.SQL("strpos({}, {}) > 0").format(line, each) for each in sought)


def _catalog(connection: psycopg.Connection[Any], salt: str, with_addresses: bool) -> list[Found]:
    sought = (*marks.IN_TEXT, marks.IN_ADDRESS[0]) if with_addresses else marks.IN_TEXT
    patterns = [f"%{each}%" for each in sought]
    rows = connection.execute((_SQL / "catalog_texts.sql").read_bytes(), {"patterns": patterns}).fetchall()
    found: dict[str, frozenset[str]] = {}
    for place, content in rows:
        held = marks.digests(salt, str(content).encode(), with_addresses=with_addresses)
        found[place] = found.get(place, frozenset()) | held
    return [Found(f"catalog: {place}", digests) for place, digests in found.items() if digests]
