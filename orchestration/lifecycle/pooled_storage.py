"""Dagster's storage in PostgreSQL with its connections kept, instead of one per use.

dagster-postgres opens and closes a connection for every event that it stores or reads: each costs a process of the
server and a SCRAM exchange, 9 ms of CPU. One run of a cell's models made 2,794 of them, which was half of the CPU time
of the whole run (17 s of its own and 22 s of the control cluster's, with kept connections 6 s and 1 s).
"""

from collections.abc import Mapping
from typing import Any

from dagster._serdes import ConfigurableClassData
from dagster_postgres.storage import DagsterPostgresStorage
from dagster_postgres.utils import create_pg_engine, get_token_provider_from_config, pg_url_from_config

# Per process and storage (runs, events, schedules): one is kept, more are opened while threads need them at once.
KEPT_CONNECTIONS = 1
MOST_MORE_CONNECTIONS = 10
# A managed server's proxy may drop what is idle for longer without a word.
KEPT_SECONDS = 300


class PooledPostgresStorage(DagsterPostgresStorage):
    """DagsterPostgresStorage, configured in the same way, that keeps its connections.

    A kept connection is tried before it is used: a control cluster that was restarted meanwhile, or died, costs no run
    an error that the next try would not have.
    """

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "PooledPostgresStorage":
        """Return the storage that ``dagster.yaml`` describes."""
        storage = cls(
            postgres_url=pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
            token_provider=get_token_provider_from_config(config_value),
        )
        for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
            # The pool is not configurable, and the public way to replace it, made for the webserver, neither tries a
            # connection before its use nor leaves long statements alone.
            part._engine = create_pg_engine(  # type: ignore[union-attr]
                storage.postgres_url,
                part._token_provider,  # type: ignore[union-attr]
                isolation_level="AUTOCOMMIT",
                pool_size=KEPT_CONNECTIONS,
                max_overflow=MOST_MORE_CONNECTIONS,
                pool_recycle=KEPT_SECONDS,
                pool_pre_ping=True,
            )
        return storage
