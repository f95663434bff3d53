"""What a query gives: its columns and rows, each with the flows from source columns.

Names are resolved as PostgreSQL does. What cannot be followed is an error, never left out.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace

from sqlglot import exp

from orchestration.lineage.expressions import Expressions, children, ordered
from orchestration.lineage.flows import (
    ANY,
    Column,
    Flow,
    Flows,
    Key,
    Table,
    changed,
    decided,
    grouped,
    guarded,
    is_identifying,
    merge,
    same_key,
    via,
    within,
    without,
)
from orchestration.lineage.functions import Declared, is_aggregate
from orchestration.lineage.scope import Group, Scope, UnresolvedError, renamed, text_of

# A recursive query gives nothing new after as many rounds as its columns have distinct flows; each round adds some.
_MOST_ROUNDS = 50


class QueryReader:
    """Reads the queries of one model.

    Args:
        relation: a relation by ``schema.table``.
        declared: what the project says of functions.
        source: a source column by ``schema.table.column``.
        k: how many persons a group has to hold.
        model: named in paths, before the parts of the model's query.
        itself: the model's own relation, whose rows earlier runs wrote.
    """

    def __init__(
        self,
        relation: Callable[[str], Table],
        declared: Mapping[str, Declared],
        source: Callable[[str], Column],
        *,
        k: int,
        model: str,
        itself: str | None = None,
    ) -> None:
        self._relation = relation
        self._k = k
        self._model = model
        self._itself = itself
        self._expressions = Expressions(
            self._in_expression, declared, source, self._number_under, self._number_in_window
        )
        self._recursing: list[str] = []
        self._numbers: dict[tuple[object, object], int] = {}

    def read(self, query: exp.Expr) -> Table:
        """Return what ``query`` gives.

        Raises:
            UnresolvedError: something in it cannot be followed.
        """
        return self._query(query, None, {})

    # --- numbers of groups: the same for the same place in the query, so that a recursive query comes to an end

    def _number(self, place: object, part: object = "") -> int:
        return self._numbers.setdefault((place, part), len(self._numbers))

    def _number_under(self, group: int, condition: str) -> int:
        return self._number(group, condition)

    def _number_in_window(self, group: int) -> int:
        return self._number(group, "window")

    def _anew(self, table: Table, place: exp.Expr, *, before: bool) -> Table:
        """Return ``table`` with groups of its own: what is known of one use of a relation says nothing of another."""

        def fresh(numbers: frozenset[int]) -> frozenset[int]:
            return frozenset(self._number(id(place), number) for number in numbers)

        def of(flow: Flow) -> Flow:
            return replace(flow, guards=fresh(flow.guards)) if flow.guards else flow

        def key_of(key: Key | None) -> Key | None:
            # Of rows that were there before nothing else is known, however they came there.
            row = "before" if before else key.row if key is not None else None
            return key if key is None or key.of == "any" else Key(key.of, self._number(id(place), ("row", row)))

        return replace(
            table,
            columns={
                name: replace(
                    column, flows=changed(column.flows, of), counts=fresh(column.counts), key=key_of(column.key)
                )
                for name, column in table.columns.items()
            },
            rows=changed(table.rows, of),
        )

    # --- queries

    def _in_expression(self, node: exp.Expr, scope: Scope) -> Table:
        return self._query(node, scope, scope.ctes)

    def _query(self, node: exp.Expr, outer: Scope | None, ctes: Mapping[str, Table]) -> Table:
        ctes = self._with(node, outer, ctes)
        if isinstance(node, exp.Subquery | exp.Paren):
            inner = node.this
            if isinstance(inner, exp.Table | exp.Subquery) and (node.args.get("joins") or inner.args.get("joins")):
                raise UnresolvedError(f"a join in parentheses is not followed: {node.sql('postgres')[:80]}")
            table = self._query(inner, outer, ctes)
            return self._limited(node, table, Scope(outer, ctes, [("", table)]))
        if isinstance(node, exp.Select):
            return self._select(node, outer, ctes)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, outer, ctes)
        if isinstance(node, exp.Values):
            return self._values(node, Scope(outer, ctes))
        raise UnresolvedError(f"{type(node).__name__} is no query that can be followed")

    def _with(self, node: exp.Expr, outer: Scope | None, ctes: Mapping[str, Table]) -> Mapping[str, Table]:
        with_ = node.args.get("with_")
        if with_ is None:
            return ctes
        known = dict(ctes)
        for cte in with_.expressions:
            name = text_of(cte.args["alias"].this)
            names = [text_of(column) for column in cte.args["alias"].args.get("columns") or []]
            if with_.args.get("recursive") and _names(cte.this, name):
                table = self._recursive(cte.this, outer, known, name, names)
            else:
                table = renamed(self._query(cte.this, outer, known), names)
            known[name] = self._named(table, name)
        return known

    def _named(self, table: Table, name: str) -> Table:
        """Return ``table`` with its name in the paths of its columns."""
        return replace(
            table,
            columns={
                column: replace(content, flows=via(content.flows, f"{self._model}: {name}.{column}"))
                for column, content in table.columns.items()
            },
        )

    def _recursive(
        self,
        node: exp.Expr,
        outer: Scope | None,
        ctes: Mapping[str, Table],
        name: str,
        names: Sequence[str],
    ) -> Table:
        if not isinstance(node, exp.SetOperation):
            raise UnresolvedError(f"{name} reads itself and is no union")
        first = renamed(self._query(_left(node), outer, ctes), names)
        table = replace(first, columns={column: Column(key=ANY) for column in first.columns}, rows={})
        self._recursing.append(name)
        try:
            for _ in range(_MOST_ROUNDS):
                found = renamed(self._query(node, outer, {**ctes, name: table}), names)
                if _same(found, table):
                    return found
                table = found
        finally:
            self._recursing.pop()
        raise UnresolvedError(f"{name} reads itself and does not come to an end")

    def _set_operation(self, node: exp.SetOperation, outer: Scope | None, ctes: Mapping[str, Table]) -> Table:
        left, right = (self._query(side, outer, ctes) for side in (node.left, node.right))
        for side in (left, right):
            if side.open or side.wild:
                raise UnresolvedError(
                    f"a branch of a union has columns that are not known: {side.open or 'a function'}"
                )
        if len(left.columns) != len(right.columns):
            raise UnresolvedError(f"branches of a union have {len(left.columns)} and {len(right.columns)} columns")
        pairs = zip(left.columns.items(), right.columns.values(), strict=True)
        columns = {name: either(one, other) for (name, one), other in pairs}
        if isinstance(node, exp.Except | exp.Intersect):
            # Rows of the right side only decide which of the left's are there.
            decides = decided(merge(right.rows, *(column.flows for column in right.columns.values())))
            table = Table(left.columns, merge(left.rows, decides), cells=left.cells)
        else:
            table = Table(columns, merge(left.rows, right.rows), cells=left.cells and right.cells)
        return self._limited(node, table, Scope(outer, ctes, [("", table)]))

    def _values(self, node: exp.Values, scope: Scope) -> Table:
        rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in node.expressions]
        columns: dict[str, Column] = {}
        for number, values in enumerate(zip(*rows, strict=True), start=1):
            read = [self._expressions.read(value, scope) for value in values]
            column = read[0]
            for each in read[1:]:
                column = either(column, each)
            columns[f"column{number}"] = column
        return renamed(Table(columns), _alias_columns(node))

    def _select(self, node: exp.Select, outer: Scope | None, ctes: Mapping[str, Table]) -> Table:
        _refuse_unknown_clauses(node)
        scope = Scope(outer, ctes)
        decides: list[Flows] = []
        tests: list[exp.Expr] = []
        self._from(node, scope, decides, tests)
        scope.windows = {text_of(window.this): window for window in node.args.get("windows") or []}
        where = node.args.get("where")
        if where is not None:
            decides.append(self._expressions.flows(where.this, scope))
            tests += _conjuncts(where.this)
        # Conditions on single rows; those on groups come after the groups are made.
        tested = frozenset[int]().union(*(self._tested(test, scope) for test in tests))
        scope.group = self._group(node, scope)
        columns = self._projections(node, scope)
        decides.append(self._expressions.all_flows(self._distinct_on(node), scope))
        having = node.args.get("having")
        rows = merge(scope.rows, *map(decided, decides))
        if scope.group is not None:
            if having is not None:
                rows = merge(rows, decided(self._expressions.flows(having.this, scope)))
                tested = tested.union(*(self._tested(test, scope) for test in _conjuncts(having.this)))
            makes_groups = [*scope.group.columns.values(), *scope.group.expressions.values()]
            rows = merge(rows, decided(merge(*(column.flows for column in makes_groups))))
            rows = guarded(grouped(rows) if scope.cells else rows, frozenset({scope.group.number}))
        table = self._limited(node, Table(columns, rows), scope)
        tested = tested.union(map(self._number_in_window, tested))
        # Only a group whose persons some column counts can be tested by whoever reads this.
        testable = frozenset[int]().union(*(column.counts for column in columns.values()))
        return Table(
            {
                name: replace(column, flows=within(without(column.flows, tested), testable))
                for name, column in table.columns.items()
            },
            within(without(table.rows, tested), testable),
            cells=scope.cells or (_makes_groups(node) and not _identifies(columns)),
        )

    def _limited(self, node: exp.Expr, table: Table, scope: Scope) -> Table:
        """Return ``table`` as LIMIT and OFFSET leave it: which rows stay is decided by the order."""
        limits = [each for each in (node.args.get("limit"), node.args.get("offset")) if each is not None]
        if not limits:
            return table
        order = self._ordering(node, scope)
        return replace(table, rows=merge(table.rows, decided(order)))

    def _ordering(self, node: exp.Expr, scope: Scope) -> Flows:
        found: list[Flows] = []
        given = {text_of(each.args.get("alias")): each.this for each in node.expressions if isinstance(each, exp.Alias)}
        for each in ordered(node.args.get("order")):
            if isinstance(each, exp.Literal):
                continue
            named = text_of(each.this) if isinstance(each, exp.Column) and not each.table else ""
            found.append(self._expressions.flows(given.get(named, each), scope))
        return merge(*found)

    def _distinct_on(self, node: exp.Select) -> list[exp.Expr]:
        distinct = node.args.get("distinct")
        on = distinct.args.get("on") if distinct is not None else None
        if on is None:
            return []
        return [*(on.expressions if isinstance(on, exp.Tuple) else [on]), *ordered(node.args.get("order"))]

    # --- groups

    def _group(self, node: exp.Select, scope: Scope) -> Group | None:
        clause = node.args.get("group")
        if clause is None and node.args.get("having") is None and not any(map(_aggregates, node.expressions)):
            return None
        number = self._number(id(node))
        expressions: dict[exp.Expr, Column] = {}
        columns: dict[tuple[str, str], Column] = {}
        tenants: set[Hashable] = set()
        for each, in_every_group in _grouped_by(clause):
            made_by = _meant(each, node, scope)
            column = self._expressions.read(made_by, scope)
            if in_every_group and column.key is not None and column.key.of in ("tenant", "any"):
                tenants.add(column.key.row)
            who = {flow: path for flow, path in column.flows.items() if is_identifying(flow)}
            others = {flow: path for flow, path in column.flows.items() if flow not in who}
            # A trait that k persons share is nobody's; what identifies one of them still does.
            key = replace(column, flows=merge(who, guarded(others, frozenset({number}))))
            if isinstance(made_by, exp.Column) and not isinstance(made_by.this, exp.Star):
                columns[scope.place(text_of(made_by.args.get("table")), text_of(made_by.this))] = key
            else:
                expressions[made_by] = key
        return Group(number, expressions, columns, frozenset(tenants))

    def _tested(self, test: exp.Expr, scope: Scope) -> frozenset[int]:
        """Return the groups of which a condition says that they hold k persons or more."""
        if isinstance(test, exp.LTE | exp.LT):
            value, least = test.right, test.left
        elif isinstance(test, exp.GTE | exp.GT):
            value, least = test.left, test.right
        else:
            return frozenset()
        fewest = _whole_number(least)
        if fewest is None or fewest + isinstance(test, exp.GT | exp.LT) < self._k:
            return frozenset()
        return self._expressions.read(value, scope).counts

    # --- SELECT

    def _projections(self, node: exp.Select, scope: Scope) -> dict[str, Column]:
        columns: dict[str, Column] = {}
        for number, each in enumerate(node.expressions, start=1):
            for name, column in self._projected(each, scope):
                # PostgreSQL lets two columns have one name until somebody asks for it.
                key = name if name and name not in columns else f"{name or '?column?'}#{number}"
                columns[key] = column
        return columns

    def _projected(self, node: exp.Expr, scope: Scope) -> Iterator[tuple[str, Column]]:
        star = node.this if isinstance(node, exp.Column) else node
        if isinstance(star, exp.Star):
            if any(star.args.get(name) for name in ("except_", "replace", "rename")):
                raise UnresolvedError(f"{node.sql('postgres')} is not understood")
            only = text_of(node.args.get("table")) if isinstance(node, exp.Column) else ""
            yield from self._starred(scope, only)
            return
        yield _name_of(node), self._expressions.read(node, scope)

    def _starred(self, scope: Scope, only: str) -> Iterator[tuple[str, Column]]:
        found = [(name, table) for name, table in scope.items if not only or name == only]
        if not found:
            raise UnresolvedError(f"{only + '.' if only else ''}* names no relation of the query")
        for name, table in found:
            if table.open:
                raise UnresolvedError(f"* of {name} cannot be followed: {table.open}")
            if table.wild is not None and not table.columns:
                raise UnresolvedError(f"* of {name} cannot be followed: name the columns of the function")
            for column, content in table.columns.items():
                group = scope.group.columns if scope.group is not None else {}
                yield column, group.get((name, column), content)

    # --- FROM

    def _from(self, node: exp.Select, scope: Scope, decides: list[Flows], tests: list[exp.Expr]) -> None:
        from_ = node.args.get("from_")
        if from_ is not None:
            self._item(from_.this, scope, decides, tests)
        for lateral in node.args.get("laterals") or []:
            self._item(lateral, scope, decides, tests)
        for join in node.args.get("joins") or []:
            self._join(join, scope, decides, tests)

    def _join(self, join: exp.Join, scope: Scope, decides: list[Flows], tests: list[exp.Expr]) -> None:
        before = list(scope.items)
        self._item(join.this, scope, decides, tests)
        on = join.args.get("on")
        if on is not None:
            decides.append(self._expressions.flows(on, scope))
            if not join.side:
                tests += _conjuncts(on)
        using = [text_of(each) for each in join.args.get("using") or []]
        if join.method.upper() == "NATURAL":
            theirs = {name for item in scope.items if item not in before for name in item[1].columns}
            using = [name for _, table in before for name in table.columns if name in theirs]
        for name in using:
            for _, table in scope.items:
                if name in table.columns:
                    decides.append(table.columns[name].flows)

    def _item(self, node: exp.Expr, scope: Scope, decides: list[Flows], tests: list[exp.Expr]) -> None:
        alias = node.args.get("alias")
        name = text_of(alias.this) if isinstance(alias, exp.TableAlias) else ""
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table | exp.Subquery):
            if name:
                raise UnresolvedError(f"{name} names a join in parentheses, which is not followed")
            self._item(node.this, scope, decides, tests)
        elif isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            table, before = self._table(node, scope)
            table = self._anew(_unguarded(table) if before else table, node, before=before)
            scope.add(name or text_of(node.this), renamed(table, _alias_columns(node)))
        elif isinstance(node, exp.Subquery):
            self._derived(node, scope, name, scope.outer)
        elif isinstance(node, exp.Lateral) and isinstance(node.this, exp.Subquery):
            self._derived(node.this, scope, name, scope, _alias_columns(node))
        elif isinstance(node, exp.Values):
            scope.add(name, self._values(node, replace(scope, outer=scope)))
        else:
            self._function(node, scope, name)
        for join in node.args.get("joins") or []:
            self._join(join, scope, decides, tests)

    def _derived(
        self, node: exp.Subquery, scope: Scope, name: str, outer: Scope | None, names: Sequence[str] = ()
    ) -> None:
        table = self._query(node, outer, scope.ctes)
        table = renamed(table, names or _alias_columns(node))
        scope.add(name, self._named(table, name) if name else table)

    def _table(self, node: exp.Table, scope: Scope) -> tuple[Table, bool]:
        """Return the relation of that name, and whether it is what is being read: its rows were there before."""
        name, schema = text_of(node.this), text_of(node.args.get("db"))
        if not schema:
            if name in scope.ctes:
                return scope.ctes[name], name in self._recursing
            raise UnresolvedError(f"relation {name} is named without its schema")
        relation = f"{schema}.{name}"
        return self._relation(relation), relation == self._itself

    def _function(self, node: exp.Expr, scope: Scope, name: str) -> None:
        """Add a function in FROM: each of its columns may be made of all that it is given."""
        calls = _calls(node)
        given = merge(*(self._expressions.flows(call, scope) for call in calls))
        column = Column(given)
        names = _alias_columns(node)
        offset = next((text_of(call.args["offset"]) for call in calls if _has_offset(call)), None)
        columns = dict.fromkeys(names, column)
        if offset and offset not in columns:
            columns[offset] = Column(decided(given))
        if not names and name and len(calls) == 1 and isinstance(calls[0], exp.Unnest | exp.ExplodingGenerateSeries):
            # A function with one column gives it the name that it has itself.
            columns = {name: column, **columns}
        known = bool(columns)
        scope.add(name or _name_of(calls[0]), Table(columns, decided(given), wild=None if known else column))


def _calls(node: exp.Expr) -> list[exp.Expr]:
    if isinstance(node, exp.Table):
        parts = node.args.get("rows_from")
        if parts:
            return [call for part in parts for call in _calls(part)]
        schema = node.args.get("db")
        return [node.this if schema is None else exp.Dot(this=schema.copy(), expression=node.this)]
    if isinstance(node, exp.Lateral):
        return [node.this]
    if isinstance(node, exp.Func | exp.Unnest):
        return [node]
    raise UnresolvedError(f"{type(node).__name__} in FROM is not understood")


def _has_offset(call: exp.Expr) -> bool:
    return isinstance(call.args.get("offset"), exp.Identifier)


def _alias_columns(node: exp.Expr) -> list[str]:
    alias = node.args.get("alias")
    if not isinstance(alias, exp.TableAlias):
        return []
    return [text_of(each.this if isinstance(each, exp.ColumnDef) else each) for each in alias.args.get("columns") or []]


def _name_of(node: exp.Expr) -> str:
    """Return the name that PostgreSQL gives a column of a result; empty where nobody can ask for it."""
    while isinstance(node, exp.Paren | exp.Filter | exp.Window | exp.WithinGroup):
        node = node.this
    match node:
        case exp.Alias():
            name = text_of(node.args["alias"])
        case exp.Column():
            name = text_of(node.this)
        case exp.Cast():
            name = _name_of(node.this) or str(node.to.this.value).lower()
        case exp.Dot():
            field = node.expression
            name = text_of(field) if isinstance(field, exp.Identifier) else _name_of(field)
        case exp.Subquery() if isinstance(node.this, exp.Select) and node.this.expressions:
            name = _name_of(node.this.expressions[0])
        case exp.Anonymous():
            name = str(node.name).lower()
        case exp.Func():
            name = node.sql_name().lower()
        case _:
            name = ""
    return name


def _conjuncts(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the conditions that all have to hold."""
    if isinstance(node, exp.Paren):
        yield from _conjuncts(node.this)
    elif isinstance(node, exp.And):
        yield from _conjuncts(node.left)
        yield from _conjuncts(node.right)
    else:
        yield node


def _whole_number(node: exp.Expr) -> int | None:
    while isinstance(node, exp.Paren | exp.Cast):
        node = node.this
    if isinstance(node, exp.Literal) and not node.is_string and str(node.this).isdigit():
        return int(node.this)
    return None


def _aggregates(node: exp.Expr) -> bool:
    """Return whether an expression aggregates the rows of its own query."""
    if isinstance(node, exp.Query):
        return False
    if isinstance(node, exp.Window):
        inner = node.this
        while isinstance(inner, exp.Filter | exp.IgnoreNulls | exp.RespectNulls):
            inner = inner.this
        return any(map(_aggregates, children(inner))) or any(
            _aggregates(each) for each in children(node) if each is not node.this
        )
    return is_aggregate(node) or any(map(_aggregates, children(node)))


def _grouped_by(clause: exp.Expr | None) -> Iterator[tuple[exp.Expr, bool]]:
    """Yield what a GROUP BY groups by, and whether in each of its grouping sets."""
    if clause is None:
        return
    for each in clause.expressions:
        for part in each.expressions if isinstance(each, exp.Tuple) else [each]:
            if isinstance(part, exp.Rollup | exp.Cube | exp.GroupingSets):
                yield from _of_sets(part)
            else:
                yield part, True
    for name in ("rollup", "cube", "grouping_sets"):
        for each in clause.args.get(name) or []:
            yield from _of_sets(each)


def _of_sets(node: exp.Expr) -> Iterator[tuple[exp.Expr, bool]]:
    for each in node.expressions:
        if isinstance(each, exp.Tuple | exp.Rollup | exp.Cube | exp.GroupingSets):
            yield from _of_sets(each)
        else:
            yield (each.this if isinstance(each, exp.Paren) else each), False


def _meant(node: exp.Expr, select: exp.Select, scope: Scope) -> exp.Expr:
    """Return the expression that a GROUP BY means by a number or a name of the result."""
    node = node.unnest() if isinstance(node, exp.Paren) else node
    if isinstance(node, exp.Literal) and not node.is_string:
        place = int(node.this) - 1
        if not 0 <= place < len(select.expressions) or any(isinstance(e, exp.Star) for e in select.expressions):
            raise UnresolvedError(f"GROUP BY {node.this} names no column of the result")
        meant: exp.Expr = select.expressions[place]
        return _unnamed(meant)
    if isinstance(node, exp.Column) and not node.table:
        name = text_of(node.this)
        if not any(name in table.columns for _, table in scope.items):
            for each in select.expressions:
                if isinstance(each, exp.Alias) and text_of(each.args["alias"]) == name:
                    return _unnamed(each)
    return node


def _unnamed(node: exp.Expr) -> exp.Expr:
    inner: exp.Expr = node.this if isinstance(node, exp.Alias) else node
    return inner


def _makes_groups(node: exp.Select) -> bool:
    distinct = node.args.get("distinct")
    return node.args.get("group") is not None or (distinct is not None and distinct.args.get("on") is None)


def _identifies(columns: Mapping[str, Column]) -> bool:
    return any(is_identifying(flow) for column in columns.values() for flow in column.flows)


def _refuse_unknown_clauses(node: exp.Select) -> None:
    known = {
        "with_", "from_", "joins", "laterals", "where", "group", "having", "expressions", "distinct", "order", "limit",
        "offset", "windows", "kind", "hint", "operation_modifiers",
    }  # fmt: skip
    unknown = [name for name, value in node.args.items() if value and name not in known]
    if unknown:
        raise UnresolvedError(f"{', '.join(unknown)} in a SELECT is not understood")


def _names(node: exp.Expr, name: str) -> bool:
    return any(text_of(table.this) == name and not table.args.get("db") for table in node.find_all(exp.Table))


def _left(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.SetOperation):
        node = node.left
    return node


def either(one: Column, other: Column) -> Column:
    """Return a column whose rows come from both."""
    return Column(
        merge(one.flows, other.flows),
        counts=one.counts | other.counts,
        key=same_key((one.key, other.key)),
        conditional=one.conditional or other.conditional,
    )


def _unguarded(table: Table) -> Table:
    """Return ``table`` as rows that were there before: of what is known about groups nothing holds for them."""

    def of(flows: Flows) -> Flows:
        return changed(flows, lambda flow: replace(flow, guards=frozenset()) if flow.guards else flow)

    return replace(
        table,
        columns={
            name: replace(column, flows=of(column.flows), counts=frozenset()) for name, column in table.columns.items()
        },
        rows=of(table.rows),
    )


def _same(one: Table, other: Table) -> bool:
    return (
        one.rows.keys() == other.rows.keys()
        and one.columns.keys() == other.columns.keys()
        and all(
            column.flows.keys() == other.columns[name].flows.keys()
            and (column.counts, column.key, column.conditional)
            == (other.columns[name].counts, other.columns[name].key, other.columns[name].conditional)
            for name, column in one.columns.items()
        )
        and one.cells == other.cells
    )
