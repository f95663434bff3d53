"""Import of a file of events for one tenant: block by block, each committed with how far the file is.

An import is known by its tenant and the file's content. Its progress is written in the transaction that writes the
rows: killed anywhere, it goes on behind the last block that was committed, and a file that is finished is never loaded
again, however long ago that was. Events that have an id of their own (or one made of what they say) are claimed in the
ledger besides, so that the same event in another file, or in the stream, is passed over within the ledger's horizon.
An event whose id is its line is in no other file: the progress alone keeps it single, and costs nothing.

Events of the last year go to ``analytics.events``, older ones to ``analytics.events_history``, which keeps them.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias
from uuid import UUID, uuid5

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.loading.arrow_columns import constant_text, constant_uuid
from orchestration.loading.copy_loader import (
    NAMESPACE,
    Connection,
    LoadError,
    Reject,
    copy_rows,
    require_cell,
    require_row_security_bypassed,
    statement,
)
from orchestration.loading.event_claims import CONFLICT, FORGOTTEN, INSERTED, REPEAT, insert_events_once
from orchestration.loading.event_columns import EventBlock, EventColumns
from orchestration.loading.event_file import EventFile, read_whole
from orchestration.loading.event_mapping import Format, NamedMapping, load_mapping, presets
from orchestration.loading.event_records import (
    BLOCK_BYTES,
    START,
    CsvRecords,
    JsonRecords,
    ParquetRecords,
    Position,
    RecordBlock,
    columns_of,
    top_column,
)
from orchestration.loading.former_users import rows_of_former_users
from orchestration.loading.import_errors import ImportFileError
from orchestration.loading.statistics import analyze_event_days, analyze_tables
from orchestration.persons.former import former_users
from orchestration.settings import Settings, get_settings
from orchestration.tenancy.registry import Tenant, find

# What analytics.events keeps; what is older would be dropped by the next night's retention.
LIVE: Final = timedelta(days=365)

# Two transactions that claim the same ids in two tables can wait for each other; one is then told to begin again.
_ATTEMPTS: Final = 5

Records: TypeAlias = CsvRecords | JsonRecords | ParquetRecords


@dataclass(frozen=True)
class ImportReport:
    """Every record of a file accounted for: ``rows_read == rows_loaded + rows_repeated + rows_rejected``.

    Attributes:
        file: the file's name.
        load_id: the import; rows that it wrote carry it.
        lines: lines of the file with its header, rows of a Parquet file; None where that was not counted.
        rows_history: of the loaded, those in ``analytics.events_history``.
        rows_repeated: events that were there already, by their id and time.
        rejected_by_reason: column and reason -> how many, most frequent first; of this run.
        event_types: what was loaded or would be, by type; of this run.
        not_mapped: columns of the file that the mapping does not read.
        resumed_at: line at which this run went on; None for one that began at the beginning.
        finished_before: when the file had been imported already; then nothing was done.
        seconds: of this run.
        dry_run: nothing was written; what is repeated is not known then.
    """

    file: str
    tenant_id: UUID
    cell: Cell
    load_id: UUID
    mapping: str
    lines: int | None
    rows_read: int
    rows_loaded: int
    rows_history: int
    rows_repeated: int
    rows_rejected: int
    rejected_by_reason: tuple[tuple[str, int], ...]
    event_types: tuple[tuple[str, int], ...]
    first_time: datetime | None
    last_time: datetime | None
    not_mapped: tuple[str, ...]
    resumed_at: int | None
    finished_before: datetime | None
    seconds: float
    dry_run: bool


@dataclass(frozen=True)
class ImportProgress:
    """How far an import is.

    Attributes:
        stage: reading (the whole file, for its digest) or importing.
        done: bytes of the content, or rows of a Parquet file.
        size: all of them; None while reading a compressed file.
    """

    stage: str
    done: int
    size: int | None
    rows_loaded: int = 0
    rows_repeated: int = 0
    rows_rejected: int = 0


Progress: TypeAlias = Callable[[ImportProgress], None]


def _silent(_: ImportProgress) -> None:
    """Report to nobody."""


def import_load_id(tenant_id: UUID, digest: str) -> UUID:
    """Return the id of the import of a file, by its content, for a tenant."""
    return uuid5(NAMESPACE, f"import/{tenant_id}/{digest}")


@dataclass
class _Tally:
    """Where an import is, and what became of the records before."""

    position: Position = START
    rows_loaded: int = 0
    rows_history: int = 0
    rows_repeated: int = 0
    rows_rejected: int = 0
    first_time: datetime | None = None
    last_time: datetime | None = None
    seconds: float = 0.0
    finished_at: datetime | None = None
    reasons: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)

    @property
    def rows_read(self) -> int:
        return self.rows_loaded + self.rows_repeated + self.rows_rejected


@dataclass(frozen=True)
class _Written:
    """What a block's transaction did."""

    loaded: int
    history: int
    repeated: int
    rejects: list[Reject]


def _records(file: EventFile, mapping: NamedMapping, block_bytes: int) -> Records:
    """Return the file's records.

    Raises:
        ImportFileError: the mapping is not for this format, or a column is missing without which there is no event.
    """
    wanted, columns = mapping.mapping, mapping.mapping.sources()
    if file.format not in wanted.formats:
        raise ImportFileError(
            f"mapping {mapping.name!r} is for {' or '.join(wanted.formats)}, not for {file.format}: give another --map "
            "or --format if the file's name misleads"
        )
    if file.format == "jsonl":
        return JsonRecords(file, columns, block_bytes)
    records: CsvRecords | ParquetRecords
    if file.format == "csv":
        records = CsvRecords(file, wanted.delimiter, columns, block_bytes)
    else:
        records = ParquetRecords(file, columns)
    missing = [name for name in wanted.required() if top_column(name) not in records.header]
    if missing:
        raise ImportFileError(
            f"{file.path} has no column {', '.join(missing)}, which mapping {mapping.name!r} needs: give another --map "
            f"(the file has {len(records.header)} columns)"
        )
    return records


def fitting_mapping(file: EventFile) -> NamedMapping:
    """Return the one preset whose columns the file has.

    Raises:
        ImportFileError: none fits, or more than one.
    """
    header = set(columns_of(file))
    fitting = [
        named
        for named in map(load_mapping, presets())
        if file.format in named.mapping.formats and header.issuperset(map(top_column, named.mapping.required()))
    ]
    if len(fitting) != 1:
        raise ImportFileError(
            f"{file.path} fits {'no' if not fitting else 'more than one'} mapping by its columns: give --map, one of "
            f"{', '.join(presets())} or a file of your own (docs/importing.md)"
        )
    return fitting[0]


def _not_mapped(records: Records, mapping: NamedMapping) -> tuple[str, ...]:
    if isinstance(records, JsonRecords):
        return ()
    read = set(map(top_column, mapping.mapping.sources()))
    return tuple(name for name in records.header if name not in read)


@contextmanager
def _explained(name: str, tally: _Tally, tenant: Tenant) -> Iterator[None]:
    """Say of a server's failure what is left and what to do; nothing of what was committed is lost."""
    kept = f"{tally.rows_read} records of {name} are done; repeat the command and it goes on behind them"
    try:
        yield
    except psycopg.errors.DiskFull:
        raise LoadError(f"the disk of cell {tenant.cell!r} is full: make room. {kept}") from None
    except psycopg.errors.OperationalError as error:
        if error.sqlstate is None or error.sqlstate.startswith(("57", "08")):
            raise LoadError(f"cell {tenant.cell!r} went away: start it with `capstone up`. {kept}") from None
        raise
    except psycopg.Error as error:
        if error.sqlstate in ("TNT01", "TNT02"):
            raise LoadError(
                f"tenant {tenant.subdomain!r} is closed to writes: `capstone tenant show {tenant.subdomain}` says what "
                f"it waits for. {kept}"
            ) from None
        raise


class _Import:
    """One import into its cell, over one connection that holds its lock."""

    def __init__(
        self, connection: Connection, tenant: Tenant, file: EventFile, mapping: NamedMapping, now: datetime
    ) -> None:
        self.connection, self.tenant, self.file, self.mapping = connection, tenant, file, mapping
        self.load_id = import_load_id(tenant.id, file.digest)
        self.cut = now - LIVE
        self.key = {"tenant_id": tenant.id, "load_id": self.load_id}
        self.by_line = mapping.mapping.event_id.source == "line"

    def lock(self) -> None:
        """Take the import's lock until the connection ends.

        Raises:
            LoadError: another process imports this file.
        """
        row = self.connection.execute(
            "select pg_try_advisory_lock(hashtextextended(%s, 0))", [f"import/{self.load_id}"]
        ).fetchone()
        if row is None or not row[0]:
            raise LoadError(f"{self.file.path.name} is being imported for {self.tenant.subdomain} already: wait for it")

    def begun(self) -> _Tally | None:
        """Return how far an earlier run came, None if there was none.

        Raises:
            LoadError: it was begun with another mapping.
        """
        row = self.connection.execute(statement("import_progress"), self.key).fetchone()
        if row is None:
            return None
        _, name, digest, offset, line, loaded, history, repeated, rejected, first, last, seconds, _, finished = row
        if digest != self.mapping.digest:
            state = "was imported" if finished else "is half imported"
            raise LoadError(
                f"{self.file.path.name} {state} with mapping {name!r} as it was then: give that one, or --replace to "
                "take its events back and import them anew"
            )
        return _Tally(
            Position(offset, line), loaded, history, repeated, rejected, first, last, float(seconds), finished
        )

    def undo(self) -> int:
        """Take back everything of an earlier run, in one transaction; return how many events that was."""
        with self.connection.transaction():
            self._as_tenant()
            row = self.connection.execute(statement("import_progress"), self.key).fetchone()
            if row is None:
                return 0
            bounds = {"first_time": row[9] or self.cut, "last_time": row[10] or self.cut}
            gone = self.connection.execute(statement("undo_import"), self.key | bounds).fetchone()
        return int(gone[0]) if gone else 0

    def _as_tenant(self) -> None:
        # Only this tenant's fence concerns it, not one of any tenant of the cell.
        self.connection.execute("select set_config('app.current_tenant', %s, true)", [str(self.tenant.id)])

    def write(self, block: EventBlock, end: Position, tally: _Tally, *, last: bool, seconds: float) -> _Tally:
        """Write a block, its rejects and the progress in one transaction; return the tally with it.

        A value that the server refuses although it passed here makes that one line a reject.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self.connection.transaction():
                    self._as_tenant()
                    written = self._insert(block)
                    after = _with(tally, block, written, end, seconds)
                    self._record(after, written.rejects, last=last)
                return after
            except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                if attempt == _ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def _insert(self, block: EventBlock) -> _Written:
        old = pc.less(block.events["time"], pa.scalar(self.cut, pa.timestamp("us", "UTC"))).to_numpy(
            zero_copy_only=False
        )
        loaded, history, repeated, rejects = 0, 0, 0, list(block.rejects)
        for mask, table in ((~old, "analytics.events"), (old, "analytics.events_history")):
            if not mask.any():
                continue
            chosen = block.events if mask.all() else block.events.filter(pa.array(mask))
            part = EventBlock(chosen, block.lines[mask], [])
            written = self._insert_into(table, part)
            loaded += written.loaded
            repeated += written.repeated
            rejects += written.rejects
            if old is mask:
                history = written.loaded
        return _Written(loaded, history, repeated, rejects)

    def _insert_into(self, table: str, part: EventBlock) -> _Written:
        """Write rows into one table; halve them where the server refuses one, until it is found."""
        try:
            with self.connection.transaction():
                return self._insert_all(table, part)
        except psycopg.DataError as error:
            rows = part.events.num_rows
            if rows == 1:
                reject = Reject(int(part.lines[0]), None, f"is refused by the server (SQLSTATE {error.sqlstate})")
                return _Written(0, 0, 0, [reject])
        half = rows // 2
        parts = [
            self._insert_into(table, EventBlock(part.events.slice(at, length), part.lines[at : at + length], []))
            for at, length in ((0, half), (half, rows - half))
        ]
        return _Written(
            sum(each.loaded for each in parts),
            0,
            sum(each.repeated for each in parts),
            [reject for each in parts for reject in each.rejects],
        )

    def _insert_all(self, table: str, part: EventBlock) -> _Written:
        rows = part.events.num_rows
        if self.by_line:
            origins, loads = constant_text("import", rows), constant_uuid(self.load_id, rows)
            known = former_users(self.connection, [self.tenant.id])
            gone = rows_of_former_users(known, part.events)
            marked = part.events.append_column("origin", origins).append_column("load_id", loads)
            taken = marked if gone is None else marked.filter(pa.array(~gone))
            rejects = [] if gone is None else self._of_former_users(part, gone)
            return _Written(copy_rows(self.connection, table, [taken]), 0, 0, rejects)
        once = insert_events_once(self.connection, part.events, origin="import", load_id=self.load_id, table=table)
        column = self.mapping.mapping.event_id.column
        conflicts = [
            Reject(int(part.lines[row]), column, "is the id of another event, at another time")
            for row in np.flatnonzero(once.fates == CONFLICT)
        ]
        forgotten = self._of_former_users(part, once.fates == FORGOTTEN)
        return _Written(once.count(INSERTED), 0, once.count(REPEAT), conflicts + forgotten)

    def _of_former_users(self, part: EventBlock, gone: npt.NDArray[np.bool_]) -> list[Reject]:
        column = self.mapping.mapping.user_id.column if self.mapping.mapping.user_id is not None else None
        return [Reject(int(part.lines[row]), column, "is a shopper who was erased") for row in np.flatnonzero(gone)]

    def _record(self, tally: _Tally, rejects: list[Reject], *, last: bool) -> None:
        totals = {
            "rows_read": tally.rows_read,
            "rows_loaded": tally.rows_loaded,
            "rows_rejected": tally.rows_rejected,
        }
        source = self.file.path.name
        self.connection.execute(
            statement("record_import_load"),
            totals
            | {
                "load_id": self.load_id,
                "asset": f"{self.tenant.cell}/ingest/imports",
                "partition_key": str(self.load_id),
                "source": source,
            },
        )
        if rejects:
            copy_rows(self.connection, "platform.load_rejects", [_reject_rows(self.load_id, rejects)])
        self.connection.execute(
            statement("record_import"),
            totals
            | self.key
            | {
                "source": source,
                "digest": self.file.digest,
                "format": self.file.format,
                "mapping": self.mapping.name,
                "mapping_digest": self.mapping.digest,
                "position": tally.position.offset,
                "next_line": tally.position.line,
                "rows_history": tally.rows_history,
                "rows_repeated": tally.rows_repeated,
                "first_time": tally.first_time,
                "last_time": tally.last_time,
                "seconds": tally.seconds,
                "finished": last,
            },
        )


def _reject_rows(load_id: UUID, rejects: list[Reject]) -> pa.Table:
    rejects = sorted(rejects, key=lambda each: each.line)
    return pa.table(
        {
            "load_id": constant_uuid(load_id, len(rejects)),
            "line": pa.array([each.line for each in rejects], pa.int64()),
            "column_name": pa.array([each.column for each in rejects], pa.string()),
            "reason": pa.array([each.reason for each in rejects], pa.string()),
        }
    )


def _with(tally: _Tally, block: EventBlock, written: _Written, end: Position, seconds: float) -> _Tally:
    """Return the tally with a block that was written, or with one of a dry run."""
    first, last = tally.first_time, tally.last_time
    if block.events.num_rows:
        bounds = pc.min_max(block.events["time"]).as_py()
        first = bounds["min"] if first is None else min(first, bounds["min"])
        last = bounds["max"] if last is None else max(last, bounds["max"])
    types = Counter(
        {each["values"]: each["counts"] for each in pc.value_counts(block.events["event_type"]).to_pylist()}
    )
    return replace(
        tally,
        position=end,
        rows_loaded=tally.rows_loaded + written.loaded,
        rows_history=tally.rows_history + written.history,
        rows_repeated=tally.rows_repeated + written.repeated,
        rows_rejected=tally.rows_rejected + len(written.rejects),
        first_time=first,
        last_time=last,
        seconds=seconds,
        reasons=tally.reasons + Counter(f"{each.column or 'line'} {each.reason}" for each in written.rejects),
        types=tally.types + types,
    )


def _mapped(records: Records, columns: EventColumns, begin: Position) -> Iterator[tuple[RecordBlock, EventBlock]]:
    """Yield blocks as events; the next is made while the caller writes this one."""
    blocks = records.blocks(begin)

    def make() -> tuple[RecordBlock, EventBlock] | None:
        block = next(blocks, None)
        return None if block is None else (block, columns.events(block))

    with ThreadPoolExecutor(1, thread_name_prefix="import") as reader:
        following = reader.submit(make)
        while (made := following.result()) is not None:
            following = reader.submit(make)
            yield made


def _with_last(blocks: Iterable[tuple[RecordBlock, EventBlock]]) -> Iterator[tuple[RecordBlock, EventBlock, bool]]:
    """Yield the blocks, and of each whether it is the last."""
    held: tuple[RecordBlock, EventBlock] | None = None
    for block in blocks:
        if held is not None:
            yield *held, False
        held = block
    if held is not None:
        yield *held, True


def _require_sense(tally: _Tally, name: str, mapping: NamedMapping) -> None:
    """Fail on a first block of which nothing is an event: the mapping is for another file."""
    if tally.rows_rejected and tally.rows_rejected == tally.rows_read:
        reason, count = tally.reasons.most_common(1)[0]
        raise ImportFileError(
            f"none of the first {tally.rows_read} records of {name} is an event by mapping {mapping.name!r}; of "
            f"{count} it is that {reason}. Nothing was imported: give another --map"
        )


def import_events(
    path: Path,
    which: str,
    *,
    mapping: str | None = None,
    kind: Format | None = None,
    dry_run: bool = False,
    replace_earlier: bool = False,
    settings: Settings | None = None,
    progress: Progress = _silent,
    now: datetime | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> ImportReport:
    """Import a file of events for a tenant, or go on with an import that was interrupted.

    Args:
        path: CSV, JSON lines or Parquet; CSV and JSON lines may be gzip.
        which: the tenant, by id or subdomain.
        mapping: a preset's name or a mapping's file; the preset that the file's columns fit, unless given.
        kind: the format, unless the file's name says it.
        dry_run: read and judge every line and write nothing.
        replace_earlier: take back first what an earlier import of this file wrote, and its rejects.
        settings: which platform.
        progress: told of every block.
        now: what counts as now; events that are older than ``LIVE`` go to history.
        block_bytes: of the file per transaction.

    Raises:
        ImportFileError: the file cannot be read, or is not what the mapping is for; nothing was written.
        MappingError: the mapping cannot be used.
        UnknownTenantError: there is no such tenant.
        LoadError: the cell's disk is full, the cell went away or the tenant is closed; repeated, it goes on.
        CellUnavailableError: the cell cannot be reached.
    """
    settings, now, started = settings or get_settings(), now or datetime.now(UTC), time.monotonic()
    given = load_mapping(mapping) if mapping is not None else None
    tenant = find(which, None, settings)
    file = read_whole(path, kind, on_bytes=lambda done: progress(ImportProgress("reading", done, None)))
    named = given or fitting_mapping(file)
    records = _records(file, named, block_bytes)
    size = records.rows if isinstance(records, ParquetRecords) else file.size
    columns = EventColumns(named.mapping, tenant.id, file.digest, now)

    def report(tally: _Tally, *, resumed: int | None = None, before: datetime | None = None) -> ImportReport:
        return ImportReport(
            file=path.name,
            tenant_id=tenant.id,
            cell=tenant.cell,
            load_id=import_load_id(tenant.id, file.digest),
            mapping=named.name,
            lines=size if isinstance(records, ParquetRecords) else file.lines,
            rows_read=tally.rows_read,
            rows_loaded=tally.rows_loaded,
            rows_history=tally.rows_history,
            rows_repeated=tally.rows_repeated,
            rows_rejected=tally.rows_rejected,
            rejected_by_reason=tuple(tally.reasons.most_common()),
            event_types=tuple(tally.types.most_common()),
            first_time=tally.first_time,
            last_time=tally.last_time,
            not_mapped=_not_mapped(records, named),
            resumed_at=resumed,
            finished_before=before,
            seconds=time.monotonic() - started,
            dry_run=dry_run,
        )

    def told(tally: _Tally) -> None:
        progress(
            ImportProgress(
                "importing", tally.position.offset, size, tally.rows_loaded, tally.rows_repeated, tally.rows_rejected
            )
        )

    if dry_run:
        tally = _Tally()
        for block, events in _mapped(records, columns, START):
            old = pc.sum(pc.less(events.events["time"], pa.scalar(now - LIVE, pa.timestamp("us", "UTC")))).as_py() or 0
            tally = _with(tally, events, _Written(events.events.num_rows, old, 0, events.rejects), block.end, 0.0)
            told(tally)
        return report(tally)

    with routing.connect(
        tenant.cell, "loader", autocommit=True, application_name="capstone import", settings=settings
    ) as connection:
        require_cell(connection, tenant.cell)
        require_row_security_bypassed(connection, "analytics.imports")
        work = _Import(connection, tenant, file, named, now)
        work.lock()
        if replace_earlier:
            with _explained(path.name, _Tally(), tenant):
                work.undo()
        before = work.begun()
        tally = before or _Tally()
        if tally.finished_at is not None:
            return report(tally, before=tally.finished_at)
        earlier = tally.seconds
        for block, events, last in _with_last(_mapped(records, columns, tally.position)):
            if before is None and tally.position == START and not events.events.num_rows:
                _require_sense(
                    _with(tally, events, _Written(0, 0, 0, events.rejects), block.end, 0.0), path.name, named
                )
            seconds = earlier + time.monotonic() - started
            with _explained(path.name, tally, tenant):
                tally = work.write(events, block.end, tally, last=last, seconds=seconds)
            told(tally)
        if tally.position == START:
            raise ImportFileError(f"{path} holds no record beside its header: there is nothing to import")
    _gather_statistics(tenant, tally, now - LIVE, settings)
    return report(tally, resumed=before.position.line if before is not None else None)


def _gather_statistics(tenant: Tenant, tally: _Tally, cut: datetime, settings: Settings) -> None:
    if tally.rows_history:
        analyze_tables(tenant.cell, ["analytics.events_history"], settings)
    if tally.rows_loaded > tally.rows_history and tally.last_time is not None and tally.first_time is not None:
        days = [max(tally.first_time, cut).date(), tally.last_time.date()]
        analyze_event_days(tenant.cell, days, settings)
