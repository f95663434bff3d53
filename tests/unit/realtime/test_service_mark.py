"""Whether a stream processor serves is told by its own mark, not by one that another process left behind."""

import os
from pathlib import Path

from orchestration.realtime.service_mark import is_serving, mark_serving
from orchestration.settings import Settings


def test_a_processor_serves_when_it_has_left_its_own_mark(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert not is_serving("na", settings, os.getpid())
    mark_serving("na", settings, os.getpid())
    assert is_serving("na", settings, os.getpid())
    assert not is_serving("eu", settings, os.getpid())


def test_the_mark_of_another_process_says_nothing_even_if_that_one_lives(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    mark_serving("na", settings, os.getppid())
    assert not is_serving("na", settings, os.getpid())
