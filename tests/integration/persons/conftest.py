"""Three cells for what is done to persons: those of the lives of tenants."""

from collections.abc import Iterator

import pytest

from orchestration.cells.regions import CELLS
from orchestration.settings import get_settings
from orchestration.tenancy import compaction
from tests.integration.tenancy.life.conftest import LifeCells, life

__all__ = ["life"]


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what only the bytes of files rest on: a gigabyte of write-ahead log for each test."""
    monkeypatch.setattr(compaction, "recycle_write_ahead_log", lambda *_: "left out")
    monkeypatch.setattr(compaction, "REWRITTEN_BYTES", 0)


@pytest.fixture
def environment(life: LifeCells) -> Iterator[dict[str, str]]:
    """The environment names the cells of this module, as it names a platform's."""
    own = {"CAPSTONE_HOME": str(life.settings.home)}
    for cell in CELLS:
        for name in (f"dsn_{cell}", f"redis_url_{cell}"):
            own[f"CAPSTONE_{name.upper()}"] = getattr(life.settings, name).get_secret_value()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        yield own
    get_settings.cache_clear()
