"""The `capstone` command. Thin: every verb calls a library function; imports happen in the verbs, to start fast."""

# ruff: noqa: PLC0415 -- a verb imports what it needs: `capstone --help` must not wait for database drivers

import json
import os
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from orchestration.dashboard_cli import dashboard
from orchestration.global_cli import show_global
from orchestration.import_cli import import_app
from orchestration.person_cli import person_app
from orchestration.residency_cli import residency_app
from orchestration.stream_cli import stream_app
from orchestration.tenant_cli import tenant_app

if TYPE_CHECKING:
    from rich.console import Console

    from orchestration.bench.report import BenchReport
    from orchestration.cells.regions import Cell
    from orchestration.lifecycle.filling import DayRange, Fill
    from orchestration.settings import Settings

EXIT_FAILED = 1
EXIT_UNPROVEN = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="capstone",
    help="The data platform of a multi-tenant commerce service in three regions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
bench_app = typer.Typer(help="Benchmarks: each against a baseline measured in the same run.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")
app.add_typer(tenant_app, name="tenant")
app.add_typer(person_app, name="person")
app.add_typer(stream_app, name="stream")
app.command("dashboard")(dashboard)
app.command("global")(show_global)
app.add_typer(import_app, name="import")
app.add_typer(residency_app, name="residency")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
CellOption = Annotated[str | None, typer.Option("--cell", help="Only this cell: na, eu or apac.")]


class UsageMistakeError(ValueError):
    """Options that do not fit together."""


def _settings(**changes: object) -> "Settings":
    from orchestration.settings import get_settings

    given = {name: value for name, value in changes.items() if value is not None}
    return get_settings().model_copy(update=given)


def _console(*, stderr: bool = False) -> "Console":
    from rich.console import Console

    # A pipe has no width; tables would be cut to 80 columns.
    return Console(stderr=stderr, width=None if sys.stdout.isatty() else 200, highlight=False)


def _cell(name: str | None) -> "Cell | None":
    from orchestration.cells.regions import parse_cell

    return None if name is None else parse_cell(name)


def _report_failures(fill: "Fill") -> None:
    from rich.markup import escape

    err = _console(stderr=True)
    for failure in fill.failures:
        err.print(f"[red]failed[/red]: {escape(str(failure))}", soft_wrap=True)
    if fill.failures:
        err.print("The platform is running: look at the run in the Dagster UI, mend the cause, and repeat the command.")
        raise typer.Exit(EXIT_FAILED)


@app.command()
def up(
    scale: Annotated[str | None, typer.Option(help="At the first fill: small, medium or large.")] = None,
) -> None:
    """Start everything, fill it, and leave it running. Repeatable."""
    from orchestration.lifecycle import console as view
    from orchestration.lifecycle.start import up as start
    from orchestration.lifecycle.status import status

    settings = _settings(scale=_scale(scale))
    out, err = _console(), _console(stderr=True)
    try:
        started = start(settings, view.ConsoleReporter(err))
    except KeyboardInterrupt:
        err.print("\ninterrupted: what runs goes on; `capstone up` continues from here, `capstone down` stops it")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    out.print(view.cells_table(status(settings)))
    out.print(view.where_to_look(settings))
    for refused in started.streams_refused:
        err.print(refused, style="red", soft_wrap=True, markup=False)
    _report_failures(started.fill)
    if started.streams_refused:
        raise typer.Exit(EXIT_FAILED)


def _scale(name: str | None) -> str | None:
    from typing import get_args

    from orchestration.settings import Scale

    if name is not None and name not in get_args(Scale):
        raise UsageMistakeError(f"unknown scale {name!r}: one of {', '.join(get_args(Scale))} is needed")
    return name


@app.command()
def down(
    destroy: Annotated[bool, typer.Option("--destroy", help="Also remove all data.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop everything. The data stay, unless --destroy is given."""
    from orchestration.lifecycle import console as view
    from orchestration.lifecycle import start

    settings = _settings()
    reporter = view.ConsoleReporter(_console(stderr=True))
    if not destroy:
        start.down(settings, reporter)
        return
    if not yes and settings.home.exists():
        typer.confirm(f"Remove {settings.home} with all data in it?", abort=True)
    start.destroy(settings, reporter)


@app.command()
def status(as_json: JsonOption = False) -> None:
    """Show what runs where, when it was last built, and what the gates say. Exit code 1 when something is down."""
    from orchestration.lifecycle import console as view
    from orchestration.lifecycle.status import status as ask

    found = ask(_settings())
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
    else:
        out = _console()
        for table in (view.cells_table(found), view.services_table(found), view.groups_table(found)):
            out.print(table)
    if not found.healthy:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Say what is missing on this machine, and the command that mends it. Exit code 1 when something is."""
    from dataclasses import asdict

    from orchestration.engines.doctor import diagnose
    from orchestration.lifecycle import console as view

    findings = diagnose()
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _console().print(view.findings_table(findings))
    if not all(finding.ok for finding in findings):
        raise typer.Exit(EXIT_FAILED)


@app.command()
def dsn(
    cell: Annotated[str, typer.Argument(help="na, eu, apac or control.")],
    role: Annotated[str | None, typer.Option(help="Whose login; transformer unless given, dagster in control.")] = None,
) -> None:
    """Print a connection URL. It holds a password: mind where it goes."""
    from orchestration.lifecycle.logins import login_dsn

    typer.echo(login_dsn(cell, role, _settings()))


@app.command()
def env(
    cell: Annotated[str, typer.Argument(help="na, eu or apac.")],
    role: Annotated[str, typer.Option(help="Whose login.")] = "transformer",
) -> None:
    """Print what a plain dbt or psql in a shell needs: eval "$(capstone env na)"."""
    import shlex

    from orchestration.cells.regions import parse_cell
    from orchestration.cells.shell_environment import shell_environment
    from orchestration.lifecycle.logins import parse_role

    chosen = parse_cell(cell)
    for name, value in shell_environment(chosen, parse_role(chosen, role), _settings()).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def verify(
    what: Annotated[str, typer.Argument(help="isolation, residency, lineage, or all.")] = "all",
    cell: CellOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove isolation, residency and lineage now. Exit code 0 proven, 1 violated, 2 could not be proven."""
    from typing import get_args

    from orchestration.cells.regions import CELLS
    from orchestration.lifecycle import console as view
    from orchestration.proofs.verify import What
    from orchestration.proofs.verify import verify as prove

    if what not in get_args(What):
        raise UsageMistakeError(f"cannot verify {what!r}: one of {', '.join(get_args(What))} is needed")
    only = _cell(cell)
    outcome = prove(cast("What", what), [only] if only else CELLS, settings=_settings())
    if as_json:
        typer.echo(json.dumps(outcome.as_json(), indent=2))
    else:
        _console().print(view.proofs_table(outcome.proofs))
    raise typer.Exit(outcome.exit_code)


@app.command()
def evidence(
    cell: CellOption = None,
    out: Annotated[Path | None, typer.Option(help="Directory to write to; default: the state directory's own.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Prove now, and write a report for an auditor: HTML and JSON, no personal data. Exit codes as of `verify`."""
    from orchestration.cells.regions import CELLS
    from orchestration.proofs import evidence as report

    settings, only = _settings(), _cell(cell)
    gathered = report.gather([only] if only else CELLS, settings=settings)
    written = report.write(gathered, out or report.default_directory(settings))
    if as_json:
        typer.echo(json.dumps(gathered.as_json(), indent=2))
    else:
        for each in gathered.cells:
            typer.echo(f"{each.cell}: {each.outcome}{''.join(f'; {reason}' for reason in each.reasons[:3])}")
        typer.echo(f"{written.html}\n{written.json}")
    raise typer.Exit(gathered.exit_code)


def _days(partition: str | None, first: str | None, last: str | None) -> "DayRange | None":
    from orchestration.lifecycle.filling import DayRange

    if partition and (first or last):
        raise UsageMistakeError("give --partition, or --from and --to, not both")
    if bool(first) != bool(last):
        raise UsageMistakeError("--from and --to belong together")
    if not (partition or first):
        return None
    return DayRange(_day(partition or first or ""), _day(partition or last or ""))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageMistakeError(f"{text!r} is not a day: YYYY-MM-DD is needed") from None


@app.command()
def materialize(
    selection: Annotated[str, typer.Argument(help="Dagster's asset selection, such as na/marts/fct_funnel.")] = "*",
    cell: CellOption = None,
    partition: Annotated[str | None, typer.Option(help="One day, YYYY-MM-DD.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day, YYYY-MM-DD.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day, YYYY-MM-DD.")] = None,
) -> None:
    """Build assets through Dagster and wait; each region in a run of its own."""
    from orchestration.analysis.configuration import read_configuration
    from orchestration.lifecycle import console as view
    from orchestration.lifecycle.graphql import DagsterGraphQL
    from orchestration.lifecycle.materializing import materialize as build
    from orchestration.lifecycle.materializing import require_within
    from orchestration.lifecycle.start import full_days, require_served, still_served
    from orchestration.loading.window import read_window

    settings = _settings()
    days, only = _days(partition, first, last), _cell(cell)
    read_configuration()
    require_served(settings)
    if days:
        require_within(days, full_days(read_window(settings)))
    from orchestration.defs.operations.selection import resolve

    selected = resolve(selection)
    reporter = view.ConsoleReporter(_console(stderr=True))
    with reporter.step(f"building {selection}"):
        fill = build(
            DagsterGraphQL.of(settings),
            selected,
            reporter,
            cell=only,
            days=days,
            still_served=still_served(settings),
        )
    _report_failures(fill)


EventsOption = Annotated[
    Path | None,
    typer.Option("--events", help="File of JSON lines {t, user, type, props?}; t is ISO 8601 with a zone."),
]
TenantOption = Annotated[
    str | None, typer.Option("--tenant", help="Ask the platform's own events of this tenant: id or subdomain.")
]
WhichCellOption = Annotated[
    str | None,
    typer.Option("--cell", help="na, eu or apac: where the tenant lives, or whose server computes over the file."),
]
FirstDayOption = Annotated[str | None, typer.Option("--from", help="With --tenant: first day, YYYY-MM-DD (UTC).")]
LastDayOption = Annotated[str | None, typer.Option("--to", help="With --tenant: last day, YYYY-MM-DD (UTC).")]
BreakdownOption = Annotated[
    str | None,
    typer.Option("--breakdown", help="With --tenant: device_type, country or referrer_domain of the first touch."),
]
SkipRejectedOption = Annotated[
    bool, typer.Option("--skip-rejected", help="Go on without the lines of the file that are rejected.")
]


@app.command()
def funnel(
    *,
    events: EventsOption = None,
    spec: Annotated[
        Path | None,
        typer.Option("--spec", help="JSON file {steps, window_seconds, mode, exclusions}; see docs/analysis.md."),
    ] = None,
    name: Annotated[str | None, typer.Option("--funnel", help="A configured funnel, instead of --spec.")] = None,
    tenant: TenantOption = None,
    cell: WhichCellOption = None,
    first: FirstDayOption = None,
    last: LastDayOption = None,
    breakdown: BreakdownOption = None,
    kept: Annotated[
        bool, typer.Option("--kept", help="With --tenant: read what dbt's last run kept of the events; faster.")
    ] = False,
    skip_rejected: SkipRejectedOption = False,
    as_json: JsonOption = False,
) -> None:
    """How many users take each step, over a file of events or a tenant's own. Leaves nothing behind."""
    from orchestration.analysis import asking, tables

    question = asking.Question(events, tenant, _cell(cell), _days(None, first, last), breakdown, skip_rejected, kept)
    answer = asking.funnel(question, spec, name, _settings(), warn=_warn)
    if as_json:
        typer.echo(json.dumps(answer.as_json()))
    else:
        for table in tables.funnel_tables(answer):
            _console().print(table)


@app.command()
def retention(
    *,
    events: EventsOption = None,
    spec: Annotated[
        Path | None,
        typer.Option(
            "--spec", help="JSON file {period, kind, target_event, return_event, range}; see docs/analysis.md."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--cohort", help="A configured cohort, instead of --spec.")] = None,
    period: Annotated[str | None, typer.Option("--period", help="With --cohort: day, week or month.")] = None,
    tenant: TenantOption = None,
    cell: WhichCellOption = None,
    first: FirstDayOption = None,
    last: LastDayOption = None,
    breakdown: BreakdownOption = None,
    skip_rejected: SkipRejectedOption = False,
    as_json: JsonOption = False,
) -> None:
    """How many users of each cohort come back, over a file of events or a tenant's own. Leaves nothing behind."""
    from orchestration.analysis import asking, tables

    question = asking.Question(events, tenant, _cell(cell), _days(None, first, last), breakdown, skip_rejected)
    answer = asking.retention(question, spec, name, period, _settings(), warn=_warn)
    if as_json:
        typer.echo(json.dumps(answer.as_json()))
    else:
        for table in tables.retention_tables(answer):
            _console().print(table)


def _warn(message: str) -> None:
    typer.echo(message, err=True)


def _print_report(report: "BenchReport", *, as_json: bool) -> None:
    if as_json:
        typer.echo(report.to_json())
    else:
        _console().print(report.table())


@bench_app.command("load")
def bench_load(as_json: JsonOption = False) -> None:
    """Generator and COPY loader against psql, in a scratch database of the running cell na."""
    from orchestration.bench.load import run

    _print_report(run(_settings()), as_json=as_json)


@bench_app.command("ingest")
def bench_ingest(
    memory_rows: Annotated[
        int, typer.Option(help="Events that the measurement of memory loads; 0 leaves it out.")
    ] = 20_000_000,
    as_json: JsonOption = False,
) -> None:
    """Every way in for events against psql, and memory, in a scratch database of the running cell na."""
    from orchestration.bench.ingest import run

    _print_report(run(_settings(), memory_rows=memory_rows), as_json=as_json)


@bench_app.command("marts")
def bench_marts(
    rows: Annotated[int, typer.Option(help="About how many events funnels and cohorts are computed over.")] = 2_000_000,
    as_json: JsonOption = False,
) -> None:
    """Funnels, cohorts and a day's run against DuckDB and plain joins, in scratch databases of the running cell na."""
    from orchestration.bench.marts import run

    _print_report(run(_settings(), rows=rows), as_json=as_json)


@bench_app.command("tenancy")
def bench_tenancy(as_json: JsonOption = False) -> None:
    """Row security, creation, proof and a flood at 10,000 tenants, in a scratch database of the running cell na."""
    from orchestration.bench.tenancy import run

    _print_report(run(_settings()), as_json=as_json)


@bench_app.command("residency")
def bench_residency(as_json: JsonOption = False) -> None:
    """Routing against a pool, 50 readers, residency suite, tick and lineage check, on the running platform."""
    from orchestration.bench.residency import run

    _print_report(run(_settings()), as_json=as_json)


@bench_app.command("realtime")
def bench_realtime(as_json: JsonOption = False) -> None:
    """Counters against the brief's, and live events through the stream, in a scratch database beside the cell na."""
    from orchestration.bench.realtime import run

    _print_report(run(_settings()), as_json=as_json)


@bench_app.command("dashboard")
def bench_dashboard(
    rows: Annotated[int, typer.Option(help="About how many events the dashboard is asked over.")] = 10_000_000,
    as_json: JsonOption = False,
) -> None:
    """Every dashboard query with 20 readers while events are loaded, in a scratch database of the running cell na."""
    from orchestration.bench.dashboard import run

    _print_report(run(_settings(), rows=rows), as_json=as_json)


def _print_error(error: BaseException) -> None:
    typer.secho("error: ", fg=typer.colors.RED, err=True, nl=False)
    typer.echo(str(error) or type(error).__name__, err=True)


def _is_explained(error: BaseException) -> bool:
    """Return whether the error is one of the project's own, whose message says what to do."""
    return type(error).__module__.startswith("orchestration.")


def main(argv: list[str] | None = None) -> None:
    """Run the command; a mistake of the user's ends in one message, with CAPSTONE_DEBUG=1 in a traceback."""
    if argv is not None:
        sys.argv[1:] = argv
    try:
        app()
    except Exception as error:
        if os.environ.get("CAPSTONE_DEBUG"):
            raise
        if not _is_explained(error):
            typer.echo(f"{type(error).__name__} (not expected; CAPSTONE_DEBUG=1 shows where):", err=True)
        _print_error(error)
        sys.exit(EXIT_UNPROVEN if sys.argv[1:2] in (["verify"], ["evidence"]) else EXIT_FAILED)


if __name__ == "__main__":
    main()
