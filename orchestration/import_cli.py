"""`capstone import …`: files of other systems. Thin, as `orchestration/cli.py`."""

# ruff: noqa: PLC0415 -- a verb imports what it needs: `capstone --help` must not wait for database drivers

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from orchestration.loading.event_import import ImportProgress, ImportReport
    from orchestration.loading.event_mapping import Format
    from orchestration.settings import Settings

import_app = typer.Typer(help="Import files of other systems.", no_args_is_help=True)

_FORMATS = ("csv", "jsonl", "parquet")
# Reasons that the summary lists; the others are in platform.load_rejects as well.
_LISTED_REASONS = 10


class ImportMistakeError(ValueError):
    """An option that is none of those there are."""


@import_app.callback()
def _imports() -> None:
    """Import files of other systems."""


@import_app.command("events")
def import_events_command(
    file: Annotated[Path, typer.Argument(help="CSV, JSON lines or Parquet; CSV and JSON lines may be gzip.")],
    tenant: Annotated[str, typer.Option("--tenant", help="Whose events they are: an id or a subdomain.")],
    *,
    kind: Annotated[
        str | None, typer.Option("--format", help="csv, jsonl or parquet, unless the file's name says it.")
    ] = None,
    mapping: Annotated[
        str | None,
        typer.Option(
            "--map",
            help="rees46, retailrocket, ga4, segment, or a file; by the columns of the file, unless given.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge every line and write nothing.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take back first what an earlier import of this file wrote.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Import a file of events for a tenant; interrupted, the same command goes on, and repeated it changes nothing."""
    from rich.console import Console

    from orchestration.loading.event_import import import_events
    from orchestration.settings import get_settings

    if dry_run and replace:
        raise ImportMistakeError("--dry-run writes nothing, and --replace takes back: give one of them")
    settings, stderr = get_settings(), Console(stderr=True, highlight=False)
    with _bar(stderr) as bar:
        task = bar.add_task("reading", total=None)

        def show(state: "ImportProgress") -> None:
            counts = f"{state.rows_loaded:,} loaded, {state.rows_repeated:,} repeated, {state.rows_rejected:,} rejected"
            bar.update(
                task,
                description=state.stage if state.stage == "reading" else f"{state.stage}: {counts}",
                completed=state.done,
                total=state.size,
            )

        report = import_events(
            file,
            tenant,
            mapping=mapping,
            kind=_format(kind),
            dry_run=dry_run,
            replace_earlier=replace,
            settings=settings,
            progress=show,
        )
    note = None if dry_run else _recorded(report, settings)
    if as_json:
        typer.echo(json.dumps(asdict(report) | {"in_dagster": note is None and not dry_run}, default=str, indent=2))
    else:
        Console(highlight=False, width=None if stderr.is_terminal else 200).print(_summary(report))
    if note is not None:
        typer.echo(f"not recorded in Dagster: {note}; then repeat this command, it imports nothing twice", err=True)


def _format(kind: str | None) -> "Format | None":
    if kind is not None and kind not in _FORMATS:
        raise ImportMistakeError(f"--format {kind!r} is none: one of {', '.join(_FORMATS)} is needed")
    return kind  # type: ignore[return-value]


def _bar(console: "Console") -> "Progress":
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _recorded(report: "ImportReport", settings: "Settings") -> str | None:
    """Report the import to Dagster; return why that could not be done, None if it is."""
    from orchestration.cells.endpoints import EndpointError
    from orchestration.lifecycle.graphql import DagsterGraphQL, GraphQLError, WebserverUnavailableError
    from orchestration.lifecycle.import_record import record_import

    try:
        record_import(DagsterGraphQL.of(settings), report)
    except (EndpointError, GraphQLError, WebserverUnavailableError) as error:
        return str(error)
    return None


def _summary(report: "ImportReport") -> "Table":
    from rich.table import Table

    if report.finished_before is not None:
        title = f"{report.file} was imported already, on {report.finished_before:%Y-%m-%d %H:%M} UTC: nothing was done"
    elif report.dry_run:
        title = f"{report.file}: what an import would do"
    else:
        title = f"{report.file} is imported"
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("value", overflow="fold")
    rate = report.rows_read / report.seconds if report.seconds and report.finished_before is None else 0
    rows = {
        "lines in the file": "" if report.lines is None else f"{report.lines:,}",
        "records read": f"{report.rows_read:,}",
        "loaded": f"{report.rows_loaded:,}",
        "  of these older than a year, into history": f"{report.rows_history:,}",
        "repeated (there already)": "not known before it is imported"
        if report.dry_run
        else f"{report.rows_repeated:,}",
        "rejected": f"{report.rows_rejected:,}",
        "first event": f"{report.first_time:%Y-%m-%d %H:%M:%S} UTC" if report.first_time else "",
        "last event": f"{report.last_time:%Y-%m-%d %H:%M:%S} UTC" if report.last_time else "",
        "event types": ", ".join(f"{name} {count:,}" for name, count in report.event_types[:_LISTED_REASONS]),
        "columns not mapped": ", ".join(report.not_mapped),
        "went on at line": "" if report.resumed_at is None else f"{report.resumed_at:,}",
        "load": str(report.load_id),
        "seconds": f"{report.seconds:,.1f}" + (f" ({rate:,.0f} records/s)" if rate else ""),
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, value)
    for reason, count in report.rejected_by_reason[:_LISTED_REASONS]:
        table.add_row("  rejected", f"{count:,}: {reason}")
    return table
