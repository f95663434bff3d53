"""Which servers this machine has to run itself; those that a DSN names run elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestration.cells.regions import CELLS, CLUSTERS

POSTGRES_VARIABLES = tuple(f"CAPSTONE_DSN_{cluster.upper()}" for cluster in CLUSTERS)
REDIS_VARIABLES = tuple(f"CAPSTONE_REDIS_URL_{cell.upper()}" for cell in CELLS)


@dataclass(frozen=True)
class WantedServers:
    """Kinds of server that must be installed here."""

    postgres: bool
    redis: bool


def wanted_servers(environment: Mapping[str, str]) -> WantedServers:
    """Return what to install: a kind is left out only when every one of its servers has a DSN.

    An empty variable counts as unset, as it does in the settings.
    """
    return WantedServers(
        postgres=not all(environment.get(name) for name in POSTGRES_VARIABLES),
        redis=not all(environment.get(name) for name in REDIS_VARIABLES),
    )
