"""What a project's manifest says besides queries: what cannot be followed, writes, or is not as declared, is red."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestration.lineage.check import Unproven, prove
from orchestration.lineage.functions import FunctionError, declared_functions
from orchestration.lineage.project import Macro, ManifestError, Project, digest_of, project_of, read_manifest_file
from tests.unit.lineage.conftest import Plant

K = 10


def reasons(project: Project) -> list[str]:
    return [str(each) for each in prove(project, k=K).unproven]


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        ({"materialized": "materialized_view"}, "marts.leak: is materialized as materialized_view"),
        ({"writes": ("insert into x select 1",)}, "marts.leak: has a hook that is no call of one macro"),
        ({"writes": ("{{ copy_rows(this) }}",)}, "marts.leak: hook copy_rows does not declare"),
        ({"writes": ("{{ a() }}{{ b() }}",)}, "marts.leak: has a hook that is no call of one macro"),
        ({"materialized": "incremental", "strategy": "mine"}, "marts.leak: macro get_incremental_mine_sql does not"),
        ({"raw": "{% set x = run_query('select 1') %}select 1 as one"}, "marts.leak: asks the database while dbt"),
        ({"incomplete": "was not compiled"}, "marts.leak: was not compiled"),
        ({"incomplete": "is written in python, which is not followed"}, "marts.leak: is written in python"),
        ({"columns": {"two": None}}, "marts.leak: has other columns than are declared: one, two"),
    ],
)
def test_what_is_not_followed_is_named(plant: Plant, meta: dict[str, Any], reason: str) -> None:
    assert [each for each in reasons(plant("select 1 as one", **meta)) if each.startswith(reason)]


@pytest.mark.parametrize(
    ("macro", "reason"),
    [
        (Macro("{% do run_query('insert into x select 1') %}", {}, False), "asks the database while dbt compiles"),
        (Macro("{%- call statement('x') -%}select 1{%- endcall -%}", {}, False), "asks the database while dbt"),
        (Macro("{{ adapter.execute('select 1') }}", {}, False), "asks the database while dbt compiles"),
        (Macro("select 1", {}, True), "stands in for dbt's own and does not declare what it writes"),
        (Macro("{% do run_query('x') %}", {"lineage": "as it likes"}, False), "asks the database while dbt compiles"),
    ],
)
def test_a_macro_that_asks_or_stands_in_says_what_it_is_for(staging: Project, macro: Macro, reason: str) -> None:
    (found,) = reasons(replace(staging, macros={**staging.macros, "planted": macro}))
    assert found.startswith(f"macro planted: {reason}")
    declared = replace(macro, meta={"lineage": "copies nothing"})
    assert reasons(replace(staging, macros={**staging.macros, "planted": declared})) == []


@pytest.mark.parametrize("hook", ["{{ secure_tenant_relation(this, readers=['app']) }}", "{{ assert_gate_open() }}"])
def test_a_macro_that_says_that_it_copies_nothing_may_be_a_hook(plant: Plant, hook: str) -> None:
    assert reasons(plant("select 1 as one", writes=(hook,))) == []


def test_hooks_of_a_run_snapshots_and_stored_failures_are_red(staging: Project) -> None:
    assert reasons(replace(staging, hooks=("{{ copy_all() }}",))) == [
        "dbt_project.yml: a hook of the whole run does not declare that it copies nothing"
    ]
    model = {"resource_type": "model", "schema": "s", "alias": "m", "name": "m", "compiled_code": "select 1"}
    nodes: dict[str, dict[str, Any]] = {
        "model.x.m": {**model, "config": {"materialized": "table"}},
        "snapshot.x.s": {"resource_type": "snapshot"},
        "test.x.t": {"resource_type": "test", "config": {"store_failures": True}},
    }
    assert reasons(project_of([{"nodes": nodes}])) == [
        "dbt_project.yml: snapshot.x.s is a snapshot: its rows are not followed",
        "dbt_project.yml: test.x.t stores failing rows, which is a copy of them",
    ]


@pytest.mark.parametrize(
    ("sql", "columns", "generalised", "reason"),
    [
        (
            "select email as e from ecommerce.users",
            {"e": None},
            {},
            "is declared not personal, and what it is made of is direct: ecommerce.users.email → marts.leak.e",
        ),
        ("select email as e from ecommerce.users", {"e": "quasi"}, {}, "is declared quasi, and what it is made of"),
        ("select 'x' as e", {"e": "quasi"}, {}, "is declared quasi, and what it is made of is not personal"),
        ("select left(email, 1) as e from ecommerce.users", {"e": "quasi"}, {"e": "a letter"}, None),
        (
            "select email as e from ecommerce.users",
            {"e": "direct"},
            {"e": "for nothing"},
            "a generalisation and is none",
        ),
        ("select 'x' as e", {"e": None}, {"e": "of nothing"}, "is declared a generalisation and is none"),
        ("select count(email) as e from ecommerce.users", {"e": None}, {}, None),
        ("select email like '%@x' as e from ecommerce.users", {"e": None}, {}, None),
    ],
)
def test_a_column_is_declared_as_what_it_is_made_of(
    plant: Plant, sql: str, columns: dict[str, Any], generalised: dict[str, str], reason: str | None
) -> None:
    planted = plant(sql, columns=columns, generalised=generalised, leaves_cell=False)
    found = [each for each in reasons(planted) if each.startswith("marts.leak.e: ")]
    assert [reason in each for each in found] == [True] if reason else found == []


def test_a_generalised_column_is_of_its_lower_class_for_whoever_reads_it(plant: Plant) -> None:
    project = plant(
        "select h.host, count(*) as n from s.hosts as h group by h.host, h.tenant_id"
        " having count(distinct h.user_id) >= 10"
    )
    hosts = replace(
        plant("select tenant_id, user_id, lower(referrer) as host from analytics.events").models["marts.leak"],
        name="s.hosts",
        leaves_cell=False,
        columns={"tenant_id": None, "user_id": "account", "host": "quasi"},
        generalised={"host": "the host only"},
    )
    assert prove(replace(project, models={**project.models, "s.hosts": hosts}), k=K).holds
    as_it_is = replace(hosts, generalised={}, columns={**hosts.columns, "host": "direct"})
    assert prove(replace(project, models={**project.models, "s.hosts": as_it_is}), k=K).leaks


def test_models_that_read_each_other_in_a_circle_are_red(plant: Plant) -> None:
    found = reasons(plant("select b from s.other", more={"s.other": "select label as b from marts.leak"}))
    assert any("is read by what it reads" in each for each in found)


def test_a_model_that_reads_its_own_rows_is_followed(plant: Plant) -> None:
    found = prove(
        plant(
            "select u.email as mail, '' as before from ecommerce.users as u"
            " union all select t.before, t.mail from marts.leak as t"
        ),
        k=K,
    )
    named = {(leak.column, str(leak.origin)) for leak in found.leaks if leak.kind == "value"}
    assert named == {("mail", "ecommerce.users.email"), ("before", "ecommerce.users.email")}


def test_a_manifest_that_is_missing_damaged_or_empty_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    with pytest.raises(ManifestError, match="does not exist"):
        read_manifest_file(path)
    path.write_text("{")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest_file(path)
    path.write_text("[]")
    with pytest.raises(ManifestError, match="is no manifest"):
        read_manifest_file(path)
    with pytest.raises(ManifestError, match="no compiled manifest"):
        project_of([])
    with pytest.raises(ManifestError, match="has no model"):
        project_of([{"nodes": {}}])


@pytest.mark.parametrize("says", [{"f": "all"}, {"f": ["mail"]}, ["f"], {"f": None}])
def test_a_function_is_declared_in_one_of_three_ways(says: object) -> None:
    with pytest.raises(FunctionError, match=r"meta\.functions"):
        declared_functions(says)


def test_nothing_proven_holds_nothing() -> None:
    assert not prove(Project({}, {}), k=K).holds


def test_the_digest_is_of_all_that_is_proven(staging: Project, plant: Plant) -> None:
    assert digest_of(staging) == digest_of(replace(staging))
    assert digest_of(plant("select 1 as a")) != digest_of(plant("select 2 as a"))


def test_what_is_unproven_is_said_with_its_place() -> None:
    assert str(Unproven("s.m", "cannot be parsed")) == "s.m: cannot be parsed"
