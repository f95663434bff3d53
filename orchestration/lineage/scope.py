"""Names in a query: what the relations of its FROM clause are called, and what a column's name stands for."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlglot import exp

from orchestration.lineage.flows import Column, Flows, Key, Table, merge

# What PostgreSQL gives every table besides its columns says nothing of anybody, but where a row lies and who wrote it.
_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "xmax", "cmin", "cmax", "ctid"})


class UnresolvedError(ValueError):
    """A name leads to no declared column, or a construct cannot be followed; the message says which."""


@dataclass
class Group:
    """The groups of an aggregating query.

    Attributes:
        number: the number of its groups.
        expressions: what makes a group and is no column, as it is written.
        columns: the columns that make a group, by the relation's name in the query and their own.
        tenants: the rows of whose tenants no group holds two; None stands for any.
    """

    number: int
    expressions: Mapping[exp.Expr, Column]
    columns: Mapping[tuple[str, str], Column]
    tenants: frozenset[Hashable]


@dataclass
class Scope:
    """A query's relations by the names it gives them, and those of the queries around it."""

    outer: "Scope | None"
    ctes: Mapping[str, Table]
    items: list[tuple[str, Table]] = field(default_factory=list)
    windows: Mapping[str, exp.Window] = field(default_factory=dict)
    group: Group | None = None

    def add(self, name: str, table: Table) -> None:
        self.items.append((name, table))

    @property
    def rows(self) -> Flows:
        return merge(*(table.rows for _, table in self.items))

    @property
    def is_open(self) -> bool:
        """Whether one of its relations may have more columns than are known."""
        return any(table.open for _, table in self.items)

    @property
    def cells(self) -> bool:
        """Whether a row is made of groups, and of nothing that is about a single person."""
        return all(table.cells or not table.rows for _, table in self.items)

    def column(self, node: exp.Column) -> Column:
        """Return what a column's name stands for.

        Raises:
            UnresolvedError: for nothing that is declared.
        """
        name, qualifier = text_of(node.this), text_of(node.args.get("table"))
        if name in _SYSTEM_COLUMNS:
            raise UnresolvedError(f"{node.sql('postgres')} is a system column")
        if self.group is not None:
            key = self.group.columns.get(self.place(qualifier, name))
            if key is not None:
                return key
        possible: list[Column] = []
        for scope in self._outwards():
            found = scope._of(qualifier, name) if qualifier else scope._unqualified(name)
            if found is None and not qualifier and scope.is_open:
                raise UnresolvedError(f"{name} may be a column of a source that is not declared: say of which relation")
            if found is not None:
                return found if not possible else Column(merge(found.flows, *(each.flows for each in possible)))
            # A function whose columns are not known by name may have it, and so may a query further out.
            possible += [table.wild for _, table in scope.items if table.wild is not None and not qualifier]
        if possible:
            return Column(merge(*(each.flows for each in possible)))
        raise UnresolvedError(f"{node.sql('postgres')} is no column of what the query reads")

    def is_within_tenant(self, key: Key) -> bool:
        """Return whether accounts are of one tenant in each group, so that different ones are different persons."""
        return self.group is not None and (key.row in self.group.tenants or None in self.group.tenants)

    def place(self, qualifier: str, name: str) -> tuple[str, str]:
        """Return the name of the relation whose column is meant, and the column's; no name where it is not sure."""
        if qualifier:
            return qualifier, name
        having = [item for item, table in self.items if name in table.columns]
        return having[0] if len(having) == 1 else "", name

    def whole_row(self, name: str) -> Table | None:
        """Return the relation that is called ``name``, of the nearest query."""
        for scope in self._outwards():
            for item, table in scope.items:
                if item == name:
                    return table
        return None

    def _outwards(self) -> Iterator["Scope"]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer

    def _of(self, qualifier: str, name: str) -> Column | None:
        for item, table in self.items:
            if item == qualifier:
                found = column_of(table, name)
                if found is None:
                    raise UnresolvedError(f"{qualifier}.{name} is no declared column of {qualifier}")
                return found
        return None

    def _unqualified(self, name: str) -> Column | None:
        found = [column for _, table in self.items if (column := table.columns.get(name)) is not None]
        if not found:
            # A relation's name in the place of a column's is its whole row.
            row = next((table for item, table in self.items if item == name), None)
            if row is not None and row.wild is None:
                return row_value(row, name)
        if not found:
            return None
        # Several only where USING or NATURAL has made them one.
        return found[0] if len(found) == 1 else Column(merge(*(column.flows for column in found)))


def text_of(node: object) -> str:
    """Return an identifier as PostgreSQL reads it; empty for none."""
    if isinstance(node, str):
        return node
    if isinstance(node, exp.Identifier):
        return str(node.this) if node.args.get("quoted") else str(node.this).lower()
    return ""


def column_of(table: Table, name: str) -> Column | None:
    """Return a column of ``table`` by name, if it has such a one."""
    return table.columns.get(name) or table.wild


def row_value(table: Table, name: str) -> Column:
    """Return all columns of a relation as one value.

    Raises:
        UnresolvedError: they are not all known.
    """
    if table.open:
        raise UnresolvedError(f"the whole row of {name} cannot be followed: {table.open}")
    columns = [*table.columns.values(), *([table.wild] if table.wild else [])]
    return Column(merge(*(column.flows for column in columns)))


def renamed(table: Table, names: Sequence[str]) -> Table:
    """Return ``table`` with its first columns called ``names``."""
    if not names:
        return table
    if table.open:
        raise UnresolvedError(f"columns are renamed by position: {table.open}")
    if table.wild is not None and len(table.columns) < len(names):
        wild = table.wild
        kept = dict(zip(names, [*table.columns.values(), *[wild] * len(names)], strict=False))
        return replace(table, columns=kept)
    if len(names) > len(table.columns):
        raise UnresolvedError(f"{len(names)} names are given to {len(table.columns)} columns")
    old = list(table.columns)
    new = [*names, *old[len(names) :]]
    return replace(table, columns=dict(zip(new, table.columns.values(), strict=True)))
