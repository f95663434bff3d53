"""Once Dagster serves in its containers: build what is missing in the cells and prove them, as `capstone up` does."""

import sys

from rich.console import Console

from orchestration import migrations
from orchestration.lifecycle import docs_site, filling, gates
from orchestration.lifecycle.console import ConsoleReporter
from orchestration.lifecycle.filling import CellState
from orchestration.lifecycle.graphql import DagsterGraphQL
from orchestration.lifecycle.start import await_code_location, full_days
from orchestration.loading.window import establish_window
from orchestration.settings import get_settings


def main() -> int:
    """Fill; safe to repeat. Return 1 when a run failed, after naming it."""
    settings = get_settings()
    # This container shares the webserver's network: the webserver is on this home's port of the loopback interface.
    client = DagsterGraphQL.of(settings)
    await_code_location(client)
    window = establish_window(settings)
    reporter = ConsoleReporter(Console(width=200, highlight=False))
    with reporter.step(f"data, scale {window.scale}") as say:
        done = filling.fill(
            client,
            full_days(window),
            CellState(
                gate_is_open=lambda cell: gates.is_open(cell, settings),
                has_pending_migrations=lambda cell: bool(migrations.pending(cell, settings=settings)),
            ),
            reporter,
            say=say,
            # Compose restarts a service that dies; runs it took with it end as failures.
            still_served=lambda: None,
        )
    docs_site.write_front_page(settings)
    for failure in done.failures:
        sys.stderr.write(f"failed: {failure}\n")
    return 1 if done.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
