"""Seeds: the same rows however often, people in their own region, and nobody else's rows touched."""

import pytest

from orchestration.cells.regions import CELLS
from orchestration.loading.copy_loader import LoadError
from orchestration.loading.id_spaces import SHOP_FIRST_ID
from orchestration.loading.seeds import load_seeds
from orchestration.synthetic.merchants import merchants
from tests.integration.loading.conftest import LoadingCells

TABLES = (
    "saas.plans",
    "saas.tenants",
    "saas.users",
    "saas.projects",
    "geo.users",
    "geo.eu_user_data",
    "ecommerce.users",
    "ecommerce.addresses",
    "ecommerce.categories",
    "ecommerce.products",
    "ecommerce.product_variants",
    "ecommerce.store_settings",
)


def test_seeding_again_changes_no_row(seeded: LoadingCells) -> None:
    before = {table: seeded.digest("eu", table) for table in TABLES}
    report = load_seeds("eu", settings=seeded.settings, window=seeded.window)
    assert {table: seeded.digest("eu", table) for table in TABLES} == before
    assert all(table.inserted == table.updated == 0 for table in report.tables)
    assert min(count for count, _ in before.values()) > 0


def test_small_has_fifty_tenants_and_their_people_live_where_they_belong(seeded: LoadingCells) -> None:
    tenants = [seeded.value(cell, "select count(*) from saas.tenants where subdomain <> 'cdnow'") for cell in CELLS]
    assert tenants == [25, 15, 10]
    shoppers = 0
    for cell in CELLS:
        assert seeded.rows(cell, "select distinct region from geo.users") == [(cell,)]
        shoppers += seeded.value(cell, "select count(*) from ecommerce.users where email !~ '[.]invalid$'")
        outside = "select count(*) from geo.users where email !~ '@[a-z-]+[.]example[.]com$' and email !~ '[.]invalid$'"
        assert seeded.value(cell, outside) == 0
    assert 10_000 <= shoppers <= 20_000
    assert seeded.value("na", "select count(*) from geo.eu_user_data") == 0


def test_categories_are_three_levels_deep(seeded: LoadingCells) -> None:
    assert seeded.rows("na", "select distinct nlevel(path) from ecommerce.categories order by 1") == [(1,), (2,), (3,)]


def test_what_somebody_spoiled_is_restored_and_what_the_service_owns_is_kept(seeded: LoadingCells) -> None:
    tenant = merchants("na", seeded.window.size, seeded.settings.seed).ids[3]
    seeded.execute("na", "update ecommerce.products set name = 'spoiled' where tenant_id = %s and id = 2", [tenant])
    seeded.execute("na", "delete from ecommerce.addresses where tenant_id = %s and id = 1", [tenant])
    seeded.execute("na", "update saas.tenants set status = 'suspended' where id = %s", [tenant])
    seeded.execute(
        "na", "update ecommerce.product_variants set inventory_count = 7 where tenant_id = %s and id = 1", [tenant]
    )
    load_seeds("na", settings=seeded.settings, window=seeded.window)
    assert seeded.value("na", "select count(*) from ecommerce.products where name = 'spoiled'") == 0
    assert seeded.value("na", "select count(*) from ecommerce.addresses where tenant_id = %s and id = 1", [tenant]) == 1
    assert seeded.value("na", "select status from saas.tenants where id = %s", [tenant]) == "suspended"
    stock = "select inventory_count from ecommerce.product_variants where tenant_id = %s and id = 1"
    assert seeded.value("na", stock, [tenant]) == 7


def test_the_running_shops_rows_get_other_ids_and_survive_seeding(seeded: LoadingCells) -> None:
    tenant = merchants("apac", seeded.window.size, seeded.settings.seed).ids[0]
    with seeded.connect("apac", "app") as connection, connection.transaction():
        connection.execute("select set_config('app.current_tenant', %s, true)", [str(tenant)])
        row = connection.execute(
            "insert into ecommerce.products (name, base_price, sku) values ('Own', 3.50, 'OWN') returning id"
        ).fetchone()
    assert row is not None
    assert row[0] >= SHOP_FIRST_ID
    load_seeds("apac", settings=seeded.settings, window=seeded.window)
    assert seeded.rows(
        "apac",
        "select name, base_price::text from ecommerce.products where tenant_id = %s and id = %s",
        [tenant, row[0]],
    ) == [("Own", "3.50")]


def test_an_id_that_is_somebody_elses_is_an_error_and_nothing_changes(seeded: LoadingCells) -> None:
    tenant = merchants("apac", seeded.window.size, seeded.settings.seed).ids[1]
    other = "select person_id from ecommerce.users where tenant_id = %s and id = 2"
    (person,) = seeded.rows("apac", "select person_id from ecommerce.users where tenant_id = %s and id = 1", [tenant])[
        0
    ]
    (stranger,) = seeded.rows("apac", other, [tenant])[0]
    change = "update ecommerce.users set person_id = %s where tenant_id = %s and id = 1"
    seeded.execute("apac", change, [stranger, tenant])
    try:
        before = {table: seeded.digest("apac", table) for table in TABLES}
        with pytest.raises(LoadError, match=r"1 rows of ecommerce\.users .* belong to somebody else"):
            load_seeds("apac", settings=seeded.settings, window=seeded.window)
        assert {table: seeded.digest("apac", table) for table in TABLES} == before
    finally:
        seeded.execute("apac", change, [person, tenant])


def test_a_database_that_is_another_cell_is_refused(seeded: LoadingCells) -> None:
    crossed = seeded.settings.model_copy(update={"dsn_na": seeded.settings.dsn_eu})
    with pytest.raises(LoadError, match="'na' is cell 'eu'"):
        load_seeds("na", settings=crossed, window=seeded.window)
