"""Purges old runs: Dagster keeps runs and their events for ever, and has no setting for it.

Deleting a run deletes its materializations too, and with the last one of a partition the partition itself becomes
"missing": the next backfill would rebuild it, and the asset's page would be empty. So a run stays as long as
anything it recorded is the latest of its kind.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import DagsterEventType

# A month of history is enough to compare with, and keeps the event log of hourly proofs under a few hundred MB.
KEEP_DAYS = 30
_PAGE = 100
_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_RECORDS = {
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_OBSERVATION,
    DagsterEventType.ASSET_CHECK_EVALUATION,
}


class RetentionConfig(dg.Config):
    """How long finished runs are kept, in days."""

    keep_days: int = KEEP_DAYS


class LatestRecords:
    """The newest record of each asset, partition and check, read once per asset and purge."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._storage = instance.event_log_storage
        self._by_partition: dict[tuple[dg.AssetKey, DagsterEventType], Mapping[str, int]] = {}
        self._whole: dict[tuple[dg.AssetKey, DagsterEventType], int | None] = {}
        self._check_runs: dict[dg.AssetCheckKey, str | None] = {}

    def keeps(self, run_id: str) -> bool:
        """Return whether the run recorded something that nothing newer replaces."""
        cursor: str | None = None
        while True:
            page = self._storage.get_records_for_run(run_id, cursor=cursor, of_type=_RECORDS)
            if any(self._is_latest(record) for record in page.records):
                return True
            if not page.has_more:
                return False
            cursor = page.cursor

    def _is_latest(self, record: dg.EventLogRecord) -> bool:
        event = record.event_log_entry.dagster_event
        if event is None:
            return False
        if event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
            return self._check_run(event.asset_check_evaluation_data.asset_check_key) == record.event_log_entry.run_id
        key = event.asset_key
        if key is None:
            return False
        if event.partition is not None:
            return self._partitions(key, event.event_type).get(event.partition) == record.storage_id
        return self._latest(key, event.event_type) == record.storage_id

    def _partitions(self, key: dg.AssetKey, kind: DagsterEventType) -> Mapping[str, int]:
        if (key, kind) not in self._by_partition:
            self._by_partition[key, kind] = self._storage.get_latest_storage_id_by_partition(key, kind)
        return self._by_partition[key, kind]

    def _latest(self, key: dg.AssetKey, kind: DagsterEventType) -> int | None:
        if (key, kind) not in self._whole:
            fetch = (
                self._storage.fetch_materializations
                if kind == DagsterEventType.ASSET_MATERIALIZATION
                else self._storage.fetch_observations
            )
            newest = fetch(key, 1).records
            self._whole[key, kind] = newest[0].storage_id if newest else None
        return self._whole[key, kind]

    def _check_run(self, key: dg.AssetCheckKey) -> str | None:
        if key not in self._check_runs:
            newest = self._storage.get_latest_asset_check_execution_by_key([key]).get(key)
            self._check_runs[key] = newest.run_id if newest else None
        return self._check_runs[key]


def _finished_before(instance: dg.DagsterInstance, moment: datetime) -> Iterator[str]:
    cursor: str | None = None
    wanted = dg.RunsFilter(statuses=_FINISHED, created_before=moment)
    while True:
        page = [run.run_id for run in instance.get_runs(wanted, cursor=cursor, limit=_PAGE)]
        yield from page
        if len(page) < _PAGE:
            return
        cursor = page[-1]


def purge_runs(instance: dg.DagsterInstance, keep: timedelta, now: datetime | None = None) -> tuple[int, int]:
    """Delete finished runs older than ``keep`` with their events and captured output.

    Returns:
        how many were deleted, and how many stayed because they hold the latest record of something.

    Raises:
        ValueError: ``keep`` is shorter than a day; it is meant in days, and 0 would delete today's runs.
    """
    if keep < timedelta(days=1):
        raise ValueError(f"runs are kept for {keep}: at least one day is needed")
    latest = LatestRecords(instance)
    deleted = kept = 0
    for run_id in list(_finished_before(instance, (now or datetime.now(UTC)) - keep)):
        if latest.keeps(run_id):
            kept += 1
            continue
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        deleted += 1
    return deleted, kept


@dg.op(description="Deletes finished runs that are older than the configured days and hold nobody's latest record.")
def purge_old_runs(context: dg.OpExecutionContext, config: RetentionConfig) -> None:
    """Purge, and say how much."""
    deleted, kept = purge_runs(context.instance, timedelta(days=config.keep_days))
    context.add_output_metadata({"runs deleted": deleted, "old runs kept (latest record)": kept})


@dg.job(description="Housekeeping of Dagster's own storage. Ticks are purged by Dagster itself (dagster.yaml).")
def run_retention() -> None:
    """Purge old runs."""
    purge_old_runs()


@dg.definitions
def defs() -> dg.Definitions:
    """Return the housekeeping job and its nightly schedule."""
    nightly = dg.ScheduleDefinition(
        name="run_retention_nightly",
        job=run_retention,
        cron_schedule="50 3 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Purges runs older than a month, when nothing else is due.",
    )
    return dg.Definitions(jobs=[run_retention], schedules=[nightly])
