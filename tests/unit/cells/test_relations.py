"""The declared relations: how they are read, and what is refused."""

from pathlib import Path
from typing import get_args

import pytest

from orchestration.cells.relations import Edition, RelationsError, load_relations, parse_relations

GOOD = (
    "  - {name: saas.users, kind: tenant, relkind: table, tenant_column: tenant_id,"
    " personal: {email: direct}, app: [select]}\n"
)


def parse(tmp_path: Path, text: str) -> str:
    path = tmp_path / "relations.yml"
    path.write_text(text)
    with pytest.raises(RelationsError) as error:
        parse_relations(path, "apache")
    return str(error.value)


def test_a_declaration_is_read_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "relations.yml"
    path.write_text("relations:\n" + GOOD)
    (relation,) = parse_relations(path, "apache")
    assert (relation.name, relation.schema, relation.table) == ("saas.users", "saas", "users")
    assert (relation.kind, relation.relkind, relation.tenant_column) == ("tenant", "table", "tenant_id")
    assert (relation.personal, relation.app, relation.line) == ({"email": "direct"}, ("select",), 2)


def test_what_says_or_leads_to_who_it_is_identifies_and_a_trait_does_not() -> None:
    events = next(relation for relation in load_relations() if relation.name == "analytics.events")
    assert events.personal["country"] == "quasi"
    assert set(events.personal) - set(events.identifying) == {"country", "device_type"}


def test_a_relation_is_what_the_edition_makes_it() -> None:
    assert {r.relkind for r in load_relations("apache") if r.name == "analytics.events_hourly"} == {"view"}
    assert {r.relkind for r in load_relations("community") if r.name == "analytics.events_hourly"} == {
        "continuous_aggregate"
    }


def test_a_relation_that_an_edition_does_not_have_is_not_declared_there() -> None:
    kept = "analytics.events_hourly_kept"
    assert [edition for edition in get_args(Edition) if kept in {r.name for r in load_relations(edition)}] == ["apache"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("  - {kind: global, relkind: table, app: []}\n", "name must be schema.relation"),
        ("  - {name: users, kind: global, relkind: table, app: []}\n", "name must be schema.relation"),
        (GOOD, "declared already at line 2"),
        ("  - {name: a.b, kind: secret, relkind: table, app: []}\n", "kind is 'secret'"),
        ("  - {name: a.b, kind: global, relkind: index, app: []}\n", "relkind is 'index'"),
        ("  - {name: a.b, kind: global, relkind: {apache: table}, app: []}\n", "exactly the keys apache and community"),
        ("  - {name: a.b, kind: global, relkind: {apache: null, community: null}, app: []}\n", "null on both editions"),
        ("  - {name: a.b, kind: global, relkind: table}\n", "app is missing"),
        ("  - {name: a.b, kind: global, relkind: table, app: [truncate]}\n", "app is ['truncate']"),
        ("  - {name: a.b, kind: global, relkind: table, app: select}\n", "a list of names is needed"),
        ("  - {name: a.b, kind: tenant, relkind: table, app: []}\n", "tenant_column is needed"),
        ("  - {name: a.b, kind: global, relkind: table, tenant_column: x, app: []}\n", "for no other"),
        ("  - {name: a.b, kind: person, relkind: table, app: [select]}\n", "must have no privilege"),
        (
            "  - {name: a.b, kind: tenant, relkind: hypertable, tenant_column: t, app: [select]}\n",
            "must have no privilege",
        ),
        ("  - {name: a.b, kind: global, relkind: table, app: [], owner: me}\n", "unknown key owner"),
        ("  - {name: a.b, kind: global, relkind: table, app: [], over: saas.users}\n", "only a view has one"),
        ("  - {name: a.b, kind: global, relkind: view, app: [], over: saas.missing}\n", "which is not declared"),
        ("  - {name: a.b, kind: global, relkind: table, app: [], personal: [email]}\n", "a class per column is needed"),
        ("  - {name: a.b, kind: global, relkind: table, app: [], personal: {email: secret}}\n", "of class 'secret'"),
        ("  - {name: a.b, kind: global, relkind: table, app: [], personal: {E-mail: direct}}\n", "'E-mail'"),
        ("  - {name: a.b, name: a.c, kind: global, relkind: view, app: []}\n", "'name' is given twice"),
        ("  - a.b\n", "entry 2 is no mapping"),
        ("  - {name: a.b\n", "relations.yml:4"),
    ],
)
def test_an_entry_that_cannot_be_right_is_refused_with_its_line(tmp_path: Path, entry: str, said: str) -> None:
    message = parse(tmp_path, "relations:\n" + GOOD + entry)
    assert said in message
    assert "relations.yml" in message


def test_a_missing_or_empty_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RelationsError, match="does not exist"):
        parse_relations(tmp_path / "none.yml", "apache")
    assert "a list named relations is needed" in parse(tmp_path, "")
    assert "a list named relations is needed" in parse(tmp_path, "relations: []")
