"""Lineage on the project as dbt compiles and runs it: it is proven, and what is planted in it is named."""

import shutil
import subprocess
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
import sqlglot
import yaml
from psycopg.rows import TupleRow
from sqlglot import exp

from orchestration.cells.regions import Cell
from orchestration.cells.shell_environment import DBT_PROJECT_DIR
from orchestration.defs.governance.lineage import lineage_checks
from orchestration.lineage.check import Lineage
from orchestration.lineage.check import prove as prove_project
from orchestration.lineage.compiling import CompileError, compiled, folder
from orchestration.lineage.project import project_of, read_manifest_file
from orchestration.lineage.proof import LineageError, fewest_persons, require_publishable
from orchestration.proofs.verify import PROVEN, UNPROVEN, verify
from orchestration.settings import PROJECT_ROOT, get_settings

Dbt = Callable[..., subprocess.CompletedProcess[str]]
Connection = psycopg.Connection[TupleRow]
Manifests = list[dict[str, Any]]

CELL: Cell = "na"
MODELS = sorted((PROJECT_ROOT / "dbt_project" / "models").rglob("*.sql"))
LEAKS: list[dict[str, Any]] = yaml.safe_load((PROJECT_ROOT / "tests" / "cases" / "lineage_leaks.yml").read_text())


@pytest.fixture(scope="module")
def before(database: Connection) -> list[Mapping[str, Any]]:  # noqa: ARG001 -- has to be there
    """The project compiled in a cell in which dbt has built nothing."""
    return compiled(CELL)


@pytest.fixture(scope="module")
def built(before: list[Mapping[str, Any]], dbt: Dbt, prove: Callable[..., None]) -> Dbt:  # noqa: ARG001 -- comes first
    prove()
    done = dbt("run")
    assert done.returncode == 0, done.stdout
    return dbt


@pytest.fixture(scope="module")
def manifests(built: Dbt) -> list[Mapping[str, Any]]:  # noqa: ARG001 -- tables have to be there
    """The project compiled in a cell in which its tables are there."""
    return compiled(CELL)


def said(found: Lineage) -> str:
    return "\n".join(map(str, (*found.leaks, *found.unproven)))


def planted(manifests: list[Mapping[str, Any]], models: Mapping[str, Mapping[str, Any]]) -> Manifests:
    """Return the manifests with further models, by relation: sql, meta."""
    copies = [{**manifest, "nodes": dict(manifest["nodes"])} for manifest in manifests]
    for relation, content in models.items():
        schema, name = relation.split(".")
        node = {
            "resource_type": "model",
            "schema": schema,
            "alias": name,
            "name": name,
            "compiled_code": content["sql"],
            "columns": {},
            "config": {"materialized": "table"},
            "meta": content.get("meta", {}),
        }
        for copy in copies:
            copy["nodes"][f"model.capstone.{name}"] = node
    return copies


def test_the_project_is_proven_before_its_first_build(before: list[Mapping[str, Any]]) -> None:
    found = prove_project(project_of(before), k=fewest_persons())
    assert found.holds, said(found)


def test_the_project_is_proven_in_every_way_in_which_a_run_can_build_it(manifests: list[Mapping[str, Any]]) -> None:
    found = prove_project(project_of(manifests), k=fewest_persons())
    assert found.holds, said(found)
    assert found.models == len(MODELS)
    several = [model for model in project_of(manifests).models.values() if len(model.queries) > 1]
    assert len(several) > 5


def test_what_was_compiled_is_good_until_the_tables_change(
    manifests: list[Mapping[str, Any]], database: Connection
) -> None:
    written = folder(CELL, get_settings()) / "whole" / "manifest.json"
    first = written.stat().st_mtime_ns
    assert len(compiled(CELL)) == len(manifests)
    assert written.stat().st_mtime_ns == first
    database.execute("create view staging.stg_passing as select 1 as one")
    try:
        compiled(CELL)
    finally:
        database.execute("drop view staging.stg_passing")
    assert written.stat().st_mtime_ns != first


def test_every_known_leak_is_named_in_the_compiled_project(manifests: list[Mapping[str, Any]]) -> None:
    models: dict[str, dict[str, Any]] = {}
    for number, leak in enumerate(LEAKS):
        meta = {"functions": leak.get("declared", {})}
        models[f"marts.leak_{number}"] = {"sql": leak["sql"], "meta": {**meta, "leaves_cell": True}}
        models |= {name: {"sql": sql, "meta": meta} for name, sql in leak.get("more", {}).items()}
    found = prove_project(project_of(planted(manifests, models)), k=10)
    survived = [leak["name"] for number, leak in enumerate(LEAKS) if not _is_named(found, leak, f"leak_{number}")]
    assert survived == []


def _is_named(found: Lineage, leak: dict[str, Any], name: str) -> bool:
    if "unproven" in leak:
        return any(each.where == f"marts.{name}" and leak["unproven"] in each.reason for each in found.unproven)
    column = None if leak["column"] == "rows" else leak["column"]
    places = [place.replace("leak", name) for place in leak["through"]]
    return any(
        (each.relation, str(each.origin), each.column) == (f"marts.{name}", leak["from"], column)
        and all(any(place in hop for hop in each.path) for place in places)
        for each in found.leaks
    )


# A mart, what its SQL is changed to (None: nothing), and where a path to it comes from and passes.
CHANGED = [
    ("fct_sessions", None, "analytics.events.country", ["intermediate.int_sessions.country"]),
    ("fct_sessions", None, "analytics.events.referrer", ["intermediate.int_sessions.referrer_domain"]),
    ("fct_funnel", None, "analytics.events (rows)", ["intermediate.int_funnel_paths (rows)"]),
    ("fct_funnel_by_first_touch", None, "analytics.events.device_type", ["intermediate.int_first_touch.device_type"]),
    ("fct_cohort_retention", None, "analytics.events (rows)", ["intermediate.int_user_periods (rows)"]),
    ("fct_user_paths", None, "analytics.events.user_id", ["staging.stg_events.user_id"]),
    ("fct_event_trends", None, "analytics.events_daily (rows)", ["staging.stg_events_daily (rows)"]),
    ("fct_daily_revenue", None, "ecommerce.orders.total_amount", ["staging.stg_orders.total_amount"]),
    (
        "fct_daily_revenue",
        ("sum(o.tax_amount)::numeric(16, 2) as tax_amount", "max(o.user_id)::numeric(16, 2) as tax_amount"),
        "ecommerce.orders.user_id",
        ["staging.stg_orders.user_id", "marts.fct_daily_revenue.tax_amount"],
    ),
    ("fct_customer_lifetime_value", None, "ecommerce.orders.user_id", ["intermediate.int_customer_orders"]),
]


@pytest.mark.parametrize(("mart", "change", "origin", "places"), CHANGED)
def test_a_mart_that_would_leave_as_it_is_is_named_with_its_path(
    manifests: list[Mapping[str, Any]], mart: str, change: tuple[str, str] | None, origin: str, places: list[str]
) -> None:
    changed = []
    for manifest in manifests:
        node = deepcopy(manifest["nodes"][f"model.capstone.{mart}"])
        node["config"]["meta"]["leaves_cell"] = True
        if change is not None:
            assert change[0] in node["compiled_code"]
            node["compiled_code"] = node["compiled_code"].replace(*change)
        changed.append({**manifest, "nodes": {**manifest["nodes"], f"model.capstone.{mart}": node}})
    found = prove_project(project_of(changed), k=10)
    paths = [leak.path for leak in found.leaks if str(leak.origin) == origin and leak.relation == f"marts.{mart}"]
    assert any(all(any(place in hop for hop in path) for place in places) for path in paths), said(found)[:4000]


def test_only_one_way_of_building_a_model_has_to_leak(manifests: list[Mapping[str, Any]]) -> None:
    copies = planted(manifests, {"marts.quiet": {"sql": "select 1 as one", "meta": {"leaves_cell": True}}})
    assert prove_project(project_of(copies), k=10).holds
    node = {**copies[-1]["nodes"]["model.capstone.quiet"], "compiled_code": "select id as one from ecommerce.users"}
    copies[-1]["nodes"]["model.capstone.quiet"] = node
    found = prove_project(project_of(copies), k=10)
    assert ("one", "ecommerce.users.id") in {(leak.column, str(leak.origin)) for leak in found.leaks}


def test_a_model_of_a_changed_project_is_followed_through_its_macro_and_its_meta(built: Dbt, tmp_path: Path) -> None:
    project = tmp_path / "dbt_project"
    shutil.copytree(DBT_PROJECT_DIR, project, ignore=shutil.ignore_patterns("target", "logs"))
    (project / "macros" / "planted.sql").write_text(
        "{% macro visitors(relation) %}(select md5(v.session_id::text) as visit from {{ relation }} as v){% endmacro %}"
    )
    (project / "models" / "marts" / "tenant" / "leak.sql").write_text(
        "{{ config(materialized='table', contract={'enforced': false}, post_hook='insert into marts.x select 1') }}\n"
        "select p.visit as label from {{ visitors(ref('stg_events')) }} as p"
    )
    (project / "models" / "marts" / "tenant" / "_leak.yml").write_text(
        "version: 2\nmodels:\n  - {name: leak, description: x, config: {meta: {leaves_cell: true}}}\n"
    )
    target = tmp_path / "target"
    done = built("compile", "--project-dir", str(project), "--target-path", str(target), DBT_PROJECT_DIR=str(project))
    assert done.returncode == 0, done.stdout
    found = prove_project(project_of([read_manifest_file(target / "manifest.json")]), k=10)
    assert (
        "analytics.events.session_id → staging.stg_events.session_id → leak: p.visit → marts.leak.label"
        " (pseudonym, value)" in map(str, found.leaks)
    )
    assert "marts.leak: has a hook that is no call of one macro" in map(str, found.unproven)


def test_strategies_write_nothing_but_what_the_query_gives(built: Dbt, prove: Callable[..., None]) -> None:
    """What macros were rendered to that declare that they insert the result."""
    ran = get_settings().home / "dbt" / CELL / "target" / "run"
    # Of other tests' runs there may be unit tests in it, whose literals are dbt's and no SQL of ours.
    shutil.rmtree(ran, ignore_errors=True)
    prove()
    assert built("run", "--vars", '{"start_day": "2026-03-03", "end_day": "2026-03-03"}').returncode == 0
    prove()
    # Once more: what is kept is compared with what is new.
    assert built("run").returncode == 0
    files = sorted(ran.rglob("*.sql"))
    assert len(files) >= len(MODELS)
    written = 0
    for file in files:
        for statement in sqlglot.parse(file.read_text().replace("$replace_view$", "'"), read="postgres"):
            if isinstance(statement, exp.Insert):
                written += 1
                assert _inserts_the_result(statement), file
            elif isinstance(statement, exp.Update):
                assert all(_is_of_the_result(each) for each in statement.expressions), file
            elif isinstance(statement, exp.Merge):
                pytest.fail(f"{file} merges")
    assert written > 10


def _inserts_the_result(statement: exp.Insert) -> bool:
    """Return whether the columns are inserted under their own names, from the temporary result or the query itself."""
    names = [each.name for each in statement.this.expressions]
    query = statement.expression.unnest() if isinstance(statement.expression, exp.Subquery) else statement.expression
    source = query.args["from_"].this
    from_result = isinstance(source, exp.Subquery) or "__dbt_tmp" in source.name
    return bool(names) and [each.alias_or_name for each in query.expressions] == names and from_result


def _is_of_the_result(assignment: exp.Expr) -> bool:
    return (
        isinstance(assignment, exp.EQ)
        and isinstance(assignment.right, exp.Column)
        and assignment.right.table == "n"
        and assignment.right.name == assignment.left.name
    )


def test_the_verdict_is_a_proof_as_any_other(manifests: list[Mapping[str, Any]]) -> None:  # noqa: ARG001 -- built
    verification = verify("lineage", [CELL])
    assert verification.exit_code == PROVEN
    assert [proof.suite for proof in verification.proofs] == ["lineage"]


def test_everything_is_lineage_too(manifests: list[Mapping[str, Any]]) -> None:  # noqa: ARG001 -- built
    verdicts = {proof.suite: proof.verdict for proof in verify("all", [CELL]).proofs}
    assert set(verdicts) == {"tenant_isolation", "geo_residency", "lineage"}
    assert verdicts["lineage"] == "green"


def test_a_cell_that_does_not_answer_is_not_proven(tmp_path: Path) -> None:
    gone = get_settings().model_copy(update={"home": tmp_path, "dsn_eu": None})
    assert verify("lineage", ["eu"], settings=gone).exit_code == UNPROVEN


def test_what_is_not_declared_to_leave_is_not_published(manifests: list[Mapping[str, Any]]) -> None:  # noqa: ARG001
    with pytest.raises(LineageError, match=r"marts\.fct_sessions: not declared to leave cell 'na'"):
        require_publishable(CELL, ["marts.fct_sessions"])


def evaluations(leaving: Mapping[str, dg.AssetKey]) -> dict[str, dg.AssetCheckEvaluation]:
    """Run the checks of ``leaving`` through Dagster and return what they said, by relation."""
    checks = lineage_checks(CELL, leaving)
    definitions = dg.Definitions(
        assets=[dg.AssetSpec(key) for key in leaving.values()],
        asset_checks=[checks],
        jobs=[dg.define_asset_job("follow", selection=dg.AssetSelection.checks(checks))],
    )
    result = definitions.resolve_job_def("follow").execute_in_process(raise_on_error=False)
    by_key = {each.asset_key: each for each in result.get_asset_check_evaluations()}
    return {relation: by_key[key] for relation, key in leaving.items()}


def test_the_asset_check_is_blocking_shows_numbers_and_passes_only_what_is_declared(
    manifests: list[Mapping[str, Any]],  # noqa: ARG001 -- compiled
) -> None:
    said_of = evaluations({"marts.fct_sessions": dg.AssetKey([CELL, "marts", "fct_sessions"])})["marts.fct_sessions"]
    assert not said_of.passed
    assert said_of.blocking
    assert said_of.metadata["models"].value == len(MODELS)
    assert said_of.metadata["k"].value == fewest_persons()


def test_the_asset_check_is_red_when_nothing_can_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(cell: Cell, settings: object = None) -> list[Mapping[str, Any]]:  # noqa: ARG001 -- as the original
        raise CompileError("the dbt project cannot be compiled")

    monkeypatch.setattr("orchestration.lineage.proof.compiled", broken)
    said_of = evaluations({"marts.agg_x": dg.AssetKey([CELL, "marts", "agg_x"])})["marts.agg_x"]
    assert not said_of.passed
    assert said_of.metadata["reason"].value == "the dbt project cannot be compiled"
    assert verify("lineage", [CELL]).exit_code == UNPROVEN
