"""A new migration reaches every tenant's own schemas and database, once, and who lacks it is named."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from orchestration import migrations
from orchestration.migrations.files import SQL_ROOT, plan
from orchestration.tenancy.placement import placement_of, schema_names
from orchestration.tenancy.tenant_migrations import (
    TenantMigrationError,
    migrate_schemas,
    migrate_tenants,
    pending,
    versions,
)

LATER = """
create table ecommerce.later (
    tenant_id uuid primary key default platform.current_tenant() references saas.tenants (id),
    note text not null
);
alter table ecommerce.later enable row level security;
alter table ecommerce.later force row level security;
create policy tenant_isolation on ecommerce.later
using (tenant_id = (select platform.current_tenant()))
with check (tenant_id = (select platform.current_tenant()));
grant select, insert on ecommerce.later to app;
alter table saas.plans add column later text;
reset role;
insert into ecommerce.later (tenant_id, note) select id, 'was here' from saas.tenants
where id = coalesce(platform.claimed_tenant(), id);
"""


@pytest.fixture
def later_root(tmp_path: Path) -> Path:
    """The shipped files and one more of ecommerce."""
    root = tmp_path / "sql"
    shutil.copytree(SQL_ROOT, root)
    number = plan("ecommerce")[-1].version + 1
    (root / "ecommerce" / f"{number:03}_later.sql").write_text(LATER)
    return root


def test_a_new_migration_reaches_every_tenant_and_a_failure_of_one_holds_up_no_other(
    models: Any, later_root: Path
) -> None:
    schema, broken, database = models.tenant("schema"), models.tenant("schema"), models.tenant("database")
    number = plan("ecommerce", root=later_root)[-1].version
    assert pending("na", models.settings, root=later_root) == 0
    # Its schemas use the cell's tables, so they never get what the cell itself does not have yet.
    assert migrate_schemas(schema.id, "na", models.settings, root=later_root) == 0
    migrations.apply_all("na", settings=models.settings, root=later_root)
    found = {each.tenant.id: each for each in versions("na", models.settings, root=later_root)}
    assert [found[t.id].pending for t in (schema, broken, database)] == [1, 1, 1]
    models.execute(f"create table {schema_names(broken.id)['ecommerce']}.later (id int)")
    with pytest.raises(TenantMigrationError, match=rf"1 tenants.*{broken.id}.*already exists"):
        migrate_tenants("na", models.settings, root=later_root)
    found = {each.tenant.id: each for each in versions("na", models.settings, root=later_root)}
    assert [found[t.id].pending for t in (schema, broken, database)] == [0, 1, 0]
    assert [found[t.id].versions["ecommerce"] for t in (schema, broken, database)] == [number, number - 1, number]
    models.execute(f"drop table {schema_names(broken.id)['ecommerce']}.later")
    # Mended, it goes on from where it was; those that are done are passed over.
    assert migrate_tenants("na", models.settings, root=later_root) == 1
    assert migrate_tenants("na", models.settings, root=later_root) == 0
    assert pending("na", models.settings, root=later_root) == 0
    for tenant in (schema, database):
        table = placement_of(tenant).schemas["ecommerce"]
        with models.as_tenant(tenant) as connection:
            assert connection.execute(f"select note from {table}.later".encode()).fetchall() == [("was here",)]
    new = f"{schema_names(schema.id)['ecommerce']}.later"
    assert models.rows("select conname from pg_constraint where conrelid = %s::regclass and contype = 'c'", (new,)) == [
        ("belongs_to_tenant",)
    ]
    assert (
        models.value("select count(*) from pg_trigger where tgrelid = %s::regclass and tgname ~ 'fence'", (new,)) == 2
    )


def test_a_database_that_is_gone_is_named_and_the_others_are_told(models: Any) -> None:
    gone, here = models.tenant("database"), models.tenant("schema")
    models.execute(f"alter database tenant_{gone.id.hex} rename to gone_{gone.id.hex}")
    try:
        found = {each.tenant.id: each for each in versions("na", models.settings)}
        assert "does not exist" in str(found[gone.id].problem)
        assert found[here.id].problem is None
        with pytest.raises(TenantMigrationError, match=str(gone.id)):
            migrate_tenants("na", models.settings)
    finally:
        models.execute(f"alter database gone_{gone.id.hex} rename to tenant_{gone.id.hex}")
