"""What a request needs of a database in several regions, whichever engine it is.

PostgreSQL with one cluster per cell serves it now (`postgres_cells.py`). How each method is to be had from CockroachDB,
with its cells as regions of one database, is said beside it; the callers stay as they are.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from orchestration.cells.outcome import Connection, Outcome, UnknownOutcomeError, Work
from orchestration.cells.reads import STRONG, Consistency, Reading
from orchestration.cells.region_choice import Choice, Subject

R = TypeVar("R")


class RegionalDatabase(Protocol):
    """Sends each request to where it belongs; see docs/routing.md."""

    def choose(self, subject: Subject) -> Choice:
        """Return the cell that a request goes to, found and not guessed.

        CockroachDB: the same table of precedence. A person's home is the row's `region` column (REGIONAL BY ROW AS
        region), one point read by id; the cell only decides to which region's nodes the connection is opened.
        """
        ...

    def read(self, subject: Subject, work: Work[R]) -> R:
        """Read at the home, strongly; the work may be called again and cannot write.

        CockroachDB: a read-only transaction at a node of the home's region, whose leaseholders answer locally. 40001
        asks for the same loop; most such reads are retried by the server itself.
        """
        ...

    def write(self, subject: Subject, work: Work[R], *, repeatable: bool = False, serializable: bool = False) -> R:
        """Write at the home, in one transaction.

        CockroachDB: the same, `serializable` being always so. The client's retry loop on 40001 is the one that
        repeatable works go through; a work that is not repeatable fails with ContentionError. 40003 is an unknown
        outcome. The assertion that a person is at home is `select region … for update`.
        """
        ...

    def read_global(
        self,
        relations: Sequence[str],
        work: Work[R],
        *,
        near: Subject | None = None,
        consistency: Consistency = STRONG,
    ) -> Reading[R]:
        """Read relations that are declared global: at their home, or the nearest copy that is fresh enough.

        CockroachDB: strongly from any region, for GLOBAL tables are read locally without waiting. Eventually:
        `AS OF SYSTEM TIME with_max_staleness(…)` for point reads, with the staleness that the caller allows, and
        `AS OF SYSTEM TIME follower_read_timestamp()` for others, about 4.8 s old, when more than that is allowed, else
        strongly. The server checks the staleness; `nearest_only` of with_max_staleness is `or_home=False`.
        """
        ...

    def write_global(
        self, relations: Sequence[str], work: Work[R], *, repeatable: bool = False, serializable: bool = False
    ) -> R:
        """Write rows of global relations, at their home.

        CockroachDB: from any region; a write to a GLOBAL table waits until its time has come in all of them.
        """
        ...

    def outcome(self, error: UnknownOutcomeError, *, evidence: Callable[[Connection], bool] | None = None) -> Outcome:
        """Find out what became of a transaction whose outcome is not known.

        CockroachDB: it keeps no status of transactions that a client could ask for, so `evidence` is the only way.
        """
        ...

    def close(self) -> None:
        """Give up every connection.

        CockroachDB: the same.
        """
        ...
