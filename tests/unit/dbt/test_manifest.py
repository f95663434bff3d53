"""When dbt's manifest is parsed, and that dbt stays out of this process."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.analysis.configuration import ConfigurationError
from orchestration.cells.shell_environment import DBT_PROJECT_DIR
from orchestration.dbt import manifest


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


def test_with_a_mistake_in_a_funnel_the_manifest_before_it_stays(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(manifest, "_parse", lambda *_: pytest.fail("the mistake is known before dbt looks"))
    configuration = project / "dbt_project.yml"
    right = configuration.read_text()
    configuration.write_text(right.replace("window_seconds: 86400", "window_seconds: -1"))
    with pytest.raises(ConfigurationError, match="window_seconds is -1"):
        manifest.prepare_manifest(project)

    def parse(_: Path, target: Path) -> None:
        (target / "manifest.json").write_text('{"of": "the right one"}')

    monkeypatch.setattr(manifest, "_parse", parse)
    configuration.write_text(right)
    manifest.prepare_manifest(project)
    configuration.write_text(right.replace("window_seconds: 86400", "window_seconds: -2"))
    assert manifest.read_manifest(manifest.prepare_manifest(project)) == {"of": "the right one"}
    assert "window_seconds is -2" in caplog.text


def test_loading_the_assets_imports_neither_dbt_nor_matplotlib() -> None:
    heavy = "dbt.adapters", "dbt.contracts", "matplotlib", "polars", "pandas"
    code = (
        "import sys, orchestration.defs.transform.assets, orchestration.defs.transform.docs\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
