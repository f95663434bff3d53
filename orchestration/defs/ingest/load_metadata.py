"""What a load tells on its asset's page: rows read, loaded, rejected and why, and how long it took."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from orchestration.loading.copy_loader import LoadReport, Upserted

Metadata = dict[str, int | float | str | dg.MetadataValue]


def day_metadata(report: "LoadReport") -> Metadata:
    """Return the metadata of one daily partition."""
    return {
        "dagster/partition_row_count": report.rows_loaded,
        "rows read": report.rows_read,
        "rows loaded": report.rows_loaded,
        "rows rejected": report.rows_rejected,
        "rows replaced": report.rows_replaced,
        "duration (s)": round(report.seconds, 3),
    }


def days_metadata(reports: Sequence["LoadReport"]) -> Metadata:
    """Return the metadata of a run over several days."""
    loaded = sum(report.rows_loaded for report in reports)
    seconds = sum(report.seconds for report in reports)
    return {
        "days in this run": len(reports),
        "rows loaded in this run": loaded,
        "duration of this run (s)": round(seconds, 3),
        "rows per second": round(loaded / seconds) if seconds else 0,
    }


def upsert_metadata(tables: Sequence["Upserted"], seconds: float) -> Metadata:
    """Return the metadata of seeded tables; ``seconds`` is the time of the transaction they were all written in."""
    return {
        "dagster/row_count": sum(table.rows for table in tables),
        "duration of all seeds (s)": round(seconds, 3),
        "tables": dg.TableMetadataValue(
            records=[
                dg.TableRecord(
                    {
                        "table": table.table,
                        "inserted": table.inserted,
                        "updated": table.updated,
                        "unchanged": table.unchanged,
                    }
                )
                for table in tables
            ],
            schema=dg.TableSchema(
                [
                    dg.TableColumn("table"),
                    dg.TableColumn("inserted", "int"),
                    dg.TableColumn("updated", "int"),
                    dg.TableColumn("unchanged", "int"),
                ]
            ),
        ),
    }
