"""What docs/analysis.md shows is what the commands print."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestration.analysis.configuration import ConfigurationError, read_configuration
from orchestration.settings import PROJECT_ROOT

Capstone = Callable[..., Any]

PAGE = (PROJECT_ROOT / "docs" / "analysis.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
# The files of the examples, in the page's order.
FILES = dict(
    zip(("visits.jsonl", "funnel.json", "weeks.json"), (text for kind, text in BLOCKS if kind == "json"), strict=True)
)
EXAMPLES = [text.removeprefix("$ ").partition("\n")[::2] for kind, text in BLOCKS if kind == "console"]
MORE = (
    '{"t": "2026-03-02T09:00:00", "user": 4, "type": "product_view"}\n'
    '{"t": "2026-03-02T09:00:00Z", "user": "4", "type": "product_view"}\n'
)


@pytest.mark.usefixtures("cells")
@pytest.mark.parametrize(("command", "shown"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_a_command_prints_what_is_shown(
    command: str, shown: str, capstone: Capstone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text)
    Path("both.jsonl").write_text(FILES["visits.jsonl"] + MORE)
    fails = shown.startswith("error: ")
    told = capstone(*shlex.split(command)[1:], code=int(fails))
    assert told == (shown if fails else json.loads(shown))


def test_the_configuration_that_is_shown_is_right(tmp_path: Path) -> None:
    path = tmp_path / "dbt_project.yml"
    path.write_text(next(text for kind, text in BLOCKS if kind == "yaml"))
    assert [funnel.name for funnel in read_configuration(path).funnels] == ["pro_checkout", "undisturbed_purchase"]


def test_the_mistakes_that_are_shown_are_those_of_the_shipped_file(tmp_path: Path) -> None:
    text = (PROJECT_ROOT / "dbt_project" / "dbt_project.yml").read_text()
    text = text.replace("product_view, add_to_cart", "product_view, {type: add_to_cart, typ: x}", 1)
    path = tmp_path / "dbt_project.yml"
    path.write_text(text.replace("window_seconds: 604800", "window_seconds: -1"))
    with pytest.raises(ConfigurationError) as told:
        read_configuration(path)
    shown = next(text for kind, text in BLOCKS if kind == "text")
    # Lines move with every edit of the file; that they are right is proven elsewhere.
    assert re.sub(r"\S+:\d+:", "", str(told.value)) == re.sub(r"\S+:\d+:", "", shown.strip())
