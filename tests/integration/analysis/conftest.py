"""The command line in this process."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from orchestration import cli

Capstone = Callable[..., Any]


@pytest.fixture
def capstone(capsys: pytest.CaptureFixture[str]) -> Capstone:
    """Return a function (arguments, code=0) that runs the command: its JSON with --json, else what it told."""

    def run(*arguments: object, code: int = 0) -> Any:
        before = capsys.readouterr()
        del before
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        assert (ended.value.code or 0) == code
        if "--json" in arguments and code == 0:
            return json.loads(capsys.readouterr().out)
        return capsys.readouterr().err if code else None

    return run
