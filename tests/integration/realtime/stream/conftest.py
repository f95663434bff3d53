"""One cell for the tests of the stream: its PostgreSQL and its Redis alone, which tests may kill and start again."""

from collections.abc import Iterator
from typing import Any

import pytest

from orchestration import migrations
from orchestration.engines import home, passwords, ports, server_user
from orchestration.engines.binaries import find_postgres
from orchestration.engines.local import LocalEngines
from orchestration.loading.plans import load_plans
from tests.integration.realtime.stream.stream_cell import CELL, StreamCell


@pytest.fixture(scope="module")
def stream_cell(new_settings: Any) -> Iterator[StreamCell]:
    settings = new_settings()
    home.prepare(settings)
    user = server_user.resolve(settings)
    ports.ensure_base(settings)
    passwords.ensure(settings, servers_exist=False)
    binaries = find_postgres([])
    engines = LocalEngines(settings, durable=False)
    postgres = engines._cluster(CELL, user)
    engines._start_cluster(postgres, binaries, lambda _: None)
    cell = StreamCell(settings, postgres, engines._cache(CELL, user), binaries)
    cell.start_redis()
    migrations.apply_all(CELL, settings=settings)
    with cell.connection() as connection, connection.transaction():
        load_plans(connection)
    try:
        yield cell
    finally:
        cell.postgres.stop(lambda _: None)
        cell.redis.stop(lambda _: None)


@pytest.fixture
def fresh(stream_cell: StreamCell) -> StreamCell:
    stream_cell.begin_anew()
    return stream_cell
