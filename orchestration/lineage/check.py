"""The proof: what of a person reaches a relation that leaves its cell, and by which path.

Proven for a project when nothing does, each column's class is the one that follows from what it is made of, and
everything could be followed. It is a pure function of the compiled project, k and nothing else.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import sqlglot
from sqlglot import exp

from orchestration.cells.relations import PersonalClass
from orchestration.lineage.flows import (
    ANY,
    STRONGEST_FIRST,
    Column,
    Flow,
    Flows,
    Key,
    Kind,
    Origin,
    Path,
    Sensitivity,
    Table,
    changed,
    class_of,
    merge,
    via,
)
from orchestration.lineage.project import TENANT_COLUMN, Model, Project
from orchestration.lineage.query import QueryReader, either
from orchestration.lineage.scope import UnresolvedError
from orchestration.lineage.writers import unfollowed_writers

# An incremental model reads what it wrote before: after as many rounds as it has distinct flows nothing is new.
_MOST_ROUNDS = 20


@dataclass(frozen=True)
class Leak:
    """Something of a person in a relation that leaves its cell.

    Attributes:
        relation: what leaves.
        column: the column that it is in; None when only rows are there because of it.
        origin: the source column that it comes from, or the source whose rows they are.
        sensitivity: the source column's class.
        kind: its value, a figure of fewer than k persons, that it decides, or the number of groups that it makes.
        path: from the source column to the one that leaves, each ``schema.table.column`` or ``model: part.column``.
    """

    relation: str
    column: str | None
    origin: Origin
    sensitivity: Sensitivity
    kind: Kind
    path: Path

    def __str__(self) -> str:
        return f"{' → '.join((str(self.origin), *self.path))} ({self.sensitivity}, {self.kind})"


@dataclass(frozen=True)
class Unproven:
    """What could not be followed, or is not as it is declared; ``where`` names the model or column."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(frozen=True)
class Lineage:
    """What was found.

    Attributes:
        leaks: by relation and column, those by value first.
        unproven: models that could not be followed, and columns that are not what they are declared as.
        models, columns: how many were followed.
        leaving: the relations that leave their cell.
        tables: every model's columns with their flows.
        k: the number of persons that a group has to hold.
    """

    leaks: tuple[Leak, ...]
    unproven: tuple[Unproven, ...]
    models: int
    columns: int
    leaving: tuple[str, ...]
    tables: Mapping[str, Table]
    k: int

    @property
    def holds(self) -> bool:
        return not self.leaks and not self.unproven and self.models > 0

    def publishable(self, relation: str) -> bool:
        """Return whether ``relation`` is declared to leave its cell and nothing stands against it."""
        return self.holds and relation in self.leaving


def prove(project: Project, *, k: int) -> Lineage:
    """Follow every column of ``project`` and return what was found.

    Args:
        project: compiled.
        k: how many distinct persons a group has to hold before it tells of nobody.
    """
    reader = _Reader(project, k)
    for name in project.models:
        reader.table(name)
        broken = {each.where for each in reader.unproven}
    followed = {name: table for name, table in reader.made_of.items() if name not in broken}
    unproven = [*reader.unproven, *_misdeclared(project, followed)]
    unproven += [Unproven(where, reason) for where, reason in unfollowed_writers(project)]
    leaks = [leak for name in project.leaving for leak in _leaks(project.models[name], reader.table(name))]
    return Lineage(
        leaks=tuple(sorted(leaks, key=_by_gravity)),
        unproven=tuple(sorted(set(unproven), key=str)),
        models=len(project.models),
        columns=sum(len(table.columns) for table in reader.tables.values()),
        leaving=project.leaving,
        tables=reader.tables,
        k=k,
    )


class _Reader:
    """Reads models in the order in which they read each other."""

    def __init__(self, project: Project, k: int) -> None:
        self._project = project
        self._k = k
        self._open: list[str] = []
        self._sources = {name: _source_table(project, name) for name in project.sources}
        # Of models, as others read them, and before a declared generalisation lowers the class of a column.
        self.tables: dict[str, Table] = {}
        self.made_of: dict[str, Table] = {}
        self.unproven: list[Unproven] = []

    def table(self, name: str) -> Table:
        """Return a model's or source's table.

        Raises:
            UnresolvedError: there is none of that name, or it is being read.
        """
        if name in self._sources:
            return self._sources[name]
        if name in self.tables:
            return self.tables[name]
        model = self._project.models.get(name)
        if model is None:
            raise UnresolvedError(f"{name} is neither a model nor a declared source")
        if name in self._open:
            raise UnresolvedError(f"{name} is read by what it reads: {', '.join(self._open)}")
        self._open.append(name)
        try:
            self.made_of[name] = self._followed(model)
        finally:
            self._open.pop()
        self.tables[name] = _generalised(self.made_of[name], model)
        return self.tables[name]

    def _followed(self, model: Model) -> Table:
        """Return what ``model`` is made of; of one that cannot be followed its declared columns, and say so."""
        try:
            return self._model(model)
        except sqlglot.ParseError as error:
            self.unproven.append(Unproven(model.name, f"cannot be parsed: {_where(error)}"))
        except UnresolvedError as error:
            self.unproven.append(Unproven(model.name, str(error)))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong here, the model was not followed
            self.unproven.append(Unproven(model.name, f"cannot be followed ({type(error).__name__})"))
        return Table({column: Column() for column in model.columns})

    def _model(self, model: Model) -> Table:
        if model.incomplete:
            raise UnresolvedError(model.incomplete)
        queries = [_parsed(text) for text in model.queries]
        # Of a table that has no rows yet, every statement is true.
        empty = Column(key=ANY)
        own = Table(dict.fromkeys(model.columns, empty), wild=None if model.columns else empty)

        def relation(name: str) -> Table:
            if name == model.name:
                return own
            if name in model.catalogs:
                return Table({}, wild=Column())
            return self.table(name)

        short = model.name.partition(".")[2]
        reader = QueryReader(relation, model.functions, self._source_column, k=self._k, model=short, itself=model.name)
        for _ in range(_MOST_ROUNDS):
            found = _united([_named(reader.read(query), model) for query in queries])
            if found.columns.keys() == own.columns.keys() and _same_flows(found, own):
                return found
            own = found
        raise UnresolvedError("reads itself and does not come to an end")

    def _source_column(self, name: str) -> Column:
        relation, _, column = name.rpartition(".")
        table = self._sources.get(relation)
        if table is None or column not in table.columns:
            raise UnresolvedError(f"a function is declared to give {name}, which is no declared source column")
        return table.columns[column]


def _source_table(project: Project, name: str) -> Table:
    source = project.sources[name]
    columns: dict[str, Column] = {}
    for column, personal in source.columns.items():
        sensitivity: Sensitivity = personal or "fact"
        flows: Flows = {Flow(Origin(name, column), sensitivity): ()} if source.is_personal else {}
        columns[column] = Column(flows, key=_key(column, personal))
    rows: Flows = {Flow(Origin(name, None), "fact", "decision"): ()} if source.is_personal else {}
    return Table(columns, rows, open="a source may have more columns than are declared")


def _key(column: str, personal: PersonalClass | None) -> Key | None:
    match personal:
        case "person" | "account":
            return Key(personal, "source")
        case None if column == TENANT_COLUMN:
            return Key("tenant", "source")
        case _:
            return None


def _parsed(text: str) -> exp.Expr:
    statements = [each for each in sqlglot.parse(text, read="postgres") if each is not None]
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise UnresolvedError("is not compiled to one SELECT")
    return statements[0]


def _where(error: sqlglot.ParseError) -> str:
    first = error.errors[0] if error.errors else {}
    return f"{first.get('description', 'unknown syntax')} at line {first.get('line')}, column {first.get('col')}"


def _named(table: Table, model: Model) -> Table:
    """Return ``table`` as the model's relation, with its name in all paths.

    Raises:
        UnresolvedError: its columns are not those that are declared.
    """
    if model.columns and set(table.columns) != set(model.columns):
        odd = ", ".join(sorted(set(table.columns) ^ set(model.columns)))
        raise UnresolvedError(f"has other columns than are declared: {odd}")
    return Table(
        {
            name: replace(column, flows=via(column.flows, f"{model.name}.{name}"))
            for name, column in table.columns.items()
        },
        via(table.rows, f"{model.name} (rows)"),
        cells=table.cells,
    )


def _united(tables: list[Table]) -> Table:
    """Return a relation whose rows may come from any of ``tables``, columns by name."""
    first, *rest = tables
    columns = dict(first.columns)
    for table in rest:
        for name, column in table.columns.items():
            known = columns.get(name)
            columns[name] = column if known is None else either(known, column)
    return Table(columns, merge(*(table.rows for table in tables)), cells=all(table.cells for table in tables))


def _same_flows(one: Table, other: Table) -> bool:
    return one.rows.keys() == other.rows.keys() and all(
        column.flows.keys() == other.columns[name].flows.keys() and column.key == other.columns[name].key
        for name, column in one.columns.items()
    )


def _generalised(table: Table, model: Model) -> Table:
    """Return ``table`` with the declared class of columns of which the project says that they are generalised."""
    columns = dict(table.columns)
    for name in model.generalised:
        declared: Sensitivity = model.columns[name] or "fact"

        def lowered(flow: Flow, declared: Sensitivity = declared) -> Flow:
            return replace(flow, sensitivity=_weaker(flow.sensitivity, declared)) if flow.kind == "value" else flow

        columns[name] = replace(columns[name], flows=changed(columns[name].flows, lowered), key=None)
    return replace(table, columns=columns)


def _weaker(one: Sensitivity, other: Sensitivity) -> Sensitivity:
    return max(one, other, key=STRONGEST_FIRST.index)


def _misdeclared(project: Project, made_of: Mapping[str, Table]) -> Iterator[Unproven]:
    """Yield columns whose declared class is not that of what they are made of."""
    for name, table in made_of.items():
        model = project.models[name]
        for column, content in table.columns.items():
            declared, follows = model.columns.get(column), class_of(content)
            if column in model.generalised:
                if follows is None or STRONGEST_FIRST.index(follows) >= STRONGEST_FIRST.index(declared or "fact"):
                    yield Unproven(f"{name}.{column}", "is declared a generalisation and is none")
            elif declared != follows:
                yield Unproven(
                    f"{name}.{column}",
                    f"is declared {declared or 'not personal'}, and what it is made of is {_because(content, follows)}",
                )


def _because(column: Column, follows: Sensitivity | None) -> str:
    if follows is None:
        return "not personal"
    path = min(
        (
            (str(flow.origin), *path)
            for flow, path in column.flows.items()
            if flow.kind == "value" and flow.sensitivity == follows
        ),
        key=len,
    )
    return f"{follows}: {' → '.join(path)}"


def _leaks(model: Model, table: Table) -> Iterator[Leak]:
    for flow, path in table.rows.items():
        if not (model.counts_groups and flow.kind == "groups"):
            yield Leak(model.name, None, flow.origin, flow.sensitivity, flow.kind, path)
    for name, column in table.columns.items():
        for flow, path in column.flows.items():
            if not (model.counts_groups and _is_of_groups(flow)):
                yield Leak(model.name, name, flow.origin, flow.sensitivity, flow.kind, path)


def _is_of_groups(flow: Flow) -> bool:
    """Return whether a column that counts groups may have a flow: it is their number, or of which period they are."""
    return flow.kind in ("groups", "decision") or (flow.kind == "value" and flow.sensitivity == "fact")


def _by_gravity(leak: Leak) -> tuple[object, ...]:
    return (
        leak.relation,
        ("value", "figure", "decision", "groups").index(leak.kind),
        STRONGEST_FIRST.index(leak.sensitivity),
        leak.column or "",
        str(leak),
    )
