"""`capstone status`: what runs where, what was built when, and what the gates say."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from orchestration.cells.endpoints import EndpointError
from orchestration.cells.regions import CELLS, CLUSTERS, Cell, Cluster
from orchestration.cells.routing import CellUnavailableError
from orchestration.engines.local import EngineStatus, LocalEngines
from orchestration.lifecycle import docs_site, services
from orchestration.lifecycle.gates import gates
from orchestration.lifecycle.graphql import DagsterGraphQL, GraphQLError, WebserverUnavailableError
from orchestration.loading.window import Window, read_window, window_file
from orchestration.proofs.gate import GateState
from orchestration.settings import Settings
from orchestration.tenancy.registry import Model, tenants_by_model

_ASSETS = """
query {
  assetNodes {
    groupName
    isMaterializable
    assetMaterializations(limit: 1) { timestamp }
  }
}
"""
_DAEMONS = """
query { instance { daemonHealth { allDaemonStatuses { daemonType required healthy lastHeartbeatTime } } } }
"""
# A status is asked for when something is wrong; it must not wait as long as a fill may.
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class ServerState:
    """One database or Redis server, as :class:`EngineStatus` has it; ``edition`` is apache or timescale."""

    state: str
    port: int | None
    version: str | None
    timescaledb_version: str | None = None
    edition: str | None = None


@dataclass(frozen=True)
class CellStatus:
    """One cell: its database, its Redis, and the newest verdict of each suite; no gate before the first schema.

    ``tenants`` counts them by model; None where nobody can be asked.
    """

    postgres: ServerState
    redis: ServerState
    gates: tuple[GateState, ...]
    tenants: dict[Model, int] | None = None


@dataclass(frozen=True)
class ServiceState:
    """One process: running, dead (was not stopped and is gone) or stopped; for the daemon also its heartbeats."""

    state: str
    pid: int | None
    url: str | None = None
    healthy: bool | None = None
    last_heartbeat: str | None = None


@dataclass(frozen=True)
class GroupStatus:
    """One asset group: how many assets, how many of them were ever built, and when the last was (UTC)."""

    assets: int
    materialized: int
    last_materialization: str | None


@dataclass(frozen=True)
class PlatformStatus:
    """All of it. ``groups`` is None when the webserver cannot be asked."""

    home: str
    window: Window | None
    control: ServerState
    cells: dict[str, CellStatus]
    services: dict[str, ServiceState]
    groups: dict[str, GroupStatus] | None

    @property
    def healthy(self) -> bool:
        """Whether every server and process that `up` starts is running or external."""
        servers = [self.control, *(part for cell in self.cells.values() for part in (cell.postgres, cell.redis))]
        return all(server.state in ("running", "external") for server in servers) and all(
            service.state == "running" for service in self.services.values()
        )

    def as_json(self) -> dict[str, Any]:
        """Return what `capstone status --json` prints."""
        content = asdict(self)
        content["healthy"] = self.healthy
        if self.window:
            content["window"] = {"scale": self.window.scale, "first_day": self.window.first_day.isoformat()}
        return content


def _utc(seconds: float | None) -> str | None:
    return None if not seconds else datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="seconds")


def _server(found: Sequence[EngineStatus], name: str, kind: str) -> ServerState:
    one = next(status for status in found if status.name == name and status.kind == kind)
    return ServerState(one.state, one.port, one.version, one.timescaledb_version, one.edition)


def _cell_gates(cell: Cluster, settings: Settings, postgres: ServerState) -> tuple[GateState, ...]:
    if cell == "control" or postgres.state not in ("running", "external"):
        return ()
    return gates(cell, settings)


def _cell_tenants(cell: Cell, settings: Settings, postgres: ServerState) -> dict[Model, int] | None:
    if postgres.state not in ("running", "external"):
        return None
    try:
        return tenants_by_model(cell, settings)
    except (psycopg.Error, CellUnavailableError, EndpointError):
        # Before the first `up` there is neither a schema nor a login.
        return None


def group_states(nodes: Sequence[dict[str, Any]]) -> dict[str, GroupStatus]:
    """Return the state of each asset group, by name, from what GraphQL says of every asset."""
    times: dict[str, list[float]] = defaultdict(list)
    for node in nodes:
        if node["isMaterializable"]:
            latest = node["assetMaterializations"]
            times[node["groupName"]].append(float(latest[0]["timestamp"]) / 1000 if latest else 0.0)
    return {
        group: GroupStatus(len(found), sum(1 for moment in found if moment), _utc(max(found)))
        for group, found in sorted(times.items())
    }


def _groups(client: DagsterGraphQL) -> dict[str, GroupStatus] | None:
    try:
        return group_states(client.query(_ASSETS)["assetNodes"])
    except (WebserverUnavailableError, GraphQLError):
        return None


def _heartbeats(client: DagsterGraphQL) -> tuple[bool | None, str | None]:
    try:
        daemons = client.query(_DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
    except (WebserverUnavailableError, GraphQLError):
        return None, None
    required = [daemon for daemon in daemons if daemon["required"]]
    last = max((daemon["lastHeartbeatTime"] or 0.0 for daemon in required), default=0.0)
    return all(daemon["healthy"] for daemon in required), _utc(last)


def _service_states(settings: Settings, client: DagsterGraphQL | None) -> dict[str, ServiceState]:
    urls = {}
    if client is not None:
        urls = {
            services.WEBSERVER: docs_site.dagster_url(settings),
            services.DOCS: docs_site.docs_url(settings),
        }
    states = {}
    for name, found in services.status(settings).items():
        if found is None:
            states[name] = ServiceState("stopped", None, urls.get(name))
            continue
        healthy, heartbeat = None, None
        if name == services.DAEMON and client is not None:
            healthy, heartbeat = _heartbeats(client)
            # Dagster trusts a heartbeat for minutes: a process that is gone is not healthy, whatever it said last.
            healthy = healthy and found.state == "running"
        states[name] = ServiceState(found.state, found.pid, urls.get(name), healthy, heartbeat)
    return states


def status(settings: Settings) -> PlatformStatus:
    """Return the state of everything; never raises for what is down.

    Raises:
        WindowError: platform.json is damaged.
        ProcessError: a process's record is damaged.
    """
    found = LocalEngines(settings).status()
    postgres = {cluster: _server(found, cluster, "postgres") for cluster in CLUSTERS}
    try:
        client = DagsterGraphQL.of(settings, timeout_seconds=_TIMEOUT_SECONDS)
    except EndpointError:
        client = None
    return PlatformStatus(
        home=str(settings.home),
        window=read_window(settings) if window_file(settings).exists() else None,
        control=postgres["control"],
        cells={
            cell: CellStatus(
                postgres[cell],
                _server(found, cell, "redis"),
                _cell_gates(cell, settings, postgres[cell]),
                _cell_tenants(cell, settings, postgres[cell]),
            )
            for cell in CELLS
        },
        services=_service_states(settings, client),
        groups=_groups(client) if client else None,
    )
