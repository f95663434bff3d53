"""Live attacks on tenant isolation: log in as ``app``, as every tenant's request does, and try.

First of all a tenant has to see its own rows, all of them: with a broken context every attack fails and proves
nothing. Counting happens in one snapshot that the auditor exports and ``app`` imports, so that loads and checkouts
that go on meanwhile cannot make the two counts differ. What writes is rolled back.

Evidence is names and counts: no tenant's id, no row, no text of an error.
"""

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast
from uuid import UUID, uuid5

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow, dict_row

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.cells.relations import Relation
from orchestration.settings import Settings

# Tenants whose rows are attacked one by one; all others are compared in the parity query.
ATTACKED_TENANTS = 25
TENANTS_SEED = 20260301

# Above this estimate a relation's rows are compared up to PARITY_ROWS per tenant, so that a proof stays within seconds
# at 50 million events; the attacked tenants' rows are always counted in full.
COUNTED_IN_FULL = 2_000_000
PARITY_ROWS = 1_000

# Chunks tried one by one; the catalog rules cover all.
ATTACKED_CHUNKS = 25

# Rows that a request without a context is let read before it counts as one that sees rows.
MOST_ROWS = 1_000

STATEMENT_TIMEOUT = "60s"
LOCK_TIMEOUT = "2s"

PERMITTED = "00000"
REFUSED = "42501"  # insufficient_privilege: no grant, or row security's check
GONE = ("42P01", "3F000")  # undefined table or schema: dropped meanwhile
UNWRITABLE = ("428C9", "55000", "0A000")  # a generated column, a view that cannot be written through
# Out of resources, cancelled, system error, to be retried, connection, internal error; and a lock not to be had.
UNPROVEN_CLASSES = ("53", "57", "58", "40", "08", "XX")
LOCKED = "55P03"

# A tenant that is closed is told so.
FENCES = "saas.tenant_fences"

NO_CONTEXT: dict[str, str | None] = {
    "read without context": None,
    "read with empty context": "",
    "read with malformed context": "not-a-tenant",
    "read with quoted context": "' or '1' = '1",
}

State = Literal["repelled", "succeeded", "unproven", "own rows unseen", "own rows seen"]

# The last one present decides.
_BAD: tuple[State, ...] = ("unproven", "succeeded")

_HERE = Path(__file__).parent
_NOBODY = UUID("6c1f3f0e-5a53-5d3e-9d5c-6f1f7a1c9d10")


@dataclass(frozen=True)
class Attack:
    """What an attack on an object came to.

    Attributes:
        attack: what was tried.
        object: against which relation, role or function.
        state: repelled or succeeded; unproven: it did not come to an end; own rows (un)seen: of the tenant itself.
        offenders: rows reached, or tries that were not repelled.
        outcome: SQLSTATEs and counts, for people.
    """

    attack: str
    object: str
    state: State
    offenders: int
    outcome: str


@dataclass(frozen=True)
class _Target:
    """A tenants' relation that ``app`` may read, and what its attacks need."""

    relation: Relation
    column: str
    tenant_source: str
    estimated_rows: int

    @property
    def identifier(self) -> sql.Identifier:
        return _identifier(self.relation.name)

    @property
    def tenant(self) -> sql.Identifier:
        return sql.Identifier(self.relation.tenant_column or "tenant_id")


@dataclass(frozen=True)
class _Owned:
    """Rows per tenant in a relation; with ``most``, counted up to that many per tenant."""

    counts: Mapping[str, int]
    most: int | None

    def without(self, tenants: Set[str]) -> dict[str, int]:
        """Return the counts of all but these tenants."""
        return {tenant: rows for tenant, rows in self.counts.items() if tenant not in tenants}


@dataclass(frozen=True)
class Attempt:
    """One statement to be tried; ``accepted``: SQLSTATEs that repel it (and, with ``by_rows``, touching no row)."""

    attack: str
    object: str
    statement: sql.Composable
    context: str = ""
    before: str | None = None
    by_rows: bool = True


def attack(cell: Cell, relations: Sequence[Relation], settings: Settings) -> list[Attack]:
    """Attack every declared relation of ``cell`` that exists, and return what came of it.

    Raises:
        psycopg.Error, CellUnavailableError: the attacks could not be carried out, so nothing is proven.
    """
    with (
        routing.connect(cell, "auditor", application_name="capstone proof", settings=settings) as auditor,
        routing.connect(cell, "app", application_name="capstone attack", settings=settings) as app,
    ):
        auditor.execute("set transaction isolation level repeatable read, read only")
        auditor.execute(_setting("statement_timeout", STATEMENT_TIMEOUT))
        targets = _targets(auditor, relations)
        tenants = _all_tenants(auditor)
        # A closed tenant sees none of its rows, as it should.
        tenants_rows, attacks = _count_owned(auditor, targets, relations, tenants)
        owned = _shown(tenants_rows, _closed(auditor, "reads"))
        targets = [target for target in targets if target.relation.name in owned]
        # Whoever is closed to writes is refused before row security is asked.
        fenced = _closed(auditor, "reads or writes")
        chosen = choose_tenants(
            [t for t in tenants if t not in fenced], [each.without(fenced) for each in owned.values()]
        )
        attacks += _reads(auditor, app, targets, owned, chosen)
        attempts = [*_writes(targets, chosen), *_refusals(auditor, relations)]
        auditor.rollback()
        attacks += try_all(app, attempts)
    return attacks


def choose_tenants(tenants: Sequence[str], owned: Iterable[Mapping[str, int]]) -> list[str]:
    """Return the tenants to attack one by one: a fixed sample, the one with the most rows first."""
    rows: Counter[str] = Counter()
    for counts in owned:
        rows.update(counts)
    present = [tenant for tenant, count in rows.items() if count > 0]
    if not present:
        return []
    largest = max(sorted(present), key=lambda tenant: rows[tenant])
    others = sorted(tenant for tenant in tenants if tenant != largest)
    sample = random.Random(TENANTS_SEED).sample(others, min(ATTACKED_TENANTS - 1, len(others)))  # noqa: S311
    return [largest, *sample]


def _targets(auditor: psycopg.Connection[TupleRow], relations: Sequence[Relation]) -> list[_Target]:
    """Return the tenants' relations that exist and that ``app`` may read by their declaration."""
    declared = {r.name: r for r in relations if r.kind == "tenant" and "select" in r.app}
    parameter = json.dumps([{"name": r.name, "tenant_column": r.tenant_column} for r in declared.values()])
    with auditor.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_read("targets.sql"), {"relations": parameter}).fetchall()
    found = [_Target(declared[r["name"]], r["column_name"], r["tenant_source"], r["estimated_rows"]) for r in rows]
    return sorted(found, key=lambda target: target.relation.line)


def _all_tenants(auditor: psycopg.Connection[TupleRow]) -> list[str]:
    return [str(row[0]) for row in auditor.execute("select id from saas.tenants order by id")]


def _closed(auditor: psycopg.Connection[TupleRow], how: Literal["reads", "reads or writes"]) -> frozenset[str]:
    statement = sql.SQL("select tenant_id from saas.tenant_fences where {}").format(sql.SQL(how))
    return frozenset(str(row[0]) for row in auditor.execute(statement))


def _shown(owned: Mapping[str, _Owned], closed: Set[str]) -> dict[str, _Owned]:
    """Return what tenants have to see of what they own: the closed ones nothing but that they are closed."""
    return {
        name: each if name == FENCES else replace(each, counts=each.without(closed) | dict.fromkeys(closed, 0))
        for name, each in owned.items()
    }


def _count_owned(
    auditor: psycopg.Connection[TupleRow],
    targets: Sequence[_Target],
    relations: Sequence[Relation],
    tenants: Sequence[str],
) -> tuple[dict[str, _Owned], list[Attack]]:
    """Return the rows per tenant of each target; what cannot be counted leaves that target unproven, not the others."""
    owned: dict[str, _Owned] = {}
    uncounted: list[Attack] = []
    for target in targets:
        try:
            with auditor.transaction():
                owned[target.relation.name] = _owned(auditor, target, relations, tenants)
        except psycopg.Error as error:
            if error.sqlstate is None:
                raise
            uncounted.append(Attack("count rows as auditor", target.relation.name, "unproven", 1, error.sqlstate))
    return owned, uncounted


def _owned(
    auditor: psycopg.Connection[TupleRow], target: _Target, relations: Sequence[Relation], tenants: Sequence[str]
) -> _Owned:
    """Return how many rows each tenant owns in ``target``, of a view in what it shows."""
    source = target.relation
    if source.over is not None:
        source = next(r for r in relations if r.name == source.over)
        estimates = _targets_estimate(auditor, source)
    else:
        estimates = target.estimated_rows
    relation, tenant = _identifier(source.name), sql.Identifier(source.tenant_column or "tenant_id")
    counts = dict.fromkeys(tenants, 0)
    most = PARITY_ROWS if estimates > COUNTED_IN_FULL else None
    if most is not None:
        statement = sql.SQL(
            "select t.id, count(o.*) from unnest({tenants}::uuid[]) as t (id) left join lateral "
            "(select 1 from {relation} as x where x.{tenant} = t.id limit {most}) as o on true group by t.id"
        ).format(tenants=list(tenants), relation=relation, tenant=tenant, most=most)
    else:
        statement = sql.SQL("select x.{tenant}, count(*) from {relation} as x group by 1").format(
            relation=relation, tenant=tenant
        )
    counts.update({str(owner): count for owner, count in auditor.execute(statement)})
    return _Owned(counts, most)


def _targets_estimate(auditor: psycopg.Connection[TupleRow], source: Relation) -> int:
    parameter = json.dumps([{"name": source.name, "tenant_column": source.tenant_column}])
    with auditor.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_read("targets.sql"), {"relations": parameter}).fetchone()
    return int(row["estimated_rows"]) if row else 0


def _reads(
    auditor: psycopg.Connection[TupleRow],
    app: psycopg.Connection[TupleRow],
    targets: Sequence[_Target],
    owned: Mapping[str, _Owned],
    chosen: Sequence[str],
) -> Iterator[Attack]:
    """Compare, in the auditor's snapshot, what tenants see with what they own; and what nobody in particular sees."""
    row = auditor.execute("select pg_export_snapshot()").fetchone()
    snapshot = str(row[0]) if row else ""
    app.execute("set transaction isolation level repeatable read")
    app.execute(sql.SQL("set transaction snapshot {}").format(snapshot))
    app.execute(_setting("statement_timeout", STATEMENT_TIMEOUT))
    # Before any context was ever set in this session: unset is not the same as empty.
    unset = [_without_context(app, target, "read without context", None) for target in targets]
    yield from unset
    for target in targets:
        yield from _parity(app, target, owned[target.relation.name], chosen)
        for name, context in NO_CONTEXT.items():
            if context is not None:
                yield _without_context(app, target, name, context)
    app.rollback()
    seen = sum(sum(each.counts.values()) for each in owned.values())
    if seen == 0:
        yield Attack("read own rows", "every relation of tenants", "own rows unseen", 1, "no tenant has any row")


def _without_context(app: psycopg.Connection[TupleRow], target: _Target, name: str, context: str | None) -> Attack:
    statement = sql.SQL("select count(*) from (select 1 from {} limit {}) as x").format(target.identifier, MOST_ROWS)
    try:
        with app.transaction():
            if context is not None:
                app.execute(_setting("app.current_tenant", context))
            row = app.execute(statement).fetchone()
    except psycopg.Error as error:
        # No error is allowed either: one that differs by tenant would tell.
        return _failed(name, target.relation.name, error)
    rows = int(row[0]) if row else 0
    state: State = "repelled" if rows == 0 else "succeeded"
    return Attack(name, target.relation.name, state, rows, f"{rows} rows")


def _failed(name: str, relation: str, error: psycopg.Error) -> Attack:
    if error.sqlstate is None:
        raise error
    state = error.sqlstate
    if _came_to_no_end(state):
        return Attack(name, relation, "unproven", 1, state)
    if name == "read own rows":
        return Attack(name, relation, "own rows unseen", 1, state)
    return Attack(name, relation, "succeeded", 1, f"an error that tells: {state}")


def _parity(
    app: psycopg.Connection[TupleRow], target: _Target, owned: _Owned, chosen: Sequence[str]
) -> Iterator[Attack]:
    """All tenants up to a number of rows, then the chosen ones in full."""
    name = target.relation.name
    try:
        with app.transaction():
            found = _count(app, target, owned.counts, owned.most)
    except psycopg.Error as error:
        yield _failed("read own rows", name, error)
        return
    scope = f", up to {owned.most} rows each" if owned.most is not None else ""
    outcome = f"{found['tenants']} tenants, {found['rows']} rows{scope}"
    if found["foreign"] > 0:
        yield Attack("read another tenant's rows", name, "succeeded", found["foreign"], outcome)
    else:
        yield Attack("read another tenant's rows", name, "repelled", 0, outcome)
    state: State = "own rows unseen" if found["short"] > 0 else "own rows seen"
    yield Attack("read own rows", name, state, found["short"], outcome)
    if owned.most is not None and found["foreign"] == 0:
        yield _foreign_in_full(app, target, chosen)


def _foreign_in_full(app: psycopg.Connection[TupleRow], target: _Target, chosen: Sequence[str]) -> Attack:
    """Read all that each chosen tenant sees of a large relation; the parity query looked at a part."""
    name = "read another tenant's rows, in full"
    try:
        with app.transaction():
            found = _count(app, target, dict.fromkeys(chosen, 0), None)
    except psycopg.Error as error:
        return _failed(name, target.relation.name, error)
    state: State = "succeeded" if found["foreign"] > 0 else "repelled"
    outcome = f"{found['tenants']} tenants, {found['rows']} rows"
    return Attack(name, target.relation.name, state, found["foreign"], outcome)


def _count(
    app: psycopg.Connection[TupleRow], target: _Target, owned: Mapping[str, int], most: int | None
) -> dict[str, int]:
    app.execute(_setting("proof.owned", json.dumps(owned)))
    app.execute(
        sql.SQL(_read("parity.sql")).format(
            relation=target.identifier, tenant_column=target.tenant, most=sql.Literal(most)
        )
    )
    row = app.execute("select current_setting('proof.parity')").fetchone()
    return cast(dict[str, int], json.loads(row[0])) if row else {}


def _writes(targets: Sequence[_Target], chosen: Sequence[str]) -> Iterator[Attempt]:
    """Each chosen tenant against the next one, in every relation that it may read."""
    for target in targets:
        name, relation, tenant = target.relation.name, target.identifier, target.tenant
        column, source = sql.Identifier(target.column), sql.Identifier(target.tenant_source)
        is_table = target.relation.relkind == "table"
        one_row = sql.SQL("ctid = any(array(select x.ctid from {} as x where {} limit 1))")
        for number, own in enumerate(chosen):
            other = chosen[number + 1] if number + 1 < len(chosen) else chosen[0]
            if other == own:
                # A cell with one tenant: the other is one that could exist.
                other = str(uuid5(_NOBODY, own))
            foreign = sql.SQL("{} = {}").format(tenant, other)
            where = one_row.format(relation, foreign) if is_table else foreign
            mine = one_row.format(relation, sql.SQL("true")) if is_table else sql.SQL("true")
            tries = {
                "read another tenant's row": sql.SQL("select from {} where {}").format(relation, foreign),
                "change another tenant's row": sql.SQL("update {} set {c} = {c} where {}").format(
                    relation, where, c=column
                ),
                "delete another tenant's row": sql.SQL("delete from {} where {}").format(relation, where),
                "insert into another tenant": sql.SQL("insert into {} ({}) values ({})").format(
                    relation, source, other
                ),
                "move a row into another tenant": sql.SQL("update {} set {} = {} where {}").format(
                    relation, source, other, mine
                ),
            }
            for attack_name, statement in tries.items():
                yield Attempt(attack_name, name, statement, context=own)
        if is_table:
            # Off does not switch it off: a query that it would filter is refused instead.
            yield Attempt(
                "read with row security off",
                name,
                sql.SQL("select from {} limit 1").format(relation),
                context=chosen[0] if chosen else "",
                before="set local row_security = off",
                by_rows=False,
            )


def _refusals(auditor: psycopg.Connection[TupleRow], relations: Sequence[Relation]) -> Iterator[Attempt]:
    """What must be refused outright, whoever's rows it would touch."""

    def refused(name: str, what: str, statement: sql.Composable) -> Attempt:
        return Attempt(name, what, statement, by_rows=False)

    existing = {
        row[0]
        for row in auditor.execute(
            "select r.name from unnest(%s::text[]) as r (name) where to_regclass(r.name) is not null",
            ([relation.name for relation in relations],),
        )
    }
    for relation in relations:
        if relation.name not in existing:
            continue
        name, identifier = relation.name, _identifier(relation.name)
        if "select" not in relation.app:
            yield refused("read", name, sql.SQL("select from {} limit 1").format(identifier))
        if relation.relkind in ("table", "hypertable"):
            # No TRUNCATE here: TimescaleDB locks the table before it looks at privileges. A catalog rule covers it.
            yield refused(
                "disable row security", name, sql.SQL("alter table {} disable row level security").format(identifier)
            )
    chunks = auditor.execute(_read("chunks.sql"), {"most": ATTACKED_CHUNKS}).fetchall()
    for schema, table in chunks:
        yield refused(
            "read a chunk",
            f"{schema} (chunks)",
            sql.SQL("select from {} limit 1").format(sql.Identifier(schema, table)),
        )
    for (role,) in auditor.execute("select rolname from pg_roles where rolname <> 'app' and rolname !~ '^pg_'"):
        yield refused("become", f"role {role}", sql.SQL("set local role {}").format(sql.Identifier(role)))


def try_all(app: psycopg.Connection[TupleRow], attempts: Sequence[Attempt]) -> list[Attack]:
    """Try every attempt on the server, in one round trip per object, and sum up per attack and object."""
    attacks: list[Attack] = []
    by_object: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        by_object.setdefault(attempt.object, []).append(attempt)
    for name, tries in by_object.items():
        app.execute(_setting("statement_timeout", STATEMENT_TIMEOUT))
        app.execute(_setting("lock_timeout", LOCK_TIMEOUT))
        parameter = [{"context": t.context, "before": t.before, "statement": t.statement.as_string(app)} for t in tries]
        app.execute(_setting("proof.attempts", json.dumps(parameter)))
        app.execute(sql.SQL(_read("attempts.sql")))
        row = app.execute("select current_setting('proof.outcomes')").fetchone()
        outcomes = json.loads(row[0]) if row else []
        app.rollback()
        if len(outcomes) != len(tries):
            raise RuntimeError(f"{len(tries)} attacks on {name} brought {len(outcomes)} outcomes")
        attacks += _summed(name, tries, outcomes)
    return attacks


def _summed(name: str, tries: Sequence[Attempt], outcomes: Sequence[Mapping[str, Any]]) -> Iterator[Attack]:
    by_attack: dict[str, list[tuple[Attempt, Mapping[str, Any]]]] = {}
    for attempt, outcome in zip(tries, outcomes, strict=True):
        by_attack.setdefault(attempt.attack, []).append((attempt, outcome))
    for attack_name, pairs in by_attack.items():
        verdicts = [judge(o["state"], o["rows"], by_rows=a.by_rows) for a, o in pairs]
        states = Counter(o["state"] if o["state"] != PERMITTED else f"{o['rows']} rows" for _, o in pairs)
        told = ", ".join(f"{count} x {state}" for state, count in sorted(states.items()))
        state: State = "repelled"
        offenders = 0
        for bad in _BAD:
            if bad in verdicts:
                state = bad
                offenders = sum(
                    max(int(o["rows"]), 1) for (_, o), verdict in zip(pairs, verdicts, strict=True) if verdict == bad
                )
        yield Attack(attack_name, name, state, offenders, told)


def judge(state: str, rows: int, *, by_rows: bool) -> State:
    """Say what an attempt came to.

    Args:
        state: SQLSTATE, ``00000`` where the statement was carried out.
        rows: rows it touched.
        by_rows: touching no row repels it too; otherwise only a refusal does.

    Any other error than a refusal means that it was not row security or a missing privilege that stood in the way: an
    insert that fails for a missing value would have gone through with one.
    """
    if state == PERMITTED:
        return "repelled" if by_rows and rows == 0 else "succeeded"
    if state == REFUSED or state in GONE + UNWRITABLE:
        return "repelled"
    return "unproven" if _came_to_no_end(state) else "succeeded"


def _came_to_no_end(state: str) -> bool:
    return state == LOCKED or state[:2] in UNPROVEN_CLASSES


def _identifier(name: str) -> sql.Identifier:
    return sql.Identifier(*name.split("."))


def _setting(name: str, value: str) -> sql.Composed:
    return sql.SQL("select set_config({}, {}, true)").format(name, value)


def _read(name: str) -> str:
    return (_HERE / name).read_text()
