"""The README speaks of this project as it is: its settings, its tree, its pictures."""

import re

import pytest
from pydantic_core import PydanticUndefined

from orchestration.settings import PROJECT_ROOT, Settings

README = (PROJECT_ROOT / "README.md").read_text()
BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"

# What a default that is computed says in the table.
COMPUTED_DEFAULTS = {"home": "`/var/lib/capstone` for root, else `~/.local/state/capstone`"}


def settings_table() -> str:
    """Return the settings as the README must show them."""
    rows = ["| variable | default | what |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = COMPUTED_DEFAULTS.get(name)
        if default is None:
            assert field.default is not PydanticUndefined, f"say what the default of {name} is"
            default = "unset" if field.default is None else f"`{field.default}`"
        rows.append(f"| `CAPSTONE_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def test_the_settings_table_is_the_settings_object() -> None:
    shown = README.partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == settings_table(), f"put this between the markers in README.md:\n\n{settings_table()}"


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_file_the_readme_links_to_exists(target: str) -> None:
    assert (PROJECT_ROOT / target).is_file()


def test_every_folder_of_the_tree_in_the_readme_exists_and_none_is_missing() -> None:
    tree = README.partition("## The tree")[2].partition("```text")[2].partition("```")[0]
    top = set(re.findall(r"^([a-z_]+)/", tree, re.MULTILINE))
    inside = set(re.findall(r"^  ([a-z_]+)/", tree, re.MULTILINE))
    assert {name for name in top if not (PROJECT_ROOT / name).is_dir()} == set()
    packages = {path.parent.name for path in (PROJECT_ROOT / "orchestration").glob("*/__init__.py")}
    assert inside == packages
