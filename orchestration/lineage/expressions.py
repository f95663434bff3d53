"""What an expression is made of: the flows of the columns in it, as values, as figures or as what decides."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from orchestration.lineage import functions
from orchestration.lineage.flows import (
    Column,
    Flows,
    Key,
    Table,
    changed,
    decided,
    figured,
    grouped,
    guarded,
    is_identifying,
    key_of_parts,
    merge,
    same_key,
)
from orchestration.lineage.functions import Declared
from orchestration.lineage.scope import Scope, UnresolvedError, row_value, text_of

# A count is the same count in one of these.
_INTEGERS = (exp.DType.BIGINT, exp.DType.INT)

# What a query has besides columns and functions, and nobody's data in it. Any other leaf is not understood.
_NOTHING_IN_IT = (
    exp.Literal,
    exp.Null,
    exp.Boolean,
    exp.BitString,
    exp.DataType,
    exp.Var,
    exp.Star,
    exp.JSONPath,
    exp.WindowSpec,
)
# What a part of an expression is only called.
_NAMES: set[tuple[type[exp.Expr], str]] = {
    (exp.Unnest, "alias"),
    (exp.Unnest, "offset"),
    (exp.Collate, "expression"),
    (exp.Kwarg, "this"),
}
# A constructor that the parser takes for a function.
_ROW = Declared(arguments=True, columns=())
# Arithmetic carries on that a value is there in some rows only; a function or an array may not.
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Neg, exp.Coalesce)


@dataclass(frozen=True)
class Expressions:
    """Reads expressions.

    Attributes:
        query: reads a query within an expression.
        declared: what the project says of functions, by name.
        source: a source column by ``schema.table.column``.
        number: the number of those rows of a group that pass a condition, by the group's number and the condition.
        in_window: the number of a group, by its own, for what a window function takes from other rows.
    """

    query: Callable[[exp.Expr, Scope], Table]
    declared: Mapping[str, Declared]
    source: Callable[[str], Column]
    number: Callable[[int, str], int]
    in_window: Callable[[int], int]

    def read(self, node: exp.Expr, scope: Scope) -> Column:
        """Return what ``node`` is made of.

        Raises:
            UnresolvedError: something in it leads to no declared column.
        """
        if scope.group is not None and (key := scope.group.expressions.get(node)) is not None:
            return key
        readers: tuple[tuple[tuple[type[exp.Expr], ...], Callable[..., Column]], ...] = (
            ((exp.Column,), self._column),
            ((exp.Alias, exp.Paren), self._wrapped),
            ((exp.Cast,), self._cast),
            ((exp.Query,), self._subquery),
            ((exp.Window,), self._window),
            ((exp.Filter, exp.WithinGroup, exp.AggFunc), self._aggregate),
            ((exp.Anonymous, exp.Dot), self._call_or_field),
        )
        for kinds, read in readers:
            if isinstance(node, kinds):
                return read(node, scope)
        return self._composed(node, scope)

    def flows(self, node: exp.Expr | None, scope: Scope) -> Flows:
        """Return the flows of ``node`` as a value."""
        return self.read(node, scope).flows if node is not None else {}

    def all_flows(self, nodes: Sequence[exp.Expr], scope: Scope) -> Flows:
        """Return the flows of all ``nodes`` together."""
        return merge(*(self.flows(node, scope) for node in nodes))

    def _column(self, node: exp.Column, scope: Scope) -> Column:
        if not isinstance(node.this, exp.Star):
            return scope.column(node)
        name = text_of(node.args.get("table"))
        row = scope.whole_row(name)
        if row is None:
            raise UnresolvedError(f"{node.sql('postgres')} names no relation of the query")
        return row_value(row, name)

    def _wrapped(self, node: exp.Expr, scope: Scope) -> Column:
        return self.read(node.this, scope)

    def _cast(self, node: exp.Cast, scope: Scope) -> Column:
        column = self.read(node.this, scope)
        counts = not node.to.expressions and node.to.this in _INTEGERS
        return replace(column, counts=column.counts if counts else frozenset())

    def _subquery(self, node: exp.Expr, scope: Scope) -> Column:
        table = self.query(node, scope)
        return Column(merge(*(column.flows for column in table.columns.values()), decided(table.rows)))

    def _window(self, node: exp.Window, scope: Scope) -> Column:
        function = node.this
        condition: Flows = {}
        while isinstance(function, exp.Filter | exp.IgnoreNulls | exp.RespectNulls):
            condition = merge(condition, self.flows(_condition(function), scope))
            function = function.this
        values = self.all_flows(list(children(function)), scope)
        frames = [node]
        while name := text_of(frames[-1].args.get("alias")):
            if name not in scope.windows:
                raise UnresolvedError(f"window {name} is not defined")
            frames.append(scope.windows[name])
        order = [
            each
            for frame in frames
            for each in [*(frame.args.get("partition_by") or []), *ordered(frame.args.get("order"))]
        ]
        values = decided(values) if functions.is_rank(function) else values
        flows = merge(values, decided(condition), decided(self.all_flows(order, scope)))
        # They are of other rows too: what is known of a group later on is known of this row only.
        return Column(changed(flows, lambda flow: replace(flow, guards=frozenset(map(self.in_window, flow.guards)))))

    def _aggregate(self, node: exp.Expr, scope: Scope) -> Column:
        """Return what an aggregate of a group is made of, with the guard under which it tells of nobody.

        A count or sum over a group is gone once the group holds k persons; with a FILTER, once those of its rows do
        that pass it. What hands out somebody's own value, or sums what only some rows have, has no guard.
        """
        aggregate, condition, order = _parts(node)
        if not functions.is_aggregate(aggregate):
            return self._composed(node, scope)
        # The arguments are those of single rows, not of groups.
        rows = replace(scope, group=None)
        arguments = [*children(aggregate), *ordered(order)]
        columns = [self.read(each, rows) for each in arguments]
        flows = merge(*(column.flows for column in columns))
        if isinstance(aggregate, exp.Count) and isinstance(aggregate.this, exp.Star):
            flows = changed(scope.rows, lambda flow: replace(flow, kind="figure"))
        deciding = decided(self.flows(condition, rows))
        if not functions.is_safe(aggregate) or scope.group is None:
            return Column(merge(flows, deciding))
        flows = flows if isinstance(aggregate, exp.Sum | exp.Avg | exp.PercentileCont) else figured(flows)
        who = {flow: path for flow, path in flows.items() if is_identifying(flow)}
        others = figured({flow: path for flow, path in flows.items() if flow not in who})
        if isinstance(aggregate, exp.Count) and scope.cells:
            return Column(grouped(merge(who, others, deciding)))
        if any(column.conditional for column in columns) or any(map(functions.is_conditional, arguments)):
            return Column(merge(who, others, deciding))
        number = scope.group.number
        own = number if condition is None else self.number(number, condition.sql("postgres"))
        counts = frozenset({own, number}) if self._counts_persons(aggregate, scope) else frozenset()
        return Column(merge(who, guarded(merge(others, deciding), frozenset({own}))), counts=counts)

    def _counts_persons(self, aggregate: exp.Expr, scope: Scope) -> bool:
        """Return whether an aggregate counts distinct persons, no one twice.

        An account is one tenant's: where a group may hold rows of several tenants, a person may have several.
        """
        distinct = aggregate.this
        if not isinstance(aggregate, exp.Count) or not isinstance(distinct, exp.Distinct) or scope.group is None:
            return False
        rows = replace(scope, group=None)
        key = key_of_parts(self.read(each, rows).key for each in distinct.expressions)
        if key is None or key.of == "tenant":
            return False
        return key.of in ("person", "any") or scope.is_within_tenant(key)

    def _call_or_field(self, node: exp.Expr, scope: Scope) -> Column:
        if isinstance(node, exp.Dot):
            if not isinstance(node.expression, exp.Func):
                return self._field(node, scope)
            schema = node.this.sql("postgres").lower()
            function: exp.Expr = node.expression
            name = _called(function)
            if schema != "pg_catalog":
                name = f"{schema}.{name}"
            elif not isinstance(function, exp.Anonymous):
                return self.read(function, scope)
        else:
            function, name = node, _called(node)
        says = _ROW if name == "row" else self.declared.get(name)
        if says is None:
            raise UnresolvedError(f"what function {name} gives is not declared: say so in meta.functions")
        given = self.all_flows(list(children(function)), scope)
        if not says.arguments:
            return Column()
        return Column(merge(given, *(self.source(column).flows for column in says.columns)))

    def _field(self, node: exp.Dot, scope: Scope) -> Column:
        """Return a field of a composite value, as ``(e).email``: the column where the value is a relation's row."""
        value = node.this.unnest() if isinstance(node.this, exp.Paren) else node.this
        if isinstance(value, exp.Column) and not value.table and isinstance(node.expression, exp.Identifier):
            row = scope.whole_row(text_of(value.this))
            if row is not None:
                found = row.columns.get(text_of(node.expression))
                return found if found is not None else row_value(row, text_of(value.this))
        return Column(self.flows(value, scope))

    def _composed(self, node: exp.Expr, scope: Scope) -> Column:
        if isinstance(node, exp.Case | exp.If):
            return self._choice(node, scope)
        if isinstance(node, exp.Order):
            order = decided(self.all_flows(ordered(node), scope))
            return Column(merge(self.flows(node.this, scope), order))
        parts = list(children(node))
        if not parts and not isinstance(node, (*_NOTHING_IN_IT, exp.Func)):
            raise UnresolvedError(f"{type(node).__name__} {node.sql('postgres')} is not understood")
        columns = [self.read(part, scope) for part in parts]
        flows = merge(*(column.flows for column in columns))
        if isinstance(node, exp.Predicate):
            return Column(decided(flows))
        some = isinstance(node, exp.Nullif) or (
            isinstance(node, _ARITHMETIC) and any(column.conditional for column in columns)
        )
        key: Key | None = None
        if isinstance(node, exp.Coalesce):
            key = same_key(column.key for column in columns)
        elif isinstance(node, exp.DPipe | exp.Tuple):
            # A constant between keys makes no two of one.
            key = key_of_parts(
                column.key for part, column in zip(parts, columns, strict=True) if not isinstance(part, exp.Literal)
            )
        return Column(flows, conditional=some, key=key)

    def _choice(self, node: exp.Expr, scope: Scope) -> Column:
        branches = node.args.get("ifs") or [node]
        conditions = [node.this] if isinstance(node, exp.Case) and node.this is not None else []
        conditions += [branch.this for branch in branches]
        results = [branch.args.get("true") for branch in branches]
        results += [node.args.get("default"), node.args.get("false")]
        given = [result for result in results if isinstance(result, exp.Expr)]
        return Column(
            merge(self.all_flows(given, scope), decided(self.all_flows(conditions, scope))),
            conditional=True,
        )


def children(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the expressions that ``node`` is directly made of."""
    if isinstance(node, exp.JSONPath | exp.DataType | exp.WindowSpec):
        return
    for name, value in node.args.items():
        if (type(node), name) in _NAMES:
            continue
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, exp.Expr):
                yield each


def ordered(order: exp.Expr | None) -> list[exp.Expr]:
    """Return what an ORDER BY orders by."""
    return [each.this if isinstance(each, exp.Ordered) else each for each in order.expressions] if order else []


def _condition(node: exp.Expr) -> exp.Expr | None:
    where = node.args.get("expression")
    return where.this if isinstance(where, exp.Where) else where


def _parts(node: exp.Expr) -> tuple[exp.Expr, exp.Expr | None, exp.Expr | None]:
    """Return an aggregate without its FILTER and WITHIN GROUP, the condition of the one and the order of the other."""
    condition: exp.Expr | None = None
    order: exp.Expr | None = None
    while isinstance(node, exp.Filter | exp.WithinGroup):
        if isinstance(node, exp.Filter):
            condition = _condition(node)
        else:
            order = node.expression
        node = node.this
    return node, condition, order


def _called(node: exp.Expr) -> str:
    if isinstance(node, exp.Func) and not isinstance(node, exp.Anonymous):
        return str(node.sql_name()).lower()
    return node.name.lower()
