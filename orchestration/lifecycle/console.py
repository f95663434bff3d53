"""What the commands of `capstone` show on a terminal: steps, runs as they go, and the tables at the end."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from orchestration.lifecycle import docs_site
from orchestration.lifecycle.reporting import Say
from orchestration.lifecycle.runs import RunState
from orchestration.lifecycle.status import CellStatus, PlatformStatus, ServiceState
from orchestration.settings import Settings

if TYPE_CHECKING:
    from orchestration.engines.doctor import Finding
    from orchestration.proofs.proof import Proof

# A log file or a CI page gets a line about each run this often; a terminal has one that changes.
LINE_SECONDS = 5.0

_COLOURS = {
    "running": "green",
    "external": "green",
    "green": "green",
    "dead": "red",
    "unreachable": "red",
    "red": "red",
}


def describe(state: RunState) -> str:
    """Return one run in a few words: what it builds, how far it is, and for how long."""
    name = state.job if state.job != "__ASSET_JOB" else f"assets of {state.cell or 'no cell'}"
    if state.status in ("QUEUED", "NOT_STARTED", "STARTING"):
        return f"{name}: {state.status.lower()}"
    steps = f"{state.steps_done}/{state.steps_total} steps" if state.steps_total else "starting"
    doing = f", {state.running[0]}" if state.running and not state.finished else ""
    word = {"SUCCESS": "done", "FAILURE": "failed", "CANCELED": "cancelled"}.get(state.status, "")
    return f"{name}: {f'{word}, ' if word else ''}{steps}, {state.seconds:.0f} s{doing}"


class ConsoleReporter:
    """Steps as lines, runs as one live line on a terminal and as occasional lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, tuple[str, float]] = {}
        self._live = console.status("")
        self._live_on = False

    @contextmanager
    def step(self, title: str) -> Iterator[Say]:
        """Announce a step and say how long it took."""
        started = time.monotonic()
        self._console.print(f"[bold]{escape(title)}[/bold]")
        try:
            yield self._say
        finally:
            self._stop_live()
        self._console.print(f"  done in {time.monotonic() - started:.1f} s", style="dim")

    def runs(self, states: Sequence[RunState]) -> None:
        """Show the runs."""
        if self._console.is_terminal and not all(state.finished for state in states):
            self._live.update(escape("  ·  ".join(describe(state) for state in states if not state.finished)))
            if not self._live_on:
                self._live.start()
                self._live_on = True
        for state in states:
            self._line_of(state)

    def _line_of(self, state: RunState) -> None:
        before, when = self._said.get(state.run_id, ("", 0.0))
        marker = f"{state.status} {state.steps_done}"
        if marker == before:
            return
        due = not self._console.is_terminal and time.monotonic() - when >= LINE_SECONDS
        if state.finished or due:
            self._said[state.run_id] = (marker, time.monotonic())
            self._say(describe(state))

    def _say(self, line: str) -> None:
        self._console.print(f"  {escape(line)}")

    def _stop_live(self) -> None:
        if self._live_on:
            self._live.stop()
            self._live_on = False


def _coloured(word: str | None) -> str:
    colour = _COLOURS.get(word or "")
    return f"[{colour}]{word}[/{colour}]" if colour else escape(word or "-")


def _gate(cell: CellStatus) -> str:
    if not cell.gates:
        return "not proven"
    shut = [gate for gate in cell.gates if not gate.open]
    return "[green]open[/green]" if not shut else f"[red]closed[/red]: {escape(shut[0].suite)} {shut[0].reason}"


def _tenants(cell: CellStatus) -> str:
    """Return how many tenants a cell has, and how many of them do not share tables."""
    if cell.tenants is None:
        return "-"
    own = [f"{count} {model}" for model, count in cell.tenants.items() if model != "shared"]
    return str(sum(cell.tenants.values())) + (f" ({', '.join(own)})" if own else "")


def cells_table(status: PlatformStatus) -> Table:
    """Return what runs where: each cell, its database, its Redis, its gate."""
    table = Table(title=f"Capstone at {status.home}", title_justify="left")
    for column in (
        "cell",
        "state",
        "PostgreSQL",
        "port",
        "TimescaleDB",
        "edition",
        "Redis port",
        "Redis",
        "tenants",
        "gate",
    ):
        table.add_column(column)
    control = status.control
    table.add_row("control", _coloured(control.state), control.version, str(control.port or "-"))
    for name, cell in status.cells.items():
        postgres, redis = cell.postgres, cell.redis
        table.add_row(
            name,
            _coloured(postgres.state),
            postgres.version or "-",
            str(postgres.port or "-"),
            postgres.timescaledb_version or "-",
            postgres.edition or "-",
            str(redis.port or "-"),
            _coloured(redis.state),
            _tenants(cell),
            _gate(cell),
        )
    return table


def _service_note(service: ServiceState) -> str:
    if service.url:
        return service.url
    if service.healthy is None:
        return ""
    return f"{'healthy' if service.healthy else 'not healthy'}, last heartbeat {service.last_heartbeat or 'never'}"


def services_table(status: PlatformStatus) -> Table:
    """Return Dagster's processes and the documentation server."""
    table = Table()
    for column in ("process", "state", "pid", "where"):
        table.add_column(column)
    for name, service in status.services.items():
        table.add_row(name, _coloured(service.state), str(service.pid or "-"), _service_note(service))
    return table


def groups_table(status: PlatformStatus) -> Table:
    """Return when each asset group was last built."""
    table = Table()
    for column in ("asset group", "built", "last materialization (UTC)"):
        table.add_column(column)
    for name, group in (status.groups or {}).items():
        table.add_row(name, f"{group.materialized}/{group.assets}", group.last_materialization or "never")
    return table


def findings_table(findings: Sequence["Finding"]) -> Table:
    """Return what the doctor found; what is amiss with the way to mend it."""
    table = Table()
    for column in ("", "what", "found", "mend it with"):
        table.add_column(column)
    for finding in findings:
        mark = "[green]ok[/green]" if finding.ok else "[red]missing[/red]"
        table.add_row(mark, escape(finding.name), escape(finding.detail), escape(finding.mend))
    return table


def proofs_table(proofs: Sequence["Proof"]) -> Table:
    """Return the verdicts, and of each that is not green the offenders by name and count."""
    table = Table()
    for column in ("cell", "suite", "verdict", "rules", "seconds", "offenders"):
        table.add_column(column)
    for proof in proofs:
        colour = "green" if proof.verdict == "green" else "red"
        told = [f"{offender.rule}: {offender.object} ({offender.count})" for offender in proof.offenders]
        table.add_row(
            proof.cell,
            proof.suite,
            f"[{colour}]{proof.verdict}[/{colour}]",
            str(proof.rules_run),
            f"{proof.seconds:.1f}",
            escape("\n".join([*told, *proof.errors])),
        )
    return table


def where_to_look(settings: Settings) -> Table:
    """Return the addresses to open in a browser."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("Dagster UI", docs_site.dagster_url(settings))
    for title, path in (("dbt docs", docs_site.DBT_DOCS), ("data docs", docs_site.DATA_DOCS)):
        links = "  ".join(docs_site.docs_url(settings, path.format(cell=cell)) for cell in ("na", "eu", "apac"))
        table.add_row(title, links)
    table.add_row("all docs", docs_site.docs_url(settings))
    return table


__all__ = [
    "ConsoleReporter",
    "cells_table",
    "describe",
    "findings_table",
    "groups_table",
    "proofs_table",
    "services_table",
    "where_to_look",
]
