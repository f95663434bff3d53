"""Data docs: HTML pages of the last validations of each suite, from results that hold names and counts only."""

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestration.quality.offline_page import Validation, front_page, offline

KEPT_VALIDATIONS = 20

_VALIDATIONS = "validations"
_EXPECTATIONS = "expectations"
# How Great Expectations writes a run's time into a folder's name.
_RUN_TIME = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True)
class Page:
    """Where a validation's page was written, and its path relative to the site."""

    file: Path
    path: str


@dataclass(frozen=True)
class DataDocs:
    """A site of data docs and the results it is made from.

    Attributes:
        site: directory of the pages, made if missing.
        store: directory of the results and suites as JSON, which the pages are made from; need not be served.
        title: in every page's title, as in "cell eu".
        keep: validations kept per suite; older results and their pages are removed.
    """

    site: Path
    store: Path
    title: str
    keep: int = KEPT_VALIDATIONS

    def project(self) -> Any:
        """Return a project configuration in which only results and pages are files; a data source never is."""
        from great_expectations.data_context.types.base import (  # noqa: PLC0415 - heavy
            DataContextConfig,
            InMemoryStoreBackendDefaults,
        )

        defaults = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
        defaults.stores[defaults.validation_results_store_name]["store_backend"] = _files(self.store / _VALIDATIONS)
        defaults.stores[defaults.expectations_store_name]["store_backend"] = _files(self.store / _EXPECTATIONS)
        return DataContextConfig(
            store_backend_defaults=defaults,
            data_docs_sites={
                self.title: {
                    "class_name": "SiteBuilder",
                    "show_how_to_buttons": False,
                    "store_backend": _files(self.site),
                    "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
                }
            },
            analytics_enabled=False,
        )

    def write(self, context: Any, outcome: Any, expectations: Any, *, source: str, run_time: datetime) -> Page:
        """Store ``outcome`` (already free of values), write its page and the index, drop what is too old.

        Raises:
            OSError: the files cannot be written.
            RuntimeError: Great Expectations did not write the page (it logs its own exceptions and goes on).
        """
        from great_expectations.core.run_identifier import RunIdentifier  # noqa: PLC0415 - heavy
        from great_expectations.data_context.types.resource_identifiers import (  # noqa: PLC0415
            ExpectationSuiteIdentifier,
            ValidationResultIdentifier,
        )

        suite = expectations.name
        suite_id = ExpectationSuiteIdentifier(suite)
        identifier: Any = ValidationResultIdentifier(
            expectation_suite_identifier=suite_id,
            run_id=RunIdentifier(run_name=source.replace(" ", "_"), run_time=run_time),
            batch_identifier=suite,
        )
        self._drop(suite, self.keep - 1)
        context.suites.add_or_update(expectations)
        context.validation_results_store.set(identifier, outcome)
        context.build_data_docs(site_names=[self.title], resource_identifiers=[suite_id, identifier])
        page = self.site.joinpath(_VALIDATIONS, *map(str, identifier.to_tuple())).with_suffix(".html")
        if not page.is_file():
            raise RuntimeError("no page was rendered")
        for rendered in (page, self.site / _EXPECTATIONS / f"{suite}.html"):
            rendered.write_text(offline(rendered.read_text(), f"{suite} - {self.title}"))
        # The rendered index is an empty table until scripts from other hosts fill it.
        (self.site / "index.html").write_text(front_page(f"Data docs - {self.title}", self._validations()))
        return Page(page, page.relative_to(self.site).as_posix())

    def _drop(self, suite: str, keep: int) -> None:
        """Remove all but the newest ``keep`` results of ``suite``, and damaged ones; the index drops their pages."""
        runs: list[tuple[str, Path]] = []
        for file in sorted((self.store / _VALIDATIONS / suite).glob("*/*/*")):
            if not file.is_file():
                continue
            try:
                json.loads(file.read_text())
            except ValueError:
                # Written by a process that was killed in the middle.
                file.unlink()
                continue
            runs.append((file.parent.name, file.parent))
        runs.sort(reverse=True)
        for _, directory in runs[keep:]:
            shutil.rmtree(directory)

    def _validations(self) -> list[Validation]:
        """Return what is kept, newest first."""
        root = self.store / _VALIDATIONS
        found = []
        for file in root.glob("*/*/*/*"):
            result = json.loads(file.read_text())
            found.append(
                Validation(
                    suite=result["suite_name"],
                    path=(Path(_VALIDATIONS) / file.relative_to(root)).with_suffix(".html").as_posix(),
                    run_at=datetime.strptime(file.parent.name, _RUN_TIME).replace(tzinfo=UTC).isoformat(" ", "seconds"),
                    success=result["success"],
                    rules=result["statistics"]["evaluated_expectations"],
                    held=result["statistics"]["successful_expectations"],
                )
            )
        return sorted(found, key=lambda validation: (validation.run_at, validation.suite), reverse=True)


def _files(directory: Path) -> dict[str, Any]:
    return {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(directory)}
