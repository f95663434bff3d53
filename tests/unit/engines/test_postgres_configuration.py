"""The configuration of the clusters."""

from pathlib import Path

import pytest

from orchestration.cells.regions import CLUSTERS, Cluster
from orchestration.engines.postgres_configuration import HBA, configuration, shared_buffers


def text(cluster: Cluster, *, durable: bool = True) -> str:
    return configuration(
        cluster,
        directory=Path("/srv/it's here"),
        port=27430,
        sockets=Path("/run/s"),
        logs=Path("/srv/logs"),
        cluster_name="capstone_x",
        durable=durable,
    )


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_cluster_listens_on_loopback_alone_and_logs_no_statement_and_no_row(cluster: Cluster) -> None:
    lines = text(cluster).splitlines()

    assert "listen_addresses = '127.0.0.1'" in lines
    assert "log_statement = 'none'" in lines
    assert "log_min_error_statement = 'panic'" in lines
    assert "log_error_verbosity = 'terse'" in lines


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_safety_against_a_crash_is_given_up_only_when_asked(cluster: Cluster) -> None:
    assert "fsync" not in text(cluster)
    assert "synchronous_commit" not in text(cluster)
    assert "fsync = off" in text(cluster, durable=False)


def test_only_cells_load_timescaledb() -> None:
    assert "shared_preload_libraries = 'timescaledb'" in text("eu")
    assert "timescaledb" not in text("control")


@pytest.mark.parametrize(
    ("gigabytes", "expected"),
    [(1, "128MB"), (4, "128MB"), (8, "256MB"), (24, "768MB"), (32, "1024MB"), (512, "1024MB")],
)
def test_the_cache_of_a_cell_is_a_share_of_the_machine_within_bounds(gigabytes: int, expected: str) -> None:
    assert shared_buffers(gigabytes * 1024**3) == expected


def test_the_control_cluster_keeps_its_small_cache() -> None:
    assert "shared_buffers = '64MB'" in text("control")
    assert f"shared_buffers = '{shared_buffers()}'" in text("eu")


def test_quotes_in_a_path_are_doubled() -> None:
    assert "data_directory = '/srv/it''s here/data'" in text("na")


def test_nobody_is_trusted() -> None:
    methods = {line.split()[-1] for line in HBA.splitlines() if not line.startswith("#")}

    assert methods == {"scram-sha-256"}
