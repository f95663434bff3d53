"""The CDNOW log in the database: known answers computed there, and what other files do to it."""

import gzip
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import pytest

from orchestration.loading.cdnow import CDNOW_TENANT, load_cdnow
from orchestration.loading.cdnow_file import CdnowFileError
from orchestration.loading.id_spaces import SHOP_FIRST_ID
from tests.integration.loading.conftest import LoadingCells

TABLES = (
    "saas.tenants",
    "geo.users",
    "ecommerce.users",
    "ecommerce.orders",
    "ecommerce.order_items",
    "ecommerce.products",
    "analytics.events_history",
)

# Written down before the loader was: by month of first purchase, and January 1997's buyers by month since.
FIRST_MONTHS = """
select to_char(first_month, 'YYYY-MM'), count(*)
from (
    select user_id, date_trunc('month', min(created_at) at time zone 'UTC') as first_month
    from ecommerce.orders where tenant_id = %s group by user_id
) as firsts
group by 1 order by 1
"""
JANUARY = """
with months as (
    select user_id, (date_part('year', time at time zone 'UTC') - 1997) * 12
        + date_part('month', time at time zone 'UTC') - 1 as month
    from analytics.events_history where tenant_id = %s and event_type = 'purchase'
)
select month::int, count(distinct user_id)
from (select user_id, month, min(month) over (partition by user_id) as first_month from months) as since
where first_month = 0
group by 1 order by 1
"""


def written(path: Path, lines: Iterable[str]) -> Path:
    with gzip.open(path, "wt") as stream:
        stream.write("customer_id date number_of_cds dollar_value\n" + "".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def cdnow(loading_cells: LoadingCells) -> LoadingCells:
    load_cdnow(settings=loading_cells.settings)
    return loading_cells


def digests(cells: LoadingCells) -> dict[str, tuple[int, str]]:
    return {table: cells.digest("na", table) for table in TABLES}


def test_the_known_answers_come_out(cdnow: LoadingCells) -> None:
    assert cdnow.rows("na", FIRST_MONTHS, [CDNOW_TENANT]) == [("1997-01", 7846), ("1997-02", 8476), ("1997-03", 7248)]
    assert cdnow.rows("na", JANUARY, [CDNOW_TENANT])[:5] == [(0, 7846), (1, 1157), (2, 964), (3, 810), (4, 679)]


def test_loading_again_changes_no_row_and_accounts_for_every_one(cdnow: LoadingCells) -> None:
    before = digests(cdnow)
    report = load_cdnow(settings=cdnow.settings)
    assert digests(cdnow) == before
    assert (report.rows_read, report.rows_loaded, report.rows_rejected) == (69_659, 69_659, 0)
    assert (report.rows_replaced, report.customers) == (69_659, 23_570)
    assert (report.exact_duplicates, report.zero_dollar_rows, report.indivisible_rows) == (255, 80, 18_269)
    assert report.source_dollars == report.loaded_dollars == Decimal("2500315.63")
    assert cdnow.rows(
        "na", "select rows_read, rows_loaded, rows_rejected from platform.loads where load_id = %s", [report.load_id]
    ) == [(69_659, 69_659, 0)]


def test_totals_are_the_sources_and_unit_prices_are_rounded(cdnow: LoadingCells) -> None:
    query = (
        "select count(*), count(*) filter (where unit_price <> round(total_price / quantity, 2)), "
        "count(*) filter (where unit_price * quantity <> total_price) from ecommerce.order_items where tenant_id = %s"
    )
    assert cdnow.rows("na", query, [CDNOW_TENANT]) == [(69_659, 0, 18_269)]


def test_a_new_shopper_gets_an_id_that_no_customer_has(cdnow: LoadingCells) -> None:
    person = cdnow.value("na", "select id from geo.users limit 1")
    with cdnow.connect("na", "app") as connection, connection.transaction(force_rollback=True):
        connection.execute("select set_config('app.current_tenant', %s, true)", [str(CDNOW_TENANT)])
        row = connection.execute(
            "insert into ecommerce.users (person_id, email, password_hash) "
            "values (%s, 'new@cdnow.invalid', '!') returning id",
            [person],
        ).fetchone()
    assert row is not None
    assert row[0] >= SHOP_FIRST_ID


@pytest.mark.parametrize("cut", [1_000, 300_000])
def test_a_truncated_file_changes_nothing(cdnow: LoadingCells, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes((Path(__file__).parents[3] / "data" / "cdnow_master.txt.gz").read_bytes()[:cut])
    before = digests(cdnow)
    with pytest.raises(CdnowFileError, match=r"cut\.gz cannot be read as gzip"):
        load_cdnow(path=path, settings=cdnow.settings)
    assert digests(cdnow) == before


def test_another_file_replaces_exactly_the_logs_rows_and_its_rejects_are_recorded(
    cdnow: LoadingCells, tmp_path: Path
) -> None:
    before = digests(cdnow)
    order = (
        "insert into ecommerce.orders (tenant_id, user_id, subtotal, total_amount) values (%s, 5, 1, 1) returning id"
    )
    cdnow.execute("na", order, [CDNOW_TENANT])
    path = written(
        tmp_path / "other.gz",
        [
            "00001 19970101 1 11.77",
            "00002 1997 1 12.00",
            "00002 19970112 5 77.00",
            "x 19970112 5 77.00",
            "00001 19970101 1 11.77",
        ],
    )
    report = load_cdnow(path=path, settings=cdnow.settings)
    assert (report.rows_read, report.rows_loaded, report.rows_rejected, report.exact_duplicates) == (5, 3, 2, 1)
    assert report.loaded_dollars == Decimal("100.54")
    rejects = "select line, column_name from platform.load_rejects where load_id = %s order by line"
    assert cdnow.rows("na", rejects, [report.load_id]) == [(3, "date"), (5, "customer_id")]
    # Customer 5 is in the other file no more, but the running shop has an order of theirs.
    assert cdnow.rows("na", "select id from ecommerce.users where tenant_id = %s order by 1", [CDNOW_TENANT]) == [
        (1,),
        (2,),
        (5,),
    ]
    assert cdnow.value("na", "select count(*) from analytics.events_history") == 3
    load_cdnow(settings=cdnow.settings)
    assert cdnow.value("na", "select count(*) from platform.load_rejects") == 0
    cdnow.execute("na", "delete from ecommerce.orders where tenant_id = %s and origin = 'app'", [CDNOW_TENANT])
    after = digests(cdnow)
    # Two orders and a shopper were rewritten and say when in updated_at; everything else is as it was.
    assert {table for table, found in after.items() if found != before[table]} <= {
        "ecommerce.orders",
        "ecommerce.users",
    }
    assert cdnow.rows("na", FIRST_MONTHS, [CDNOW_TENANT])[0] == ("1997-01", 7846)
