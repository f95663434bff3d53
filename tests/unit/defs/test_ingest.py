"""The ingest assets around the loaders: what they tell, and what they refuse."""

from decimal import Decimal
from uuid import uuid4

import dagster as dg

from orchestration.defs.ingest.cdnow import differences
from orchestration.defs.ingest.load_metadata import day_metadata, days_metadata, upsert_metadata
from orchestration.defs.ingest.seeds import SEEDS
from orchestration.loading.copy_loader import LoadReport, Upserted

AGREEING: dict[str, Decimal | int] = {
    "rows_read": 3,
    "rows_loaded": 2,
    "rows_rejected": 1,
    "rejects_recorded": 1,
    "orders": 2,
    "events": 2,
    "order_dollars": Decimal("29.30"),
    "line_dollars": Decimal("29.30"),
    "event_dollars": Decimal("29.30"),
}


def report(rows: int, seconds: float) -> LoadReport:
    return LoadReport("na/analytics/events", "2026-03-01", uuid4(), "analytics.events", rows, rows, 0, 7, seconds)


def test_accounts_that_agree_have_no_difference() -> None:
    assert differences(2, Decimal("29.3"), AGREEING) == []


def test_a_lost_row_a_doubled_dollar_and_an_unexplained_reject_are_each_told() -> None:
    found = AGREEING | {"events": 1, "line_dollars": Decimal("58.60"), "rejects_recorded": 0}
    assert differences(2, Decimal("29.3"), found) == [
        "events is 1, the log has 2 rows",
        "line_dollars is 58.60, the log has 29.3",
        "not every rejected row has its reason recorded",
    ]


def test_a_day_tells_its_rows() -> None:
    told = day_metadata(report(10, 0.5))
    assert told["dagster/partition_row_count"] == 10
    assert told["rows replaced"] == 7


def test_a_run_over_days_tells_its_rate() -> None:
    told = days_metadata([report(10, 0.5), report(30, 1.5)])
    assert (told["rows loaded in this run"], told["rows per second"]) == (40, 20)


def test_seeded_tables_are_told_one_by_one() -> None:
    told = upsert_metadata([Upserted("saas.plans", 1, 2, 3)], 0.1)
    assert told["dagster/row_count"] == 6
    table = told["tables"]
    assert isinstance(table, dg.TableMetadataValue)
    assert table.records[0].data == {"table": "saas.plans", "inserted": 1, "updated": 2, "unchanged": 3}


def test_no_table_belongs_to_two_seed_assets() -> None:
    tables = [table for tables, _ in SEEDS.values() for table in tables]
    assert len(tables) == len(set(tables))
