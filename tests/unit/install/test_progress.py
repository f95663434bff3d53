import io
import sys
from pathlib import Path

import pytest

from orchestration.engines.install.errors import StepFailedError
from orchestration.engines.install.progress import Progress


def test_a_step_says_what_it_does_how_far_it_is_and_how_long_it_took(tmp_path: Path) -> None:
    out = io.StringIO()
    progress = Progress(tmp_path, 3, first=2, out=out)
    with progress.step("Build it") as log:
        log.run([sys.executable, "-c", "print('quiet')"])
    assert out.getvalue().startswith("[2/3] Build it\n")
    assert "done in " in out.getvalue()
    assert "quiet" not in out.getvalue()
    assert "quiet" in (tmp_path / "build-it.log").read_text()


def test_a_failed_command_shows_the_end_of_its_log_and_names_the_file(tmp_path: Path) -> None:
    code = "import sys\nfor n in range(40): print(f'line {n}.')\nsys.exit(3)"
    with (
        pytest.raises(StepFailedError) as caught,
        Progress(tmp_path, 1, out=io.StringIO()).step("Fail here") as log,
    ):
        log.run([sys.executable, "-c", code])
    text = str(caught.value)
    assert "ended with 3" in text
    assert "line 39." in text
    assert "line 2." not in text
    assert str(tmp_path / "fail-here.log") in text


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(StepFailedError, match="no-such-program cannot be run"),
        Progress(tmp_path, 1, out=io.StringIO()).step("Try") as log,
    ):
        log.run(["no-such-program"])
