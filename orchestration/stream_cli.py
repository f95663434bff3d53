"""`capstone stream …`: live events. Thin, as `orchestration/cli.py`: every verb calls a library function."""

# ruff: noqa: PLC0415 -- a verb imports what it needs: `capstone --help` must not wait for database drivers

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from orchestration.cells.regions import Cell
    from orchestration.settings import Settings

EXIT_FAILED = 1

stream_app = typer.Typer(help="Live events: the queue, its processor, and what was counted.", no_args_is_help=True)

OneCellOption = Annotated[str, typer.Option("--cell", help="na, eu or apac.")]
AnyCellOption = Annotated[str | None, typer.Option("--cell", help="Only this cell: na, eu or apac.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", help="Only those of this reason, as `capstone stream dead` names it.")
]
LetterTenantOption = Annotated[str | None, typer.Option("--tenant", help="Only those that name this tenant: its id.")]
AllOption = Annotated[bool, typer.Option("--all", help="All of them.")]


class StreamMistakeError(ValueError):
    """Options that do not fit together."""


def settings_of_platform() -> "Settings":
    """Return the settings that every verb works with."""
    from orchestration.settings import get_settings

    return get_settings()


def one_cell(name: str) -> "Cell":
    """Return the cell of that name.

    Raises:
        UnknownCellError: there is none.
    """
    from orchestration.cells.regions import parse_cell

    return parse_cell(name)


def _print(table: "Table") -> None:
    import sys

    from rich.console import Console

    # A pipe has no width; tables would be cut to 80 columns.
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(table)


@stream_app.command()
def run(
    cell: OneCellOption,
    *,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait for a queue that has to be recovered, instead of ending: for containers."),
    ] = False,
) -> None:
    """Process the live events of a cell until stopped; `capstone up` does it in the background.

    SIGTERM or Ctrl-C ends it after the batch in hand; killed in any other way it loses and doubles nothing either.
    """
    from orchestration.realtime.service import serve

    serve(one_cell(cell), settings_of_platform(), wait=wait)


@stream_app.command()
def status(cell: AnyCellOption = None, as_json: JsonOption = False) -> None:
    """Show what waits in the queues, for how long, and what is dead. Exit code 1 when a stream cannot be processed."""
    from dataclasses import asdict

    from rich.table import Table

    from orchestration.cells.regions import CELLS
    from orchestration.realtime.stream_status import stream_status

    settings = settings_of_platform()
    states = [stream_status(each, settings) for each in ([one_cell(cell)] if cell else CELLS)]
    if as_json:
        typer.echo(json.dumps([asdict(state) for state in states], indent=2))
    else:
        table = Table("cell", "waiting", "taken", "limit", "oldest, s", "dead letters", "last stored (UTC)", "trouble")
        for state in states:
            table.add_row(
                state.cell,
                _number(state.depth),
                _number(state.pending),
                _number(state.limit),
                "" if state.oldest_seconds is None else f"{state.oldest_seconds:.1f}",
                ", ".join(f"{count} {reason}" for reason, count in state.dead_letters.items()) or "none",
                state.last_stored or "never",
                state.trouble or "",
            )
        _print(table)
    if any(state.trouble for state in states):
        raise typer.Exit(EXIT_FAILED)


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


@stream_app.command()
def dead(
    cell: OneCellOption,
    *,
    reason: ReasonOption = None,
    tenant: LetterTenantOption = None,
    show: Annotated[
        str | None, typer.Option("--show", help="Print what this letter says: somebody's data, mind where it goes.")
    ] = None,
    discard: Annotated[bool, typer.Option("--discard", help="Give those up for good; asks first.")] = False,
    everything: AllOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the events that could not be stored: when, why and whose, not what they say."""
    from dataclasses import asdict

    from rich.table import Table

    letters = _dead_letters(cell)
    if show is not None:
        typer.echo(letters.payload(show))
        return
    if discard and not (reason or tenant or everything):
        raise StreamMistakeError("say which: --reason, --tenant or --all")
    found = list(letters.letters(reason=reason, tenant=tenant))
    if discard:
        if found and not yes:
            typer.confirm(f"Give {len(found)} dead letters up for good?", abort=True)
        typer.echo(f"{letters.discard([letter.letter for letter in found])} dead letters given up")
    elif as_json:
        typer.echo(json.dumps([asdict(letter) for letter in found], indent=2, default=str))
    else:
        table = Table("letter", "reason", "tenant", "buried (UTC)", "bytes")
        for letter in found:
            table.add_row(
                letter.letter,
                letter.reason,
                letter.tenant or "",
                letter.buried_at.isoformat(sep=" ", timespec="seconds")[:19],
                str(letter.size),
            )
        _print(table)


@stream_app.command()
def replay(
    cell: OneCellOption,
    *,
    reason: ReasonOption = None,
    tenant: LetterTenantOption = None,
    everything: AllOption = False,
) -> None:
    """Put dead letters back into the queue, once what stood against them is mended. Nothing is stored twice by it."""
    if not (reason or tenant or everything):
        raise StreamMistakeError("say which: --reason, --tenant or --all")
    letters = _dead_letters(cell)
    chosen = [letter.letter for letter in letters.letters(reason=reason, tenant=tenant)]
    replayed = letters.replay(chosen)
    typer.echo(f"{replayed} dead letters are in the queue again")
    if replayed < len(chosen):
        typer.echo(
            f"{len(chosen) - replayed} are left: the queue is full; repeat the command when it has room", err=True
        )
        raise typer.Exit(EXIT_FAILED)


def _dead_letters(cell: str) -> Any:
    from orchestration.realtime.dead_letters import DeadLetters
    from orchestration.realtime.redis_queue import RedisQueue

    return DeadLetters(RedisQueue.of_cell(one_cell(cell), settings_of_platform()))


@stream_app.command()
def recover(cell: OneCellOption, as_json: JsonOption = False) -> None:
    """After Redis was emptied or its file torn: report what cannot be accounted for, rebuild the counters, go on."""
    from orchestration.realtime.recovery import recover as bring_back

    chosen, settings = one_cell(cell), settings_of_platform()
    report = bring_back(chosen, settings, say=lambda line: typer.echo(line, err=True))
    if as_json:
        typer.echo(json.dumps(None if report is None else report.as_json(), indent=2))
    elif report is None:
        typer.echo(f"{chosen}: the queue is what it was; there is nothing to recover")
    else:
        for line in report.lines():
            typer.echo(line)


TenantOption = Annotated[str | None, typer.Option("--tenant", help="Only this tenant: its id or subdomain.")]


@stream_app.command()
def simulate(
    cell: OneCellOption,
    *,
    rate: Annotated[float, typer.Option("--rate", help="Events a second, of all tenants together.")],
    tenant: TenantOption = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="Stop after so long; until Ctrl-C unless given.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="The same traffic again, but for ids and times.")] = None,
) -> None:
    """Send live traffic that looks like the shops' into the queue of a cell, at a steady rate. Ctrl-C ends it."""
    import signal
    from threading import Event

    from orchestration.realtime.simulation import simulate as send_traffic

    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    sent = send_traffic(
        one_cell(cell),
        rate,
        settings_of_platform(),
        stop=stop,
        seconds=seconds,
        tenant=tenant,
        seed=seed,
        say=lambda line: typer.echo(line, err=True),
    )
    typer.echo(f"sent {sent}")


@stream_app.command("rebuild-counters")
def rebuild_counters(
    cell: OneCellOption,
    *,
    tenant: TenantOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how the totals differ.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compute the real-time counters anew from the hypertable, exactly, while the processor goes on."""
    from dataclasses import asdict

    from orchestration.realtime.rebuild import rebuild_counters as compute
    from orchestration.tenancy.registry import find

    chosen, settings = one_cell(cell), settings_of_platform()
    report = compute(
        chosen,
        settings,
        tenant=None if tenant is None else find(tenant, chosen, settings).id,
        dry_run=dry_run,
        say=lambda line: typer.echo(line, err=True),
    )
    typer.echo(json.dumps(asdict(report), indent=2) if as_json else f"{chosen}: {report}")


@stream_app.command()
def stats(
    tenant: Annotated[str, typer.Option("--tenant", help="The tenant: its id or subdomain.")],
    *,
    event_type: Annotated[str | None, typer.Option("--type", help="Only events of this type.")] = None,
    minutes: Annotated[
        int, typer.Option("--minutes", help="Length of the window, this minute included; at most 60.")
    ] = 10,
    as_json: JsonOption = False,
) -> None:
    """Show the real-time counters of a tenant: ever, this minute, and over the last minutes."""
    from rich.table import Table

    from orchestration.realtime.stats import counters_client, get_realtime_stats
    from orchestration.tenancy.registry import find

    settings = settings_of_platform()
    found = find(tenant, None, settings)
    client = counters_client(found.cell, settings)
    try:
        shown = get_realtime_stats(client, found.id, event_type, minutes=minutes)
    finally:
        client.close()
    if as_json:
        typer.echo(json.dumps(shown.as_json(), indent=2))
        return
    table = Table("minute (UTC)", "events", title=f"{found.subdomain}, {event_type or 'all events'}")
    for minute, events in shown.by_minute.items():
        table.add_row(f"{minute:%H:%M}", _number(events))
    table.caption = (
        f"ever {shown.total:,}; this minute {shown.this_minute:,} of {shown.unique_users:,} users; "
        f"{minutes} minutes {shown.window_events:,} of {shown.window_users:,} users"
    )
    _print(table)
