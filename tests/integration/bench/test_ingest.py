"""The ingest benchmark compares every way in with psql, and leaves nothing."""

from orchestration.bench import ingest
from orchestration.cells import routing
from orchestration.engines.local import LocalEngines


def databases() -> set[str]:
    with routing.connect("na", "superuser") as connection:
        return {name for (name,) in connection.execute("select datname from pg_database")}


def test_it_measures_every_way_in_and_leaves_no_database(engines: LocalEngines) -> None:
    assert engines
    before = databases()
    report = ingest.run(rows=10_000, rounds=1, memory_rows=20_000)
    names = [result.name for result in report.results]
    assert names == [
        "frame over psql with text",
        "frame over psql with binary",
        "each once over psql with text",
        "all repeats over psql with text",
        "generator over frame",
        "burst",
        "peak memory, 20,000 rows over 10,000",
    ]
    assert all(result.value > 0 for result in report.results)
    assert databases() == before
