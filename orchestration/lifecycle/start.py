"""`capstone up`: from whatever state the machine is in to a platform that runs and is filled."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from orchestration import migrations
from orchestration.analysis.configuration import read_configuration
from orchestration.engines import home, locking, processes
from orchestration.engines.local import LocalEngines
from orchestration.lifecycle import dagster_home, docs_site, filling, gates, runs, services
from orchestration.lifecycle.filling import CellState, DayRange, Fill
from orchestration.lifecycle.graphql import DagsterGraphQL, GraphQLError, WebserverUnavailableError
from orchestration.lifecycle.reporting import Reporter, Say
from orchestration.lifecycle.waiting import wait_until
from orchestration.loading.window import Window, establish_window
from orchestration.realtime.stream_status import stream_status
from orchestration.settings import Settings
from orchestration.tenancy import tenant_migrations

# Loading the code location takes 3 s on an idle machine; all of Dagster starts at once here.
LOCATION_SECONDS = 90.0
# Servers without which a run neither starts nor ends.
_NEEDED_BY_RUNS = (services.CODE_SERVER, services.WEBSERVER, services.DAEMON)

_LOCATIONS = """
query {
  workspaceOrError {
    __typename
    ... on Workspace {
      locationEntries { name loadStatus locationOrLoadError { __typename ... on PythonError { message } } }
    }
    ... on PythonError { message }
  }
}
"""
_RELOAD = "mutation($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename } }"


class CodeLocationError(RuntimeError):
    """Dagster cannot load the project's definitions; the message is theirs."""


class NotServedError(RuntimeError):
    """Dagster is not running."""


class ServiceDiedError(RuntimeError):
    """A process that runs depend on ended while they were waited for."""


@dataclass(frozen=True)
class Started:
    """What `up` did.

    Attributes:
        window: that it fills.
        fill: the runs it needed; none when nothing was missing.
        streams_refused: why the stream processor of a cell does not work, each with the way out.
    """

    window: Window
    fill: Fill
    streams_refused: tuple[str, ...] = ()


def _location_state(client: DagsterGraphQL) -> str | None:
    """Return None while the code location loads, "" when it has loaded, or why it could not be."""
    answer = client.query(_LOCATIONS)["workspaceOrError"]
    for entry in answer.get("locationEntries", []):
        if entry["name"] == dagster_home.LOCATION and entry["loadStatus"] == "LOADED":
            loaded = entry["locationOrLoadError"] or {}
            if loaded.get("__typename") == "PythonError":
                return runs.root_cause(loaded)
            return ""
    return None


def await_code_location(client: DagsterGraphQL, seconds: float = LOCATION_SECONDS) -> None:
    """Wait until the webserver has the project's definitions.

    The webserver may have looked before the code server was ready, so a failure counts only after a reload.

    Raises:
        CodeLocationError: they do not load, or not in time.
    """
    seen: list[str] = []

    def loaded() -> bool:
        state = _location_state(client)
        if state:
            seen.append(state)
            client.query(_RELOAD, name=dagster_home.LOCATION)
            state = _location_state(client)
            if state:
                raise CodeLocationError(f"the Dagster definitions do not load: {state}")
        return state == ""

    if not wait_until(loaded, seconds):
        raise CodeLocationError(
            f"the Dagster definitions were not loaded after {seconds:.0f} s: see logs/{services.CODE_SERVER}.log"
        )


def _has_running_runs(settings: Settings) -> bool:
    """Return whether runs are at work, which end with their code server; False when there is nobody to ask."""
    try:
        return bool(runs.unfinished(DagsterGraphQL.of(settings), runs.ACTIVE))
    except (WebserverUnavailableError, GraphQLError):
        return False


def _start_dagster(settings: Settings, say: Say) -> DagsterGraphQL:
    """Start what does not run, restart what serves old code or old configuration, and clear what a crash left."""
    changed = dagster_home.write(settings)
    docs_site.write_front_page(settings)
    states = services.status(settings)
    code = states[services.CODE_SERVER]
    if changed:
        services.stop(settings, _NEEDED_BY_RUNS)
    elif code is not None and code.state == "running" and code.started_at < services.newest_code():
        if _has_running_runs(settings):
            say("the code has changed since it was loaded; runs are at work, so the old one stays: reload it in the UI")
        else:
            say("the code has changed since it was loaded: restarting the code server")
            services.stop(settings, (services.CODE_SERVER,))
    for name, state in states.items():
        if state is not None and state.state == "dead":
            say(f"{name} had died: starting it again")
    started = services.start(settings, services.DAGSTER)
    client = DagsterGraphQL.of(settings)
    await_code_location(client)
    for orphan in runs.cancel_orphans(client, started[services.CODE_SERVER].started_at):
        say(f"run {orphan.run_id} of {orphan.job} had lost its process: cancelled")
    say(f"Dagster UI: {docs_site.dagster_url(settings)}")
    return client


def _start_streams(settings: Settings, say: Say) -> tuple[str, ...]:
    """Start the stream processors that do not run, and those that run old code anew; return why one cannot work.

    One cell's stream that has to be recovered first keeps neither the others nor the platform from being up.
    """
    newest = services.newest_code()
    for name, state in services.status(settings).items():
        if name not in services.STREAMS or state is None:
            continue
        if state.state == "dead":
            say(f"{name} had ended: starting it again")
        elif state.started_at < newest:
            services.stop(settings, (name,))
    refused = []
    for cell, name in services.STREAM_OF.items():
        try:
            services.start(settings, (name,))
        except processes.ProcessError as error:
            trouble = stream_status(cell, settings).trouble
            refused.append(trouble or str(error))
            say(f"{name}: does not work")
    return tuple(refused)


def require_served(settings: Settings) -> None:
    """Fail unless Dagster is up.

    Raises:
        NotServedError: a process that runs depend on is not running.
    """
    gone = services.dead(settings, _NEEDED_BY_RUNS)
    if gone:
        raise NotServedError(f"the platform is not up ({', '.join(gone)} not running): start it with `capstone up`")


def still_served(settings: Settings) -> Callable[[], None]:
    """Return a check that raises :class:`ServiceDiedError` when a process that runs depend on is gone."""

    def check() -> None:
        gone = services.dead(settings, _NEEDED_BY_RUNS)
        if gone:
            logs = ", ".join(str(settings.logs / f"{name}.log") for name in gone)
            raise ServiceDiedError(
                f"{' and '.join(gone)} died while runs were waited for: see {logs}; `capstone up` goes on from here"
            )

    return check


def full_days(window: Window, now: datetime | None = None) -> DayRange:
    """Return the days that can be complete: from the platform's first to yesterday (UTC)."""
    yesterday = (now or datetime.now(UTC)).date() - timedelta(days=1)
    return DayRange(window.first_day, yesterday)


def up(settings: Settings, reporter: Reporter, *, durable: bool = True) -> Started:
    """Start every server and process, build what is missing in the cells, and prove them; safe to repeat.

    Args:
        settings: of the platform.
        reporter: is told what is being done.
        durable: as for :class:`LocalEngines`.

    Raises:
        ConfigurationError: the configured funnels or cohorts have a mistake; nothing was started.
        EngineError, WindowError, CodeLocationError, ServiceDiedError, GraphQLError: nothing is undone, and the next
            `up` goes on from there. Runs that fail do not raise: they are in what is returned.
    """
    read_configuration()
    home.prepare(settings)
    with locking.hold(settings.home, "capstone up"):
        window = establish_window(settings)
        with reporter.step("servers") as say:
            LocalEngines(settings, durable=durable).start(say)
            # Before any run of a cell publishes into it.
            migrations.apply_control(settings=settings, report=say)
        with reporter.step("Dagster") as say:
            client = _start_dagster(settings, say)
        with reporter.step(f"data, scale {window.scale}") as say:
            fill = filling.fill(
                client,
                full_days(window),
                CellState(
                    gate_is_open=lambda cell: gates.is_open(cell, settings),
                    has_pending_migrations=lambda cell: bool(
                        migrations.pending(cell, settings=settings) or tenant_migrations.pending(cell, settings)
                    ),
                ),
                reporter,
                say=say,
                still_served=still_served(settings),
            )
            filling.fill_global(client, full_days(window), fill, reporter, say=say, still_served=still_served(settings))
            docs_site.write_front_page(settings)
        with reporter.step("streams") as say:
            refused = _start_streams(settings, say)
        return Started(window, fill, refused)


def down(settings: Settings, reporter: Reporter) -> None:
    """Stop every process and server; the data stay. Safe to repeat.

    Raises:
        EngineError: something does not stop, or `capstone up` is at work on the same home.
    """
    if not home.is_home(settings.home):
        return
    with locking.hold(settings.home, "capstone down"):
        with reporter.step("Dagster"):
            services.stop(settings)
            for process in processes.status(settings):
                processes.stop(process.name, settings)
        with reporter.step("servers") as say:
            LocalEngines(settings).stop(say)


def destroy(settings: Settings, reporter: Reporter) -> None:
    """Stop everything and remove the state directory with all data of the local servers.

    Raises:
        HomeError: the directory was not made by capstone; nothing is touched.
        EngineError: something does not stop; nothing is removed.
    """
    with reporter.step("platform") as say:
        LocalEngines(settings).destroy(say)
