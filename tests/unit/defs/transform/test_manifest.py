"""When dbt's manifest is parsed, and that dbt stays out of this process."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.cells.shell_environment import DBT_PROJECT_DIR
from orchestration.defs.transform import manifest


@pytest.fixture
def project(tmp_path: Path) -> Path:
    copy = tmp_path / "dbt_project"
    shutil.copytree(DBT_PROJECT_DIR, copy, ignore=shutil.ignore_patterns("target", "logs"))
    return copy


def test_the_manifest_is_parsed_once_and_again_after_a_change(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []

    def parse(_: Path, target: Path) -> None:
        parsed.append(target)
        (target / "manifest.json").write_text("{}")

    monkeypatch.setattr(manifest, "_parse", parse)
    manifest.prepare_manifest(project)
    manifest.prepare_manifest(project)
    assert len(parsed) == 1
    (project / "models" / "staging" / "saas" / "stg_plans.sql").write_text("-- One row per plan.\nselect 1 as a\n")
    manifest.prepare_manifest(project)
    assert len(parsed) == 2


def test_a_project_that_cannot_be_parsed_is_an_error_with_dbts_words(project: Path) -> None:
    (project / "models" / "broken.sql").write_text("select * from {{ ref('nowhere') }}")
    with pytest.raises(manifest.ManifestError, match="nowhere"):
        manifest.prepare_manifest(project)
    assert not (project / "target" / "manifest.fingerprint").exists()


def test_loading_the_assets_imports_neither_dbt_nor_matplotlib() -> None:
    heavy = "dbt.adapters", "dbt.contracts", "matplotlib", "polars", "pandas"
    code = (
        "import sys, orchestration.defs.transform.assets, orchestration.defs.transform.docs\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
