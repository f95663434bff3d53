"""Engines for the tests: real servers in a temporary home on free ports, never those of a running platform.

A server program that is missing fails what needs it: nothing is skipped.
"""

import json
import os
import random
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import psutil
import pytest

from orchestration.engines import home, ports
from orchestration.engines.local import LocalEngines
from orchestration.settings import Settings, get_settings, temporary_home

NewSettings = Callable[[], Settings]

# Below the ephemeral ports, above the block of a real platform and of the few homes beside it, so that neither the
# platform of whoever runs the tests nor its next start finds its ports taken.
FIRST_TEST_PORT = 28000
LAST_TEST_PORT = 32700
PORTS_PER_TEST_HOME = 10

# Variables that would lead a test to somebody's servers or Dagster instance.
FOREIGN_VARIABLES = ("CAPSTONE_", "PG", "DAGSTER_HOME", "REDIS_URL")

# Written into each home of a test session, so that a later session can clear up after one that was killed.
# In a directory of the platform's own: what lies beside its stores is a violation of residency.
OWNER_FILE = "logs/test-session.json"


@pytest.fixture(autouse=True)
def _no_state_of_ended_instances() -> Iterator[None]:
    """Begin each test without the state storage of a Dagster instance that a test before it has ended.

    Contexts that Dagster builds for sensors and schedules put an instance's storage back when they are collected, and
    what loads definitions next finds one that is gone.
    """
    storage = sys.modules.get("dagster._core.storage.defs_state.base")
    if storage is None:
        yield
        return
    with storage.set_defs_state_storage(None):
        yield


def free_port_base() -> int:
    """Return the first port of a free block; at random, for two test sessions at once hardly ever choose the same."""
    candidates = list(range(FIRST_TEST_PORT, LAST_TEST_PORT, PORTS_PER_TEST_HOME))
    random.SystemRandom().shuffle(candidates)
    base = ports.next_free_block(candidates)
    if base is None:
        pytest.fail(f"no free block of ports between {FIRST_TEST_PORT} and {LAST_TEST_PORT}")
    return base


def new_home() -> Path:
    """Return a new temporary state directory that is cleared up even after a killed session."""
    directory = temporary_home()
    process = psutil.Process()
    home.prepare(Settings(home=directory))
    owner = {"pid": process.pid, "create_time": process.create_time()}
    (directory / OWNER_FILE).parent.mkdir(mode=0o711, exist_ok=True)
    (directory / OWNER_FILE).write_text(json.dumps(owner))
    return directory


def remove_home(directory: Path, port_base: int | None = None) -> None:
    """Stop what runs from a temporary state directory and remove it."""
    LocalEngines(Settings(home=directory, port_base=port_base)).destroy(lambda _: None)


def _remove_abandoned_homes() -> None:
    for owner_file in Path(tempfile.gettempdir()).glob(f"capstone-*/{OWNER_FILE}"):
        try:
            owner = json.loads(owner_file.read_text())
            process = psutil.Process(owner["pid"])
            abandoned = abs(process.create_time() - owner["create_time"]) > 1
        except psutil.NoSuchProcess:
            abandoned = True
        except (OSError, ValueError, KeyError):
            # Another user's, or being made or removed at this moment.
            abandoned = False
        if abandoned:
            remove_home(owner_file.parent.parent)


def _end_in_order(signum: int, _: FrameType | None) -> None:
    raise KeyboardInterrupt(f"signal {signum}")


@pytest.fixture(scope="session", autouse=True)
def platform_home() -> Iterator[Path]:
    """A state directory of this test session, which the environment names: no test can reach a running platform."""
    _remove_abandoned_homes()
    # A time limit around the tests ends them with SIGTERM; as Ctrl-C it lets the fixtures stop their servers.
    before = signal.signal(signal.SIGTERM, _end_in_order)
    with pytest.MonkeyPatch.context() as environment:
        for name in os.environ:
            if name.startswith(FOREIGN_VARIABLES):
                environment.delenv(name)
        directory = new_home()
        environment.setenv("CAPSTONE_HOME", str(directory))
        environment.setenv("CAPSTONE_PORT_BASE", str(free_port_base()))
        get_settings.cache_clear()
        try:
            yield directory
        finally:
            remove_home(directory)
            get_settings.cache_clear()
            signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def new_settings() -> Iterator[NewSettings]:
    """Make settings of further new homes on free ports; what runs in them is stopped and removed at the end."""
    made: list[Settings] = []

    def make() -> Settings:
        made.append(Settings(home=new_home(), port_base=free_port_base()))
        return made[-1]

    try:
        yield make
    finally:
        for settings in made:
            if settings.home.exists():
                remove_home(settings.home, settings.port_base)


@pytest.fixture(scope="session")
def engines(platform_home: Path) -> LocalEngines:
    """All servers of the session's home, running. ``platform_home`` stops them, also when a start fails halfway."""
    engines = LocalEngines(Settings(home=platform_home, port_base=get_settings().port_base), durable=False)
    engines.start(print)
    return engines


@pytest.fixture(scope="session")
def cells(engines: LocalEngines) -> LocalEngines:
    """The running servers, with every migration of every domain applied in all three cells."""
    # Imported here: unit tests need neither.
    from orchestration import migrations
    from orchestration.cells.regions import CELLS

    for cell in CELLS:
        migrations.apply_all(cell, report=print)
    return engines
