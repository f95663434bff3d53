"""The platform's block of ports: chosen once, at first start; a port that is taken later is an error."""

import errno
import json
import socket
from collections.abc import Iterable

import psutil

from orchestration.cells import endpoints
from orchestration.engines.atomic_file import write_atomically
from orchestration.engines.errors import PortTakenError
from orchestration.settings import DEFAULT_PORT_BASE, Settings

LOOPBACK = "127.0.0.1"

# Linux hands out ports from here on to outgoing connections: a listener there can lose its port at any time.
FIRST_EPHEMERAL_PORT = 32768

# A port of a process that has just been killed is free again within milliseconds.
PORT_RELEASE_SECONDS = 2.0


def is_free(port: int) -> bool:
    """Tell whether a server could listen on ``port`` of the loopback interface now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As PostgreSQL and Redis do: a connection in TIME_WAIT does not keep a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def holder(port: int) -> str:
    """Describe the process that listens on ``port``, as far as this user may know it."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address and address.port == port and connection.pid:
                process = psutil.Process(connection.pid)
                return f"{process.name()} (pid {process.pid}, user {process.username()})"
    except (psutil.Error, OSError):
        pass
    return "a process of another user"


def require_free(wanted: dict[str, int]) -> None:
    """Fail when a port is taken.

    Args:
        wanted: what for -> port.

    Raises:
        PortTakenError: names every port that is taken, by whom, and the way out.
    """
    taken = [f"port {port} of {what} is taken by {holder(port)}" for what, port in wanted.items() if not is_free(port)]
    if taken:
        raise PortTakenError("; ".join(taken) + ": stop that process and run `capstone up` again")


def recorded_base(settings: Settings) -> int | None:
    """Return the first port of the block that was chosen for this home, None before the first start."""
    if not endpoints.engines_file(settings).exists():
        return None
    return endpoints.port("postgres_control", settings) - endpoints.PORT_OFFSETS["postgres_control"]


def ensure_base(settings: Settings) -> int:
    """Return the first port of the block; choose and record it at first start.

    Raises:
        PortTakenError: the block that was asked for is taken, or no block is free, or the home has another block.
    """
    recorded = recorded_base(settings)
    if recorded is not None:
        if settings.port_base not in {None, recorded}:
            raise PortTakenError(
                f"CAPSTONE_PORT_BASE is {settings.port_base}, but the platform in {settings.home} was made on ports "
                f"{recorded} to {recorded + endpoints.PORT_BLOCK - 1}: unset it, or use another CAPSTONE_HOME"
            )
        return recorded
    base = _choose(settings)
    write_atomically(endpoints.engines_file(settings), json.dumps({"port_base": base}) + "\n", mode=0o644)
    return base


def _block(base: int) -> dict[str, int]:
    return {name: base + offset for name, offset in endpoints.PORT_OFFSETS.items()}


def _choose(settings: Settings) -> int:
    if settings.port_base is not None:
        require_free(_block(settings.port_base))
        return settings.port_base
    base = next_free_block(range(DEFAULT_PORT_BASE, FIRST_EPHEMERAL_PORT - endpoints.PORT_BLOCK, endpoints.PORT_BLOCK))
    if base is None:
        raise PortTakenError(
            f"no {endpoints.PORT_BLOCK} consecutive ports are free from {DEFAULT_PORT_BASE} on: set CAPSTONE_PORT_BASE"
        )
    return base


def next_free_block(candidates: Iterable[int]) -> int | None:
    """Return the first of ``candidates`` from which on a whole block of ports is free, None when there is none."""
    return next((base for base in candidates if all(is_free(port) for port in _block(base).values())), None)
