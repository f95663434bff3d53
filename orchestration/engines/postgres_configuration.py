"""How the PostgreSQL clusters are configured: four of them, with Redis and Dagster, on a machine with 2 cores.

Connection budget. A connection costs 2 to 10 MB, so the ceilings are what the platform can use, not what it could bear.

    control, 100    85  role dagster: webserver, daemon, code server and runs open a connection per use and keep few
                    10  database global: publishing of aggregates, `capstone`, people
                     5  reserved for the superuser
    a cell, 80      40  application pool (role app)
                     8  dbt (role transformer): 4 threads, twice when a stuck run is replaced
                     8  loading and migrations (roles loader, migrator)
                     8  proofs (role auditor, and app again for live attacks)
                     6  replication between cells: initial copies; walsenders are counted apart
                     5  people and `capstone status`
                     5  reserved for the superuser
"""

from pathlib import Path

import psutil

from orchestration.cells.regions import Cluster

CONTROL_CONNECTIONS = 100
CELL_CONNECTIONS = 80
RESERVED_CONNECTIONS = 5
DAGSTER_CONNECTIONS = 85

# A scan over a year of daily chunks locks each chunk and its indexes, about 1,500 locks in one transaction; the
# table of locks is shared: 256 x 80 connections holds a dozen of those and costs 6 MB.
LOCKS_PER_TRANSACTION = 256

# TimescaleDB's launcher and scheduler (2), its jobs (4), apply and copy workers of replication (6), parallel
# queries (2), and two spare.
WORKER_PROCESSES = 16

# A cell's shared_buffers. What is asked for again and again is the running day: of ten million events a month that is a
# chunk of 130 MB, which with a cache of 128 MB each question of the day fetched from the kernel anew, for two to three
# times the price. A page takes memory when it is first used, so a cell with little data stays small.
SHARED_BUFFERS_SHARE = 32
LEAST_SHARED_BUFFERS_MB, MOST_SHARED_BUFFERS_MB = 128, 1024

Value = str | int | bool

COMMON: dict[str, Value] = {
    # Loopback and a Unix socket, both under SCRAM: see HBA.
    "listen_addresses": "127.0.0.1",
    "password_encryption": "scram-sha-256",
    "superuser_reserved_connections": RESERVED_CONNECTIONS,
    # Memory. What lies in shared_buffers counts against the machine for as long as the server runs, so that there are
    # bounds to it; the kernel's cache, which does the rest, is given back when somebody needs it.
    "work_mem": "16MB",
    "maintenance_work_mem": "64MB",
    "autovacuum_work_mem": "32MB",
    "effective_cache_size": "1GB",
    "huge_pages": "off",
    "jit": False,  # compiling takes longer than these queries, and LLVM stays in each backend's memory
    "max_worker_processes": WORKER_PROCESSES,
    "max_parallel_workers": 2,
    "max_parallel_workers_per_gather": 1,
    "max_parallel_maintenance_workers": 1,
    "autovacuum_max_workers": 2,
    "random_page_cost": "1.1",  # as on any solid-state disk
    # Write-ahead log.
    "wal_level": "logical",
    "wal_buffers": "16MB",  # a bulk load fills the default of 1/32 of shared_buffers many times a second
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "max_wal_senders": 10,
    "max_replication_slots": 10,
    "max_slot_wal_keep_size": "4GB",  # a subscriber that never comes back must not fill the disk
    # A log line never carries a row or a password: no statements, no DETAIL (which quotes keys), no CONTEXT (which
    # quotes the line of a COPY). The client still gets all of them.
    "logging_collector": True,
    "log_filename": "postgresql-%a.log",
    "log_truncate_on_rotation": True,
    "log_rotation_age": "1d",
    "log_rotation_size": 0,
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
    "log_statement": "none",
    "log_min_duration_statement": -1,
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": 0,
    "log_parameter_max_length_on_error": 0,
    "log_timezone": "UTC",
    "timezone": "UTC",
    "datestyle": "iso, ymd",
    "lc_messages": "C",
    "default_text_search_config": "pg_catalog.english",
}

CONTROL: dict[str, Value] = {
    "max_connections": CONTROL_CONNECTIONS,
    "shared_buffers": "64MB",
}

CELL: dict[str, Value] = {
    "max_connections": CELL_CONNECTIONS,
    "shared_preload_libraries": "timescaledb",
    "max_locks_per_transaction": LOCKS_PER_TRANSACTION,
    "max_logical_replication_workers": 6,
    "timescaledb.telemetry_level": "off",
    "timescaledb.max_background_workers": 4,
}

# For test runs that throw their data away; a crash of the machine may corrupt it.
NOT_DURABLE: dict[str, Value] = {"fsync": False, "synchronous_commit": "off", "full_page_writes": False}

# Not touched once it is there; included last, so that it overrides.
LOCAL_CONFIGURATION = "local.conf"

HBA = """\
# Nobody comes in without a password, whichever way; only the replicator may ask for physical replication.
# TYPE  DATABASE     USER        ADDRESS       METHOD
local   all          all                       scram-sha-256
host    all          all         127.0.0.1/32  scram-sha-256
host    replication  replicator  127.0.0.1/32  scram-sha-256
"""


def configuration(
    cluster: Cluster,
    *,
    directory: Path,
    port: int,
    sockets: Path,
    logs: Path,
    cluster_name: str,
    durable: bool,
    machine_bytes: int | None = None,
) -> str:
    """Return the text of postgresql.conf.

    Args:
        cluster: decides between the control cluster's and a cell's settings.
        directory: holds data/, pg_hba.conf, pg_ident.conf and local.conf.
        port: of the loopback interface.
        sockets: directory of the Unix socket.
        logs: directory of the server's log.
        cluster_name: shown in the title of each of its processes.
        durable: False gives up safety against a crash of the machine for speed.
        machine_bytes: memory of the machine; this one's unless given.
    """
    values: dict[str, Value] = {
        "data_directory": str(directory / "data"),
        "hba_file": str(directory / "pg_hba.conf"),
        "ident_file": str(directory / "pg_ident.conf"),
        "port": port,
        "unix_socket_directories": str(sockets),
        "log_directory": str(logs),
        "cluster_name": cluster_name,
        **COMMON,
        **(CONTROL if cluster == "control" else {**CELL, "shared_buffers": shared_buffers(machine_bytes)}),
        **({} if durable else NOT_DURABLE),
    }
    lines = [
        f"# Written at every start. Settings of your own go into {LOCAL_CONFIGURATION} beside this file.",
        *(f"{name} = {_literal(value)}" for name, value in values.items()),
        f"include = {_literal(str(directory / LOCAL_CONFIGURATION))}",
    ]
    return "\n".join(lines) + "\n"


def shared_buffers(machine_bytes: int | None = None) -> str:
    """Return a cell's cache: a share of the machine's memory, within bounds, in steps of 64 MB."""
    megabytes = (machine_bytes or psutil.virtual_memory().total) // 1024**2 // SHARED_BUFFERS_SHARE // 64 * 64
    return f"{min(max(megabytes, LEAST_SHARED_BUFFERS_MB), MOST_SHARED_BUFFERS_MB)}MB"


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int):
        return str(value)
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
