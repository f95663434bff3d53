"""Run a suite against a database and return a plain result: which rules hold, which do not, which could not be asked.

Great Expectations catches an exception inside an expectation and files it as one more failed (or, for a suite
without results, even as a successful) validation. Here an exception, a missing answer and an empty suite are a
verdict of their own, ``error``: not proven, which is neither "holds" nor "violated".

Evidence holds names of objects and counts. The text of a database error may quote a row, so of an exception only
its kind is kept, and its message only where that kind of message names objects and never values.
"""

import contextlib
import io
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from orchestration.quality.data_docs import DataDocs, Page
from orchestration.quality.suite import Rule, Suite, SuiteError

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuite

Verdict = Literal["green", "red", "error"]
Status = Literal["passed", "failed", "unproven", "error"]

# Errors whose first line names database objects, never a row's values.
_TELLING_ERRORS = (
    "UndefinedTable",
    "UndefinedColumn",
    "UndefinedFunction",
    "UndefinedObject",
    "InvalidSchemaName",
    "InsufficientPrivilege",
    "AmbiguousColumn",
    "QueryCanceled",
    "LockNotAvailable",
)
_ERROR_KIND = re.compile(r"\(?(?P<kind>[A-Za-z_][\w.]*(?:Error|\w))\)\s*(?P<first_line>[^\n]*)")

# What SQLAlchemy would take for a bind parameter in plain SQL; the same expression as in its text() construct.
_BIND_PARAMETER = re.compile(r"(?<![:\w\x5c]):(\w+)(?!:)")


@dataclass(frozen=True)
class Offender:
    """What breaks a rule: the name of an object, and how many of its rows, grants or the like do."""

    object: str
    count: int


@dataclass(frozen=True)
class RuleResult:
    """The answer to one rule: it holds, is broken, is a broken precondition (unproven), or could not be asked (error).

    ``objects`` may exceed the offenders listed: those are capped (200).
    """

    rule: str
    description: str
    status: Status
    offenders: tuple[Offender, ...] = ()
    objects: int = 0
    error: str | None = None


@dataclass(frozen=True)
class SuiteResult:
    """The answers to a suite.

    Attributes:
        docs: the page of this validation, where data docs were asked for and could be written.
        docs_error: why they could not be written; evidence on disk is no part of the verdict.
    """

    suite: str
    title: str
    rules: tuple[RuleResult, ...]
    started_at: datetime
    finished_at: datetime
    docs: Page | None = None
    docs_error: str | None = None

    @property
    def verdict(self) -> Verdict:
        """Green only if every rule was asked and holds.

        An exception outranks what was found, for what could not be asked may be worse. A broken precondition does not:
        a violation found stays one.
        """
        statuses = {rule.status for rule in self.rules}
        if not statuses or "error" in statuses:
            return "error"
        if "failed" in statuses:
            return "red"
        return "error" if "unproven" in statuses else "green"

    @property
    def seconds(self) -> float:
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True)
class Session:
    """How the validation's own connections behave.

    Attributes:
        settings: PostgreSQL settings (custom ones too) of each connection, by name; rules read them with
            ``current_setting``. This is how parameters reach a rule without being written into its text.
        read_only: every transaction is read only, so that no rule can change what it judges.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    read_only: bool = True


def preload() -> None:
    """Begin to import Great Expectations, which :func:`validate` needs, beside what the caller waits for until then."""

    def load() -> None:
        # Whoever validates meets the same error, and can tell it.
        with contextlib.suppress(ImportError):
            _import()

    threading.Thread(target=load, name="import of Great Expectations").start()


def validate(
    suites: "Sequence[Suite | ExpectationSuite]",
    connection_string: str,
    *,
    source: str,
    session: Session | None = None,
    docs: DataDocs | None = None,
    query: str = "select 1 as one",
) -> list[SuiteResult]:
    """Run ``suites`` over one connection, in order, and return their results.

    Args:
        suites: suites read from files, or Great Expectations' own (these are asked about the rows of ``query``).
        connection_string: of PostgreSQL, ``postgresql://…``. It stays in memory: no file, log or page sees it.
        source: name of the database for people, as in "cell na"; letters, digits, blanks, dashes.
        session: settings of the connections; read only unless said otherwise.
        docs: where to write data docs; None writes nothing.
        query: the batch for suites of Great Expectations' own kinds of expectation.

    Raises:
        SuiteError: a suite holds no expectation.

    An exception inside an expectation is not raised: it makes that rule, and so the suite's verdict, an ``error``.
    """
    with _quiet_great_expectations() as gx:
        context = gx.get_context(project_config=_project(docs), mode="ephemeral")
        datasource = context.data_sources.add_postgres(name=source, connection_string=_with_driver(connection_string))
        engine = datasource.get_execution_engine().engine
        try:
            _prepare_sessions(engine, session or Session())
            results = []
            for suite in suites:
                expectations = _expectations(gx, suite)
                asset = datasource.add_query_asset(name=expectations.name, query=query)
                batch = asset.add_batch_definition_whole_table("all").get_batch()
                results.append(_validate_one(context, batch, suite, expectations, source=source, docs=docs))
        finally:
            engine.dispose()
    return results


def _validate_one(
    context: Any,
    batch: Any,
    suite: "Suite | ExpectationSuite",
    expectations: Any,
    *,
    source: str,
    docs: DataDocs | None,
) -> SuiteResult:
    started_at = datetime.now(UTC)
    # COMPLETE returns the rows of a rule: names and counts by construction. Of other expectations, only counts.
    own = isinstance(suite, Suite)
    result_format: dict[str, Any] = (
        {"result_format": "COMPLETE"} if own else {"result_format": "BASIC", "partial_unexpected_count": 0}
    )
    outcome = batch.validate(expectations, result_format=result_format)
    rules = _rule_results(suite, expectations, outcome)
    finished_at = datetime.now(UTC)
    page, docs_error = None, None
    if docs is not None:
        _clean(outcome, rules)
        try:
            page = docs.write(context, outcome, expectations, source=source, run_time=started_at)
        except Exception as error:  # noqa: BLE001 - a full disk must not turn a verdict into another one
            docs_error = f"{type(error).__name__} while writing to {docs.site}"
    title = suite.title if isinstance(suite, Suite) else suite.name
    return SuiteResult(expectations.name, title, rules, started_at, finished_at, page, docs_error)


def _rule_results(suite: "Suite | ExpectationSuite", expectations: Any, outcome: Any) -> tuple[RuleResult, ...]:
    """Return one result per rule, by its id; a rule without an answer is an error."""
    answers: dict[str, Any] = {}
    for answer in outcome.results:
        answers[_rule_id(answer.expectation_config)] = answer
    if isinstance(suite, Suite):
        return tuple(
            _judged(rule, _rule_result(rule.id, rule.description, answers.get(rule.id))) for rule in suite.rules
        )
    asked = [(_rule_id(e.configuration), e.description or e.expectation_type) for e in expectations.expectations]
    return tuple(_rule_result(rule_id, description, answers.get(rule_id)) for rule_id, description in asked)


def _judged(rule: Rule, result: RuleResult) -> RuleResult:
    return replace(result, status="unproven") if rule.precondition and result.status == "failed" else result


def _rule_id(configuration: Any) -> str:
    meta = configuration.meta or {}
    if "rule" in meta:
        return str(meta["rule"])
    columns = [str(v) for k, v in sorted(configuration.kwargs.items()) if k.startswith("column") and v]
    return ":".join([configuration.type, *columns]) + (f":{configuration.id}" if configuration.id else "")


def _rule_result(rule_id: str, description: str, answer: Any) -> RuleResult:
    if answer is None:
        return RuleResult(rule_id, description, "error", error="no answer")
    error = _exception(answer.exception_info)
    if error is not None:
        return RuleResult(rule_id, description, "error", error=error)
    result = answer.result or {}
    rows = (result.get("details") or {}).get("unexpected_rows")
    if rows is not None:
        return _from_rows(rule_id, description, answer, rows)
    count = result.get("unexpected_count")
    if not isinstance(answer.success, bool):
        return RuleResult(rule_id, description, "error", error="no verdict")
    if answer.success:
        return RuleResult(rule_id, description, "passed")
    offender = Offender(rule_id, count if isinstance(count, int) else 1)
    return RuleResult(rule_id, description, "failed", (offender,), 1)


def _from_rows(rule_id: str, description: str, answer: Any, rows: Sequence[Mapping[str, Any]]) -> RuleResult:
    objects = answer.result.get("observed_value")
    if not isinstance(objects, int) or bool(objects == 0) is not answer.success or (objects > 0) is not bool(rows):
        return RuleResult(rule_id, description, "error", error="the answer contradicts itself")
    # A rule that returns a row found something, whatever it counted.
    offenders = tuple(Offender(str(row["object"]), max(int(row["offenders"] or 0), 1)) for row in rows)
    return RuleResult(rule_id, description, "passed" if objects == 0 else "failed", offenders, objects)


def _exception(info: Any) -> str | None:
    """Return the kind of the exception that Great Expectations caught, None if there was none."""
    if not info:
        return None
    entries = [info] if "raised_exception" in info else list(info.values())
    for entry in entries:
        if isinstance(entry, Mapping):
            if not entry.get("raised_exception"):
                continue
            return _kind(str(entry.get("exception_message") or ""))
        # Also in the shape of an object, depending on where it was caught.
        if getattr(entry, "raised_exception", True):
            return _kind(str(getattr(entry, "exception_message", "")))
    return None


def _kind(message: str) -> str:
    match = _ERROR_KIND.search(message)
    if match is None:
        return "exception"
    kind = match["kind"].rsplit(".", 1)[-1]
    return f"{kind}: {match['first_line']}" if kind in _TELLING_ERRORS else kind


def _clean(outcome: Any, rules: tuple[RuleResult, ...]) -> None:
    """Leave names and counts in ``outcome``, which becomes a file and a page: no row, no error's text."""
    by_id = {rule.rule: rule for rule in rules}
    for answer in outcome.results:
        rule = by_id.get(_rule_id(answer.expectation_config))
        shown: dict[str, Any] = {}
        if rule is not None and rule.error is not None:
            shown["observed_value"] = f"not proven: {rule.error}"
            answer.success = False
        elif rule is not None and rule.offenders:
            listed = "; ".join(f"{offender.object}: {offender.count}" for offender in rule.offenders)
            more = rule.objects - len(rule.offenders)
            shown["observed_value"] = listed + (f"; and {more} more" if more > 0 else "")
        elif rule is not None:
            shown["observed_value"] = "no offender"
        answer.result = shown
        answer.exception_info = {"raised_exception": False, "exception_message": None, "exception_traceback": None}
    outcome.success = all(rule.status == "passed" for rule in rules)
    evaluated, successful = len(rules), sum(rule.status == "passed" for rule in rules)
    outcome.statistics = {
        "evaluated_expectations": evaluated,
        "successful_expectations": successful,
        "unsuccessful_expectations": evaluated - successful,
        "success_percent": 100.0 * successful / evaluated,
    }


def _expectations(gx: Any, suite: "Suite | ExpectationSuite") -> Any:
    """Return ``suite`` as Great Expectations' own.

    Raises:
        SuiteError: it holds no expectation.
    """
    if not isinstance(suite, Suite):
        if not suite.expectations:
            raise SuiteError(f"suite {suite.name!r} has no expectations: it would prove nothing")
        return suite
    if not suite.rules:
        raise SuiteError(f"suite {suite.name!r} has no rules: it would prove nothing")
    return gx.ExpectationSuite(
        name=suite.name,
        expectations=[
            gx.expectations.UnexpectedRowsExpectation(
                unexpected_rows_query=_escaped(suite.query(rule)),
                description=rule.description,
                severity="critical",
                meta={"rule": rule.id, "notes": {"format": "markdown", "content": [rule.why]}},
            )
            for rule in suite.rules
        ],
    )


def _escaped(sql: str) -> str:
    """Return plain SQL as Great Expectations and SQLAlchemy want it: braces doubled, colons not bind parameters."""
    return _BIND_PARAMETER.sub(r"\\:\1", sql.replace("{", "{{").replace("}", "}}"))


def _with_driver(connection_string: str) -> str:
    scheme, _, rest = connection_string.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgresql", "postgres") else connection_string


def _prepare_sessions(engine: Any, session: Session) -> None:
    """Set ``session`` on every connection that ``engine`` opens, dropping those it already has."""
    from sqlalchemy import event  # noqa: PLC0415 - as heavy as the rest, needed only here

    @event.listens_for(engine, "connect")
    def _set(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            for name, value in session.settings.items():
                cursor.execute("select set_config(%s, %s, false)", (name, value))
            if session.read_only:
                cursor.execute("set session characteristics as transaction read only")
        connection.commit()

    engine.dispose()


def _project(docs: DataDocs | None) -> Any:
    from great_expectations.data_context.types.base import (  # noqa: PLC0415
        DataContextConfig,
        InMemoryStoreBackendDefaults,
    )

    if docs is None:
        return DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            data_docs_sites={},
            analytics_enabled=False,
        )
    return docs.project()


def _import() -> Any:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx  # noqa: PLC0415 - 4 to 19 seconds

    return gx


@contextlib.contextmanager
def _quiet_great_expectations() -> Iterator[Any]:
    """Import Great Expectations without telemetry; keep its prints, progress bars and tracebacks to itself.

    It prints a hint per query that has no ``{batch}``, and logs exceptions with their text, which may quote a row.
    """
    gx = _import()
    logger = logging.getLogger("great_expectations")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield gx
    finally:
        logger.setLevel(level)
