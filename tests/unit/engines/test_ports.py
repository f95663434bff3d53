"""The platform's block of ports."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestration.cells.endpoints import PORT_BLOCK
from orchestration.engines import ports
from orchestration.engines.errors import PortTakenError
from orchestration.settings import Settings


@contextmanager
def listening(port: int = 0) -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        yield listener.getsockname()[1]


def free_block() -> int:
    base = ports.next_free_block(range(28000, 32700, PORT_BLOCK))
    assert base is not None
    return base


def test_the_block_is_kept_once_it_is_chosen(tmp_path: Path) -> None:
    base = free_block()
    settings = Settings(home=tmp_path, port_base=base)

    assert ports.ensure_base(settings) == base
    with listening(base):
        assert ports.ensure_base(settings) == base
        assert ports.ensure_base(Settings(home=tmp_path, port_base=None)) == base


def test_another_block_than_the_homes_own_is_an_error(tmp_path: Path) -> None:
    base = free_block()
    ports.ensure_base(Settings(home=tmp_path, port_base=base))

    with pytest.raises(PortTakenError, match=rf"CAPSTONE_PORT_BASE is {base + 1}.*made on ports {base} to {base + 9}"):
        ports.ensure_base(Settings(home=tmp_path, port_base=base + 1))


def test_a_default_block_that_is_taken_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = free_block()
    monkeypatch.setattr(ports, "DEFAULT_PORT_BASE", base)
    monkeypatch.delenv("CAPSTONE_PORT_BASE", raising=False)
    with listening(base + 3):
        chosen = ports.ensure_base(Settings(home=tmp_path))

    assert chosen >= base + PORT_BLOCK
    assert (chosen - base) % PORT_BLOCK == 0


def test_a_block_that_was_asked_for_and_is_taken_names_port_and_process(tmp_path: Path) -> None:
    base = free_block()
    with (
        listening(base + 4),
        pytest.raises(PortTakenError, match=rf"port {base + 4} of redis_na is taken by .*pid {os.getpid()}"),
    ):
        ports.ensure_base(Settings(home=tmp_path, port_base=base))

    assert not (tmp_path / "engines.json").exists()
