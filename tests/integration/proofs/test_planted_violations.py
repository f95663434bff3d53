"""Each known hole, planted in a real cell: the suite names it with a count, and mending it turns the cell green."""

import json
import re
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest

from orchestration.cells import endpoints
from orchestration.proofs.proof import SUITES_DIRECTORY, Proof, data_docs
from orchestration.proofs.verify import verify
from orchestration.quality.suite import load_suite
from orchestration.quality.validation import validate

if TYPE_CHECKING:
    from tests.integration.proofs.conftest import ProofCells

# In every personal column of the seed.
MARKER = "m4rk3r"

ISOLATION, RESIDENCY = "tenant_isolation", "geo_residency"
EXACT = (
    "using (tenant_id = (select platform.current_tenant())) with check (tenant_id = (select platform.current_tenant()))"
)
DEFINER_FUNCTION = (
    "create function platform.peek() returns bigint language sql security definer as 'select 1::bigint';;"
    "grant execute on function platform.peek() to app"
)
ON_A_CHUNK = "do $$ begin execute format('{}', (select min(c::text) from show_chunks('analytics.events') as c)); end $$"

# Holes that would make others show, or be shown by others.
ALONE = ("app_is_unprivileged", "tenant_context_is_stable")

# (suite, rule, offender, plant, mend): statements separated by ;;
CATALOG_HOLES = [
    (
        ISOLATION,
        "relations_are_declared",
        "public.stray",
        "create table public.stray (x int)",
        "drop table public.stray",
    ),
    (
        ISOLATION,
        "relations_are_declared",
        "ecommerce.undeclared_view",
        "create view ecommerce.undeclared_view as select 1 as one",
        "drop view ecommerce.undeclared_view",
    ),
    (
        ISOLATION,
        "row_security_is_forced",
        "ecommerce.wishlists",
        "create table ecommerce.wishlists (tenant_id uuid);;grant select on ecommerce.wishlists to app",
        "drop table ecommerce.wishlists",
    ),
    (
        ISOLATION,
        "row_security_is_forced",
        "ecommerce.orders",
        "alter table ecommerce.orders no force row level security",
        "alter table ecommerce.orders force row level security",
    ),
    (
        ISOLATION,
        "policies_are_exact",
        "ecommerce.carts",
        "alter policy tenant_isolation on ecommerce.carts using (true)",
        f"alter policy tenant_isolation on ecommerce.carts {EXACT}",
    ),
    (
        ISOLATION,
        "policies_are_exact",
        "ecommerce.reviews",
        "alter policy tenant_isolation on ecommerce.reviews with check (true)",
        f"alter policy tenant_isolation on ecommerce.reviews {EXACT}",
    ),
    (
        ISOLATION,
        "policies_are_exact",
        "saas.projects",
        "create policy shared on saas.projects for select using (name = 'Project')",
        "drop policy shared on saas.projects",
    ),
    (
        ISOLATION,
        "privileges_are_declared",
        "platform.loads (app)",
        "grant select on platform.loads to public",
        "revoke select on platform.loads from public",
    ),
    (
        ISOLATION,
        "privileges_are_declared",
        "platform.proofs (app)",
        "grant select (verdict) on platform.proofs to app",
        "revoke select (verdict) on platform.proofs from app",
    ),
    (
        ISOLATION,
        "no_table_level_rights",
        "ecommerce.orders (truncate by app)",
        "grant truncate on ecommerce.orders to app",
        "revoke truncate on ecommerce.orders from app",
    ),
    (
        ISOLATION,
        "hypertables_are_closed",
        "analytics.events (hypertable, app)",
        "grant select on analytics.events to app",
        "revoke select on analytics.events from app",
    ),
    (
        ISOLATION,
        "hypertables_are_closed",
        "analytics.events (chunk, app)",
        ON_A_CHUNK.format("grant select on %s to app"),
        ON_A_CHUNK.format("revoke select on %s from app"),
    ),
    (
        ISOLATION,
        "chunk_schemas_are_closed",
        "analytics_chunks (app)",
        "grant usage on schema analytics_chunks to app",
        "revoke usage on schema analytics_chunks from app",
    ),
    (ISOLATION, "app_is_unprivileged", "app (bypassrls)", "alter role app bypassrls", "alter role app nobypassrls"),
    (ISOLATION, "app_is_unprivileged", "app (member of owner)", "grant owner to app", "revoke owner from app"),
    (
        ISOLATION,
        "views_are_barriers",
        "analytics.tenant_events (no security_barrier)",
        "alter view analytics.tenant_events reset (security_barrier)",
        "alter view analytics.tenant_events set (security_barrier = true)",
    ),
    (
        ISOLATION,
        "views_are_barriers",
        "analytics.tenant_events (owned by a login)",
        "alter view analytics.tenant_events owner to migrator",
        "alter view analytics.tenant_events owner to owner",
    ),
    (
        ISOLATION,
        "definer_functions_are_closed",
        "platform.peek() (app)",
        DEFINER_FUNCTION,
        "drop function platform.peek()",
    ),
    (
        ISOLATION,
        "tenant_context_is_stable",
        "platform.current_tenant()",
        "alter function platform.current_tenant() immutable",
        "alter function platform.current_tenant() stable",
    ),
    (
        ISOLATION,
        "publications_carry_no_tenant",
        "leak (ecommerce.orders)",
        "create publication leak for table ecommerce.orders",
        "drop publication leak",
    ),
    (
        RESIDENCY,
        "publications_carry_no_regional_table",
        "leak_of_people (geo.users)",
        "create publication leak_of_people for table geo.users",
        "drop publication leak_of_people",
    ),
    (
        RESIDENCY,
        "persons_are_invisible",
        "geo.users (app)",
        "grant select on geo.users to app",
        "revoke select on geo.users from app",
    ),
    (
        RESIDENCY,
        "derived_relations_are_impersonal",
        "marts.fct_funnel.email",
        "create table marts.fct_funnel (tenant_id uuid, email text)",
        "drop table marts.fct_funnel",
    ),
    (
        RESIDENCY,
        "residency_is_enforced",
        "geo.eu_user_data (eu_data_stays_in_the_eu)",
        # It fires no more for what is replicated.
        "alter table geo.eu_user_data enable trigger eu_data_stays_in_the_eu",
        "alter table geo.eu_user_data enable always trigger eu_data_stays_in_the_eu",
    ),
    (
        ISOLATION,
        "triggers_fire",
        "geo.users (People_live_where_they_may)",
        'alter table geo.users disable trigger "People_live_where_they_may"',
        'alter table geo.users enable always trigger "People_live_where_they_may"',
    ),
    (
        RESIDENCY,
        "personal_columns_are_said",
        "ecommerce.reviews.body (declared direct, not said)",
        "comment on column ecommerce.reviews.body is 'Text'",
        "comment on column ecommerce.reviews.body is 'Text (personal: direct)'",
    ),
    (
        RESIDENCY,
        "personal_columns_are_said",
        "saas.plans.name (not declared, said to be quasi)",
        "comment on column saas.plans.name is 'For people (personal: quasi)'",
        "comment on column saas.plans.name is 'For people'",
    ),
    (
        RESIDENCY,
        "regions_agree",
        "geo.regions (eu)",
        "update geo.regions set residency = '{na,eu}' where region = 'eu'",
        "update geo.regions set residency = '{eu}' where region = 'eu'",
    ),
]


def _of(proofs: list[Proof], suite: str) -> Proof:
    return next(proof for proof in proofs if proof.suite == suite)


def _verdicts(proofs: list[Proof]) -> dict[str, str]:
    return {proof.suite: proof.verdict for proof in proofs}


@pytest.fixture(scope="module")
def found_in_one_proof(world: "ProofCells") -> list[Proof]:
    """The proofs of a cell with all the holes that do not hide each other, planted at once: a proof costs seconds."""
    together = [hole for hole in CATALOG_HOLES if hole[1] not in ALONE and "owned by" not in hole[2]]
    plant = ";;".join(hole[3] for hole in together)
    mend = ";;".join(hole[4] for hole in reversed(together))
    with world.planted("na", plant, mend):
        proofs = world.prove("na")
    for proof in proofs:
        verdict, stored = world.newest(proof.suite)
        assert verdict == "red", proof.errors
        assert isinstance(stored, list)
        assert [entry for entry in stored if entry["count"]] == [asdict(offender) for offender in proof.offenders]
    return proofs


@pytest.mark.parametrize("hole", CATALOG_HOLES, ids=lambda hole: f"{hole[1]}-{hole[2]}")
def test_a_planted_hole_is_named_with_its_count(
    world: "ProofCells", found_in_one_proof: list[Proof], hole: tuple[str, str, str, str, str]
) -> None:
    suite, rule, offender, plant, mend = hole
    proofs = found_in_one_proof
    if rule in ALONE or "owned by" in offender:
        with world.planted("na", plant, mend):
            proofs = world.prove("na", [suite])
    proof = _of(proofs, suite)
    assert proof.verdict == "red", proof.errors
    assert [o for o in proof.offenders if (o.rule, o.object) == (rule, offender) and o.count >= 1], proof.offenders


def test_every_attack_is_seen_to_succeed_where_row_security_is_off(world: "ProofCells") -> None:
    with world.planted(
        "na",
        "alter table ecommerce.orders disable row level security",
        "alter table ecommerce.orders enable row level security",
    ):
        proof = _of(world.prove("na"), ISOLATION)
    succeeded = {o.object for o in proof.offenders if o.rule == "no_attack_succeeds"}
    assert succeeded >= {
        f"ecommerce.orders ({attack})"
        for attack in (
            "read another tenant's rows",
            "read another tenant's row",
            "change another tenant's row",
            "delete another tenant's row",
            "insert into another tenant",
            "move a row into another tenant",
            "read without context",
            "read with empty context",
            "read with malformed context",
            "read with row security off",
        )
    }
    assert world.rows("na", "select count(*) from ecommerce.orders") == [(18,)], "an attack's change was kept"


def test_a_view_without_its_tenant_predicate_is_red(world: "ProofCells") -> None:
    definition = str(world.rows("na", "select pg_get_viewdef('analytics.tenant_events'::regclass)")[0][0]).rstrip("; ")
    open_view = definition[: definition.index("WHERE")]
    create = "create or replace view analytics.tenant_events with (security_barrier = true) as "
    with world.planted("na", create + open_view, create + definition):
        proof = _of(world.prove("na"), ISOLATION)
    assert proof.verdict == "red"
    assert "analytics.tenant_events (read another tenant's rows)" in {o.object for o in proof.offenders}


def test_an_eu_person_in_na_is_red_by_name_and_count_and_mended_green(green: "ProofCells") -> None:
    green.misplace(
        "na",
        "insert into geo.users (email, region) select 'm4rk3r-eu-' || i, 'eu' from generate_series(1, 3) as i",
    )
    try:
        proofs = green.prove("na")
        residency = _of(proofs, RESIDENCY)
        assert residency.verdict == "red"
        assert [(o.rule, o.object, o.count) for o in residency.offenders] == [
            ("people_live_where_they_may", "geo.users (region eu)", 3)
        ]
        assert _of(proofs, ISOLATION).verdict == "green"
        reason = green.refused("na")
        assert reason is not None
        assert "geo_residency" in reason
    finally:
        green.execute("na", "delete from geo.users where email like 'm4rk3r-eu-%'")
    assert _verdicts(green.prove("na")) == {ISOLATION: "green", RESIDENCY: "green"}
    assert green.refused("na") is None


def test_a_red_cell_is_closed_while_the_others_stay_open(world: "ProofCells") -> None:
    assert _verdicts(world.prove("eu")) == {ISOLATION: "green", RESIDENCY: "green"}
    with world.planted("na", "create table public.stray (x int)", "drop table public.stray"):
        world.prove("na")
        assert "tenant_isolation" in str(world.refused("na"))
        assert world.refused("eu") is None


def test_a_catalog_change_closes_the_gate_before_any_proof(green: "ProofCells") -> None:
    assert green.refused("na") is None
    with green.planted("na", "create table public.stray (x int)", "drop table public.stray"):
        assert "catalog changed" in str(green.refused("na"))
    assert green.refused("na") is None


def test_no_personal_value_and_no_secret_reaches_evidence(world: "ProofCells") -> None:
    plant = "alter table ecommerce.users disable row level security;;grant select on geo.users to app"
    mend = "alter table ecommerce.users enable row level security;;revoke select on geo.users from app"
    with world.planted("na", plant, mend):
        verifications = [
            verify("isolation", ["na"], settings=world.settings),
            verify("residency", ["na"], settings=world.settings),
        ]
    assert {verification.exit_code for verification in verifications} == {1}
    docs = data_docs("na", world.settings)
    files = [path for root in (docs.site, docs.store) for path in root.rglob("*") if path.is_file()]
    assert any(path.suffix == ".html" for path in files)
    stored = world.rows(
        "na",
        "select to_jsonb(p) from platform.proofs as p union all select to_jsonb(a) from platform.proof_attacks as a",
    )
    secrets = list(json.loads((world.settings.home / "secrets.json").read_text()).values())
    evidence = {str(path): path.read_bytes().decode(errors="replace") for path in files}
    evidence["platform"] = json.dumps(stored, default=str)
    evidence["result"] = json.dumps([verification.as_json() for verification in verifications])
    evidence["objects"] = repr(verifications)
    for place, text in evidence.items():
        assert MARKER not in text, place
        assert "postgresql://" not in text, place
        assert "postgresql+psycopg://" not in text, place
        for secret in secrets:
            assert str(secret) not in text, place
    for tenant in world.rows("na", "select id::text from saas.tenants"):
        assert str(tenant[0]) not in evidence["platform"]


def test_data_docs_keep_the_last_validations_and_say_their_cell(world: "ProofCells") -> None:
    assert data_docs("apac", world.settings).keep == 20
    docs = replace(data_docs("apac", world.settings), keep=3)
    suite = load_suite(SUITES_DIRECTORY / RESIDENCY)
    world.prove("apac", [RESIDENCY])
    for _ in range(4):
        dsn = endpoints.dsn("apac", "auditor", settings=world.settings)
        validate([suite], dsn, source="cell apac", docs=docs)
    pages = sorted((docs.site / "validations" / RESIDENCY).rglob("*.html"))
    assert len(pages) == len(list((docs.store / "validations" / RESIDENCY).rglob("*.json"))) == 3
    for page in [*pages, docs.site / "index.html", docs.site / "expectations" / f"{RESIDENCY}.html"]:
        html = page.read_text()
        assert "cell apac</title>" in html, page
        fetched = re.search(r"""src=["']https?:|<link[^>]+https?:|url\(["']?https?:|<script""", html)
        assert fetched is None, f"{page} fetches from another host: {fetched}"
    listed = (docs.site / "index.html").read_text()
    assert all(page.parent.name in listed for page in pages)


def test_a_damaged_result_of_a_killed_process_is_dropped_and_no_obstacle(world: "ProofCells") -> None:
    docs = data_docs("apac", world.settings)
    [proof] = world.prove("apac", [RESIDENCY])
    assert proof.result is not None
    assert proof.result.docs is not None
    half_written = next((docs.store / "validations" / RESIDENCY).rglob("*.json"))
    half_written.write_text(half_written.read_text()[:100])
    [after] = world.prove("apac", [RESIDENCY])
    assert after.result is not None
    assert after.result.docs is not None, after.result.docs_error
    assert not half_written.exists()
