"""A suite's result as a Dagster asset check result.

::

    @asset_check(asset="orders", blocking=True)
    def orders_are_sound() -> AssetCheckResult:
        [result] = validate([load_suite(Path("expectations/orders"))], connection_string, source="warehouse")
        return asset_check_result(result)
"""

from collections.abc import Mapping, Sequence

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetKey,
    MetadataValue,
    TableColumn,
    TableRecord,
    TableSchema,
)

from orchestration.quality.validation import SuiteResult

_OFFENDERS = TableSchema(
    columns=[
        TableColumn("rule", "string", description="Rule that is broken"),
        TableColumn("object", "string", description="Name of what breaks it"),
        TableColumn("count", "int", description="How many of its rows, grants or the like do"),
    ]
)
_EXPECTATIONS = TableSchema(
    columns=[
        TableColumn("rule", "string"),
        TableColumn(
            "status",
            "string",
            description="passed, failed, unproven (a precondition is broken) or error (could not be asked)",
        ),
        TableColumn("offenders", "int", description="Objects that break it"),
        TableColumn("description", "string"),
    ]
)
_VERDICTS = {"green": "proven", "red": "violated", "error": "not proven"}


def asset_check_result(
    result: SuiteResult,
    *,
    asset_key: AssetKey | Sequence[str] | str | None = None,
    check_name: str | None = None,
    severity: AssetCheckSeverity = AssetCheckSeverity.ERROR,
    docs_url: str | None = None,
    metadata: Mapping[str, MetadataValue] | None = None,
) -> AssetCheckResult:
    """Return ``result`` for Dagster; the check passes only if every rule was asked and holds.

    Args:
        result: of one suite.
        asset_key: the asset checked, where the check cannot infer it.
        check_name: the check's name, where there are several.
        severity: of a failure; only ERROR stops what a blocking check blocks.
        docs_url: address of the validation's page.
        metadata: added to the tables of offenders and expectations, which hold names and counts only.
    """
    offenders = [
        TableRecord({"rule": rule.rule, "object": offender.object, "count": offender.count})
        for rule in result.rules
        for offender in rule.offenders
    ]
    expectations = [
        TableRecord(
            {
                "rule": rule.rule,
                "status": rule.status,
                "offenders": rule.objects,
                "description": rule.description if rule.error is None else f"{rule.description} ({rule.error})",
            }
        )
        for rule in result.rules
    ]
    shown: dict[str, MetadataValue] = {
        "verdict": MetadataValue.text(_VERDICTS[result.verdict]),
        "expectations": MetadataValue.table(expectations, _EXPECTATIONS),
        "rules": MetadataValue.int(len(result.rules)),
        "offending_objects": MetadataValue.int(sum(rule.objects for rule in result.rules)),
        "seconds": MetadataValue.float(round(result.seconds, 3)),
    }
    if offenders:
        shown["offenders"] = MetadataValue.table(offenders, _OFFENDERS)
    if docs_url is not None:
        shown["data_docs"] = MetadataValue.url(docs_url)
    elif result.docs is not None:
        shown["data_docs"] = MetadataValue.path(str(result.docs.file))
    if result.docs_error is not None:
        shown["data_docs_error"] = MetadataValue.text(result.docs_error)
    return AssetCheckResult(
        passed=result.verdict == "green",
        asset_key=asset_key,
        check_name=check_name,
        severity=severity,
        description=describe(result),
        metadata={**shown, **(metadata or {})},
    )


def describe(result: SuiteResult) -> str:
    """Return one line for people: the verdict, and the first offenders or errors by name."""
    head = f"{result.title}: {_VERDICTS[result.verdict]}"
    if result.verdict == "green":
        return f"{head}, {len(result.rules)} rules hold"
    named = [f"{r.rule}: {r.error}" for r in result.rules if r.error is not None]
    named += [f"{r.rule}: {o.object} ({o.count})" for r in result.rules for o in r.offenders]
    more = f" and {len(named) - 5} more" if len(named) > 5 else ""
    return f"{head}; {'; '.join(named[:5])}{more}"
