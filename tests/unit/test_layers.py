"""Which packages may import which: logic is testable without Dagster, and nothing but the entry points knows defs."""

import ast
from pathlib import Path

from orchestration.settings import PROJECT_ROOT

PACKAGE = PROJECT_ROOT / "orchestration"
ENTRY_POINTS = {"definitions.py", "cli.py"}
# The adapter that turns a suite's verdict into Dagster's, and the storage class that dagster.yaml names.
ADAPTERS = {"quality/asset_check.py", "lifecycle/pooled_storage.py"}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def importers(prefix: str) -> set[str]:
    """Return the files outside of ``defs`` and the entry points that import a module below ``prefix``."""
    return {
        name
        for path in PACKAGE.rglob("*.py")
        if not (name := path.relative_to(PACKAGE).as_posix()).startswith("defs/") and name not in ENTRY_POINTS
        if any(module == prefix or module.startswith((f"{prefix}.", f"{prefix}_")) for module in imported(path))
    }


def test_no_library_package_imports_dagster_but_the_adapters() -> None:
    assert importers("dagster") == ADAPTERS


def test_no_library_package_imports_the_definitions() -> None:
    # The benchmark of marts times what Dagster starts, so it starts it in the same way.
    assert {name for name in importers("orchestration.defs") if not name.startswith("bench/")} == set()
