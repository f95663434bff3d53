"""The real input: the purchase log of the CDNOW music shop, as a tenant of cell na, and the check of its sums."""

# ruff: noqa: PLC0415 -- numpy and arrow load in the run, not with the code location

from decimal import Decimal
from pathlib import Path

import dagster as dg
from psycopg.rows import dict_row

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.defs.ingest.seeds import seed_key
from orchestration.defs.network_faults import NETWORK_RETRY, only_network_retried
from orchestration.defs.platform.schemas import OWNERS, schema_key
from orchestration.settings import get_settings

CELL: Cell = "na"
KEY = seed_key(CELL, "cdnow")
_ACCOUNTS_SQL = Path(__file__).with_name("cdnow_accounts.sql")


def _reasons(rejected: tuple[tuple[str, int], ...]) -> str:
    return "; ".join(f"{count} x {reason}" for reason, count in rejected) or "none"


@dg.asset(
    key=KEY,
    deps=[schema_key(CELL, "analytics"), seed_key(CELL, "plans")],
    group_name=f"{CELL}_ingest",
    owners=OWNERS,
    kinds={"python", "postgres"},
    retry_policy=NETWORK_RETRY,
    description="Every purchase of 23,570 customers of the CDNOW music shop, January 1997 to June 1998 (Fader and "
    "Hardie), as shoppers, orders and order items of tenant `cdnow`, and as purchase events in "
    "`analytics.events_history`. The source's total is the truth; the unit price is rounded where it does not divide. "
    "Loading it again replaces exactly its own rows.",
)
def cdnow(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Load the log."""
    from orchestration.loading.cdnow import load_cdnow

    with only_network_retried():
        report = load_cdnow(path=get_settings().cdnow_file)
    context.log.info(f"{report.rows_loaded} of {report.rows_read} rows in {report.seconds:.1f} s")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": report.rows_loaded,
            "file": report.file,
            "rows read": report.rows_read,
            "rows loaded": report.rows_loaded,
            "rows rejected": report.rows_rejected,
            "rejected why": _reasons(report.rejected_by_reason),
            "rows replaced": report.rows_replaced,
            "customers": report.customers,
            "exact duplicates in the source (kept)": report.exact_duplicates,
            "rows of 0 dollars (kept)": report.zero_dollar_rows,
            "rows whose dollars the CDs do not divide": report.indivisible_rows,
            "dollars in the source": str(report.source_dollars),
            "dollars loaded": str(report.loaded_dollars),
            "first day": report.first_day.isoformat(),
            "last day": report.last_day.isoformat(),
            "duration (s)": round(report.seconds, 3),
        }
    )


def differences(log_rows: int, log_dollars: Decimal, found: dict[str, Decimal | int]) -> list[str]:
    """Return what in the cell's accounts does not agree with the log, in words; nothing when all does."""
    wrong = [
        f"{name} is {found[name]}, the log has {log_rows} rows"
        for name in ("rows_loaded", "orders", "events")
        if found[name] != log_rows
    ]
    wrong += [
        f"{name} is {found[name]}, the log has {log_dollars}"
        for name in ("order_dollars", "line_dollars", "event_dollars")
        if found[name] != log_dollars
    ]
    if found["rows_read"] != found["rows_loaded"] + found["rows_rejected"]:
        wrong.append("rows read are not rows loaded plus rows rejected")
    if found["rejects_recorded"] != found["rows_rejected"]:
        wrong.append("not every rejected row has its reason recorded")
    return wrong


@dg.asset_check(
    asset=KEY,
    name="accounted_for",
    blocking=True,
    description="Every row and every dollar of the log is in orders, in order items and in events: none lost, none "
    "doubled. Reads the log again, so that the loader does not vouch for itself.",
)
def cdnow_accounted_for() -> dg.AssetCheckResult:
    """Compare the cell with the log."""
    from orchestration.loading.cdnow import cdnow_load
    from orchestration.loading.cdnow_file import read_log, read_shipped_log

    path = get_settings().cdnow_file
    with only_network_retried():
        log = read_log(path) if path else read_shipped_log()
        with routing.connect(CELL, "auditor") as connection:
            cursor = connection.cursor(row_factory=dict_row)
            found = cursor.execute(_ACCOUNTS_SQL.read_bytes(), {"asset": cdnow_load(log.path.name).asset}).fetchone()
    if found is None:
        return dg.AssetCheckResult(passed=False, description="the log was never loaded")
    wrong = differences(len(log.purchases), Decimal(log.cents) / 100, found)
    return dg.AssetCheckResult(
        passed=not wrong,
        description="; ".join(wrong) or None,
        metadata={name.replace("_", " "): str(value) for name, value in found.items()},
    )
