"""Three models, one interface: what a tenant's request may do does not depend on where its rows are."""

from collections.abc import Mapping
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import errors, sql

from orchestration.cells import endpoints, routing
from orchestration.tenancy import tenant_logins
from orchestration.tenancy.placement import (
    Placement,
    database_name,
    operational_relations,
    operators_relations,
    placement_of,
)
from orchestration.tenancy.provisioning import deprovision, provision
from orchestration.tenancy.registry import MODELS, Tenant, TenantError


@pytest.fixture(scope="module", params=MODELS)
def pair(models: Any, request: pytest.FixtureRequest) -> tuple[Tenant, Tenant]:
    """Two tenants of one model."""
    return models.tenant(request.param), models.tenant(request.param)


def count(connection: psycopg.Connection[Any], place: Placement, name: str) -> int:
    row = connection.execute(sql.SQL("select count(*) from {}").format(place.relation(name))).fetchone()
    assert row is not None
    return int(row[0])


def test_operational_relations_come_after_those_they_refer_to(models: Any) -> None:
    order = {relation.name: number for number, relation in enumerate(operational_relations())}
    references = models.rows(
        "select conrelid::regclass::text, confrelid::regclass::text from pg_constraint "
        "where contype = 'f' and conrelid <> confrelid"
    )
    for table, referenced in references:
        if table in order and referenced in order:
            assert order[referenced] < order[table], f"{table} refers to {referenced}"
    assert {relation.name for relation in operators_relations()} >= {"saas.tenants", "saas.plans", "saas.tenant_fences"}


def test_a_relation_that_nobody_declared_has_no_place(models: Any) -> None:
    place = placement_of(models.tenant())
    assert place.relation("saas.plans") == sql.Identifier("saas", "plans")
    for name in ("saas.nothing", "users", 'saas.users"; drop table saas.users; --'):
        with pytest.raises(TenantError, match="is not declared"):
            place.relation(name)


def test_a_tenant_writes_and_reads_its_own_rows_and_sees_none_of_anothers(models: Any, pair: Any) -> None:
    for tenant in pair:
        place = placement_of(tenant)
        with models.as_tenant(tenant) as connection:
            row = connection.execute(
                sql.SQL(
                    "insert into {} (name, base_price, sku) values ('Shirt', 10, 'shirt') returning tenant_id"
                ).format(place.relation("ecommerce.products"))
            ).fetchone()
            assert row == (tenant.id,)
            connection.execute(
                sql.SQL("insert into {} (name, slug) values ('Tops', 'tops')").format(
                    place.relation("ecommerce.categories")
                )
            )
    for tenant, other in (pair, reversed(pair)):
        place = placement_of(tenant)
        with models.as_tenant(tenant) as connection:
            assert count(connection, place, "ecommerce.products") == 1
            assert connection.execute(
                sql.SQL("select path::text from {}").format(place.relation("ecommerce.categories"))
            ).fetchone() == ("tops",)
        # In the name of the other, in this one's place: two locks, context and constraint.
        with models.as_tenant(tenant, other.id) as connection:
            seen = count(connection, place, "ecommerce.products")
            assert seen == (1 if tenant.model == "shared" else 0)
            if tenant.model != "shared":
                with pytest.raises(psycopg.Error):
                    connection.execute(
                        sql.SQL("insert into {} (name, base_price, sku) values ('x', 1, 'x')").format(
                            place.relation("ecommerce.products")
                        )
                    )


def test_a_request_without_context_sees_nothing_in_any_place(models: Any, pair: Any) -> None:
    place = placement_of(pair[0])
    with place.connect("app", models.settings) as connection:
        assert count(connection, place, "ecommerce.products") == 0


def test_a_checkout_works_in_every_place(models: Any, pair: Any) -> None:
    tenant = pair[0]
    place = placement_of(tenant)

    def one(connection: psycopg.Connection[Any], text: LiteralString, *relations: str, **values: object) -> Any:
        identifiers = [place.relation(name) for name in relations]
        literals = {name: sql.Literal(value) for name, value in values.items()}
        row = connection.execute(sql.SQL(text).format(*identifiers, **literals)).fetchone()
        assert row is not None
        return row[0]

    with place.connect("loader", models.settings) as loader:
        loader.execute("select set_config('app.current_tenant', %s, true)", (str(tenant.id),))
        person = one(loader, "insert into {} (email, region) values ('p@example.com', 'na') returning id", "geo.users")
        shopper = one(
            loader,
            "insert into {} (person_id, email, password_hash) values ({person}, 'p@example.com', '!') returning id",
            "ecommerce.users",
            person=person,
        )
    with models.as_tenant(tenant) as app:
        address = one(
            app,
            "insert into {} (user_id, address_type, street_line1, city, country) "
            "values ({shopper}, 'shipping', '1 St', 'X', 'US') returning id",
            "ecommerce.addresses",
            shopper=shopper,
        )
        variant = one(
            app,
            "with p as (insert into {} (name, base_price, sku) values ('Cap', 10, 'cap') returning id) "
            "insert into {} (product_id, sku, inventory_count) select id, 'cap-1', 5 from p returning id",
            "ecommerce.products",
            "ecommerce.product_variants",
        )
        app.execute(
            sql.SQL("select {}({}, {}::jsonb, {}, {})").format(
                sql.Identifier(place.schemas["ecommerce"], "process_checkout"),
                shopper,
                f'[{{"variant_id": {variant}, "quantity": 2}}]',
                address,
                address,
            )
        )
        assert count(app, place, "ecommerce.orders") == 1
        left = one(
            app, "select inventory_count from {} where id = {variant}", "ecommerce.product_variants", variant=variant
        )
        assert left == 3


def test_tables_of_a_schema_refuse_another_tenants_rows_even_of_who_bypasses_row_security(models: Any) -> None:
    ours, theirs = models.tenant("schema"), models.tenant("schema")
    place = placement_of(ours)
    for relation in operational_relations():
        with models.connect("superuser") as superuser:
            row = superuser.execute(
                "select pg_get_constraintdef(oid) from pg_constraint "
                "where conrelid = %s::regclass and conname = 'belongs_to_tenant'",
                (place.relation(relation.name).as_string(superuser),),
            ).fetchone()
        assert row is not None, relation.name
        assert str(ours.id) in row[0]
    with models.connect("loader") as loader, pytest.raises(errors.CheckViolation, match="belongs_to_tenant"):
        loader.execute(
            sql.SQL("insert into {} (tenant_id, name) values ({}, 'x')").format(
                place.relation("saas.projects"), theirs.id
            )
        )


def test_schemas_of_a_tenant_are_of_the_shape_of_the_shared_ones(models: Any) -> None:
    place = placement_of(models.tenant("schema"))
    tables = {relation.table for relation in operational_relations()}
    with models.connect("auditor") as auditor:
        facts = [str(row[0]) for row in auditor.execute("select fact from platform.catalog_facts()")]

    def of(schemas: Mapping[Any, str]) -> set[str]:
        """Return the facts about the tables of these schemas, under the shared names."""
        return {
            fact.replace(schemas["saas"], "saas").replace(schemas["ecommerce"], "ecommerce")
            for fact in facts
            if any(f",{schemas[domain]}.{table}," in fact for domain in schemas for table in tables)
            and "tenant_id = '" not in fact
        }

    own = of(place.schemas)
    assert len(own) > 300
    assert own == of({"saas": "saas", "ecommerce": "ecommerce"})


def test_the_login_of_a_database_enters_no_other_and_app_does_not_enter_it(models: Any) -> None:
    ours, theirs = models.tenant("database"), models.tenant("database")
    login = database_name(ours.id)
    with models.as_tenant(ours) as connection:
        assert connection.execute("select session_user::text, current_database()::text").fetchone() == (login, login)
    password = tenant_logins.password(login, models.settings)
    where = endpoints.postgres("na", models.settings)
    for database in (placement_of(theirs).database, where.database, "postgres"):
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(host=where.host, port=where.port, dbname=database, user=login, password=password)
    with pytest.raises(routing.CellUnavailableError, match="permission denied"):
        routing.connect("na", "app", database=login, settings=models.settings)
    assert tenant_logins.logins_directory(models.settings).stat().st_mode & 0o777 == 0o700
    assert (tenant_logins.logins_directory(models.settings) / login).stat().st_mode & 0o777 == 0o600


def test_the_login_of_a_database_may_do_there_exactly_what_app_may_in_a_cell(models: Any) -> None:
    tenant = models.tenant("database")
    query = """
        select c.oid::regclass::text, p.privilege
        from pg_class as c
        cross join (values ('select'), ('insert'), ('update'), ('delete'), ('truncate'), ('trigger')) as p (privilege)
        where c.relnamespace::regnamespace::text in ('platform', 'geo', 'saas', 'ecommerce', 'metering')
            and c.relkind in ('r', 'v') and has_table_privilege(%s, c.oid, p.privilege)
        union all
        select p.oid::regprocedure::text, 'execute'
        from pg_proc as p
        where p.pronamespace::regnamespace::text in ('platform', 'geo', 'saas', 'ecommerce', 'metering')
            and has_function_privilege(%s, p.oid, 'execute')
    """
    app = set(models.rows(query, ("app", "app")))
    login = placement_of(tenant).database
    with placement_of(tenant).connect("superuser", models.settings) as connection:
        own = set(connection.execute(query.encode(), (login, login)).fetchall())
    assert own == app
    assert len(own) > 50


def test_a_plans_limits_are_those_of_the_login(models: Any) -> None:
    tenant = models.tenant("database", plan="pro")
    login = placement_of(tenant).database
    limits = models.rows("select max_connections, statement_timeout_ms from saas.plans where plan = 'pro'")[0]
    assert models.value("select rolconnlimit from pg_roles where rolname = %s", (login,)) == limits[0]
    with models.as_tenant(tenant) as connection:
        row = connection.execute("select setting::int from pg_settings where name = 'statement_timeout'").fetchone()
    assert row == (limits[1],)


@pytest.mark.parametrize("model", ["schema", "database"])
def test_places_are_made_and_removed_as_often_as_one_asks(models: Any, model: Any) -> None:
    tenant = models.tenant(model)
    place = placement_of(tenant)
    provision(tenant, model, "na", models.settings)
    for _ in range(2):
        deprovision(tenant.id, model, "na", models.settings)
    if model == "schema":
        assert (
            models.rows("select nspname from pg_namespace where nspname = any(%s)", (list(place.schemas.values()),))
            == []
        )
    else:
        assert models.rows("select datname from pg_database where datname = %s", (place.database,)) == []
        assert models.rows("select rolname from pg_roles where rolname = %s", (place.database,)) == []
    provision(tenant, model, "na", models.settings)
    with models.as_tenant(tenant) as connection:
        assert count(connection, place, "saas.projects") == 0
