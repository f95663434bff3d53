import os
import re
import subprocess

import pytest

from orchestration.settings import PROJECT_ROOT

SET_UP = "orchestration/engines/install/run.sh"


def make(*arguments: str) -> str:
    # These tests may themselves have been started by make.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    result = subprocess.run(
        ["make", *arguments], check=True, capture_output=True, text=True, cwd=PROJECT_ROOT, env=environment
    )
    return result.stdout


@pytest.mark.parametrize("target", ["up", "test", "lint"])
def test_each_of_the_commands_does_its_own_set_up_first(target: str) -> None:
    assert SET_UP in make("--dry-run", target).splitlines()[0]


def test_help_lists_every_target_that_has_a_sentence() -> None:
    text = (PROJECT_ROOT / "Makefile").read_text()
    listed = make("help")
    for target in re.findall(r"^([a-z]+):.*## ", text, re.MULTILINE):
        assert f"make {target}" in listed


def test_continuous_integration_lints_before_it_tests() -> None:
    lines = (PROJECT_ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in lines if line.startswith("make ")] == ["make install", "make lint", "make test"]
    assert "set -euo pipefail" in lines
