"""Dagster's selection syntax, resolved against this project's definitions for `capstone materialize`."""

import dagster as dg

from orchestration.lifecycle.filling import AssetPath
from orchestration.lifecycle.materializing import SelectionError


def resolve(selection: str) -> list[AssetPath]:
    """Return the keys of the assets that ``selection`` names, such as ``na/marts/fct_funnel`` or ``group:na_marts+``.

    Raises:
        SelectionError: it cannot be parsed, or names nothing.
    """
    from orchestration.definitions import defs  # noqa: PLC0415 -- a plain import would load everything twice

    graph = defs().resolve_asset_graph()
    try:
        keys = dg.AssetSelection.from_string(selection).resolve(graph)
    except dg.DagsterError as error:
        first_line = str(error).strip().partition("\n")[0]
        raise SelectionError(f"the selection {selection!r} cannot be used: {first_line}") from None
    if not keys:
        raise SelectionError(f"the selection {selection!r} names no asset: see `dg list defs`, or the Dagster UI")
    return sorted(tuple(key.path) for key in keys)
