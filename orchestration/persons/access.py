"""Access (GDPR, articles 15 and 20): everything about one person from every store, as a bundle for them."""

from uuid import UUID

from orchestration.cells.journal import Progress, Step, operation, run_steps, silent
from orchestration.persons import bundle
from orchestration.persons.bundle import Bundle
from orchestration.persons.operations import PERSONS, end
from orchestration.persons.whereabouts import locate
from orchestration.settings import Settings, get_settings
from orchestration.tenancy import archive


def access_person(
    person_id: UUID,
    *,
    settings: Settings | None = None,
    progress: Progress = silent,
    kept_days: int = bundle.KEPT_DAYS,
) -> Bundle:
    """Write everything about a person into a bundle below ``exports/`` of their home cell; see :mod:`bundle`.

    Killed, it leaves no bundle; repeated, it begins with new snapshots, or ends the one that was written.

    Args:
        person_id: whom.
        settings: which platform.
        progress: told of every step.
        kept_days: after which it is removed.

    Raises:
        UnknownPersonError: no cell knows the person.
        OperationError: another process works on the person, or another operation on them is open.
        BundleError: it could not be written.
        CellUnavailableError, LiveEntriesError: a cell, or its Redis, does not answer; no bundle is written.
    """
    settings = settings or get_settings()
    found = locate(person_id, settings)
    with operation(PERSONS, found.home, person_id, "access", settings=settings) as running:
        name = f"{archive.BUNDLE_PREFIX}{running.operation_id}"
        path = archive.directory("export", found.home, settings) / name
        written: list[Bundle] = []

        def write() -> str:
            if not path.is_dir():
                bundle.write(found, name, settings, kept_days=kept_days)
            return "one snapshot per database"

        def publish() -> str:
            return archive.publish("export", found.home, name, settings).name

        def verify() -> str:
            written.append(bundle.verify(path))
            return f"{written[0].rows} rows in {len(written[0].files)} files of each kind are as they were written"

        def forget() -> str:
            end(running, "forget", {"rows": written[0].rows, "files": len(written[0].files)}, settings)
            return "the journal knows nobody"

        # Verified also by whoever resumes after it: the count is told at the end.
        if running.step == "verify":
            verify()
        steps = [Step("write", write), Step("publish", publish), Step("verify", verify), Step("forget", forget)]
        run_steps(running, steps, progress, close=False)
        return written[0]
