"""Pipelines of random models whose lineage is known by how they were made: the check finds exactly that."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp
from sqlglot.lineage import lineage

from orchestration.lineage.check import prove
from orchestration.lineage.flows import Origin
from orchestration.lineage.project import Model, Project, Source

SOURCES = {
    "src.people": Source(
        "src.people",
        {"tenant_id": None, "person_id": "person", "email": "direct", "country": "quasi", "amount": None},
    ),
    "src.visits": Source("src.visits", {"tenant_id": None, "user_id": "account", "page": "direct", "seen_at": None}),
    "src.plans": Source("src.plans", {"plan": None, "price": None}),
}
K = 10
# Where sqlglot's own lineage stops: columns of VALUES and unnest, and those of the query around a subquery.
STOPS = ("lateral", "(select r.", "(select l.")

# A column's name -> the source columns whose value is in it.
Truth = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Made:
    """A relation of a pipeline and what is known of it."""

    name: str
    sql: str
    truth: Truth


Draw = Callable[[st.SearchStrategy[int]], int]


def _pick(draw: Draw, things: Sequence[str]) -> str:
    return things[draw(st.integers(0, len(things) - 1))]


def _expression(draw: Draw, of: Truth, alias: str) -> tuple[str, frozenset[str]]:
    """Return an expression over the columns of a relation called ``alias``, and what is in it."""
    one, other = (_pick(draw, list(of)) for _ in range(2))
    both = of[one] | of[other]
    return [
        (f"{alias}.{one}", of[one]),
        (f"lower({alias}.{one}::text)", of[one]),
        (f"{alias}.{one}::text || '-' || {alias}.{other}::text", both),
        (f"coalesce({alias}.{one}::text, {alias}.{other}::text)", both),
        (f"case when random() > 0.5 then {alias}.{one}::text else {alias}.{other}::text end", both),
        (f"lag({alias}.{one}) over (order by 1)", of[one]),
        (f"(array[{alias}.{one}::text, {alias}.{other}::text])[1]", both),
        (f"(select {alias}.{one} from src.plans as q limit 1)", of[one]),
        ("42", frozenset()),
    ][draw(st.integers(0, 8))]


def _columns(draw: Draw, of: Truth, alias: str, names: Sequence[str]) -> tuple[str, dict[str, frozenset[str]]]:
    parts, truth = [], {}
    for name in names:
        sql, inside = _expression(draw, of, alias)
        parts.append(f"{sql} as {name}")
        truth[name] = inside
    return ", ".join(parts), truth


def _projection(draw: Draw, known: Sequence[Made]) -> tuple[str, Truth]:
    source = known[draw(st.integers(0, len(known) - 1))]
    columns, truth = _columns(draw, source.truth, "r", ["a", "b", "c"])
    return f"select {columns} from {source.name} as r", truth


def _in_ctes(draw: Draw, known: Sequence[Made]) -> tuple[str, Truth]:
    inner, truth = _projection(draw, known)
    return f"with one as ({inner}), two (x, y, z) as (select * from one) select * from two", dict(
        zip("xyz", truth.values(), strict=True)
    )


def _union(draw: Draw, known: Sequence[Made]) -> tuple[str, Truth]:
    (left, one), (right, other) = _projection(draw, known), _projection(draw, known)
    truth = {name: one[name] | there for name, there in zip(one, other.values(), strict=True)}
    return f"{left} union all ({right})", truth


def _join(draw: Draw, known: Sequence[Made]) -> tuple[str, Truth]:
    one, other = (known[draw(st.integers(0, len(known) - 1))] for _ in range(2))
    left, of_left = _columns(draw, one.truth, "l", ["a", "b"])
    right, of_right = _columns(draw, other.truth, "r", ["c"])
    return f"select {left}, {right} from {one.name} as l cross join {other.name} as r", {**of_left, **of_right}


def _lateral(draw: Draw, known: Sequence[Made]) -> tuple[str, Truth]:
    source = known[draw(st.integers(0, len(known) - 1))]
    (one, in_one), (other, in_other) = (_expression(draw, source.truth, "r") for _ in range(2))
    sql = (
        f"select v.a, n.b from {source.name} as r cross join lateral (values ({one}::text), ({other}::text)) as v (a)"
        f" cross join lateral unnest(array[{one}::text]) as n (b)"
    )
    return sql, {"a": in_one | in_other, "b": in_one}


def _greatest(draw: Draw, known: Sequence[Made]) -> tuple[str, Truth]:
    source = known[draw(st.integers(0, len(known) - 1))]
    key, value = (_pick(draw, list(source.truth)) for _ in range(2))
    sql = f"select r.{key} as a, max(r.{value}) as b from {source.name} as r group by r.{key}"
    return sql, {"a": source.truth[key], "b": source.truth[value]}


MAKERS = (_projection, _in_ctes, _union, _join, _lateral, _greatest)


@st.composite
def pipelines(draw: Draw) -> list[Made]:
    """One to six models, each of what comes before it."""
    known = [
        Made(
            name,
            "",
            {
                column: frozenset({f"{name}.{column}"}) if source.is_personal else frozenset()
                for column in source.columns
            },
        )
        for name, source in SOURCES.items()
    ]
    models = []
    for number in range(draw(st.integers(1, 6))):
        sql, truth = MAKERS[draw(st.integers(0, len(MAKERS) - 1))](draw, known)
        models.append(Made(f"models.m{number}", sql, truth))
        known.append(models[-1])
    return models


def _project(models: Sequence[Made], *, last_leaves: bool = True) -> Project:
    return Project(
        SOURCES,
        {
            made.name: Model(made.name, (made.sql,), {}, leaves_cell=last_leaves and made is models[-1])
            for made in models
        },
    )


@settings(max_examples=300, deadline=None)
@given(pipelines())
def test_the_values_in_every_column_are_those_that_were_put_there(models: list[Made]) -> None:
    found = prove(_project(models), k=K)
    # Nothing here is declared personal, so that what is, is all that may be said of it.
    assert not [each for each in found.unproven if "is declared not personal" not in each.reason]
    for made in models:
        table = found.tables[made.name]
        assert {
            name: frozenset(str(flow.origin) for flow in column.flows if flow.kind == "value")
            for name, column in table.columns.items()
        } == made.truth, made.sql


@settings(max_examples=150, deadline=None)
@given(pipelines())
def test_each_personal_value_that_leaves_is_named_with_a_path_from_its_source(models: list[Made]) -> None:
    found = prove(_project(models), k=K)
    last = models[-1]
    named = {(leak.column, str(leak.origin)) for leak in found.leaks if leak.kind == "value"}
    assert named == {(name, origin) for name, origins in last.truth.items() for origin in origins}
    for leak in found.leaks:
        assert leak.path
        assert leak.path[-1] in (f"{last.name}.{leak.column}", f"{last.name} (rows)")


@settings(max_examples=150, deadline=None)
@given(pipelines(), st.integers(8, 12))
def test_only_groups_of_k_persons_leave(models: list[Made], fewest: int) -> None:
    groups = Made(
        "models.groups",
        "select p.country, count(*) as n from src.people as p group by p.country"
        f" having count(distinct p.person_id) >= {fewest}",
        {},
    )
    found = prove(_project([*models, groups]), k=K)
    assert bool(found.leaks) == (fewest < K)
    assert all(leak.origin in (Origin("src.people", None), *_columns_of_people()) for leak in found.leaks)


def _columns_of_people() -> list[Origin]:
    return [Origin("src.people", column) for column in SOURCES["src.people"].columns]


def _leaves(column: str, models: Sequence[Made]) -> tuple[set[str], bool]:
    """Return the source columns that sqlglot's own lineage ends at, and whether it ends nowhere else."""
    schema: dict[str, dict[str, dict[str, str]]] = {}
    for source in SOURCES.values():
        space, name = source.name.split(".")
        schema.setdefault(space, {})[name] = dict.fromkeys(source.columns, "text")
    node = lineage(
        column, models[-1].sql, schema=schema, sources={made.name: made.sql for made in models[:-1]}, dialect="postgres"
    )
    ends = [each for each in node.walk() if not each.downstream]
    at_sources = [(each.name, each.source) for each in ends if isinstance(each.source, exp.Table)]
    found = {f"{table.db}.{table.name}.{name.split('.')[-1]}" for name, table in at_sources}
    return found, len(at_sources) == len(ends)


@settings(max_examples=100, deadline=None)
@given(pipelines())
def test_sqlglots_own_lineage_finds_nothing_else(models: list[Made]) -> None:
    last = models[-1]
    for column, truth in last.truth.items():
        found, complete = _leaves(column, models)
        personal = {each for each in found if SOURCES[each.rpartition(".")[0]].is_personal}
        assert personal <= truth
        assert personal == truth or not complete or any(word in made.sql for made in models for word in STOPS)
