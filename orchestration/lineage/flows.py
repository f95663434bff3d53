"""What flows into a column and into the rows of a relation, from which source column and by which path.

A *flow* says that something of a source column is in a column: its value or a part of it (``value``), a count or sum
of it (``figure``), that it decides about it (``decision``: a condition, an order, a join), or how many different traits
it has (``groups``). Flows into *rows* say by what it is decided that a row is there at all; every relation with a
personal column gives its rows one of its own.

A *guard* is the number of a group of rows under an aggregate. A flow that has it is gone as soon as a condition says
that the group holds k persons or more; a column that counts a group's persons knows the group's number.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from orchestration.cells.relations import PersonalClass

Kind = Literal["value", "figure", "decision", "groups"]
# A fact is a column without a class in a relation about people: what somebody did, when, for how much.
Sensitivity = Literal["direct", "person", "account", "pseudonym", "quasi", "fact"]
# What a key is of: a person, an account with a tenant that goes without saying, an account with its tenant (`visitor`),
# a tenant. `any` is that of no row.
Keyed = Literal["person", "account", "visitor", "tenant", "any"]

STRONGEST_FIRST: tuple[Sensitivity, ...] = ("direct", "person", "account", "pseudonym", "quasi", "fact")

Path = tuple[str, ...]


class Key(NamedTuple):
    """What a column's values are, in every row a function of one key.

    ``row`` stands for the rows that they come from: the account of one row and the tenant of another make no visitor.
    """

    of: Keyed
    row: Hashable


ANY = Key("any", None)


@dataclass(frozen=True, slots=True)
class Origin:
    """A source column, or with ``column`` None that the source has a row."""

    relation: str
    column: str | None

    def __str__(self) -> str:
        return f"{self.relation}.{self.column}" if self.column else f"{self.relation} (rows)"


@dataclass(frozen=True, slots=True)
class Flow:
    """Something of ``origin``; ``guards``: groups of which one with k persons is enough for it to be gone."""

    origin: Origin
    sensitivity: Sensitivity
    kind: Kind = "value"
    guards: frozenset[int] = frozenset()


Flows = Mapping[Flow, Path]
NOTHING: Flows = {}


@dataclass(frozen=True, slots=True)
class Column:
    """A column, or the value of an expression.

    Attributes:
        flows: what flows into it, each with the shortest path found.
        counts: the groups whose distinct persons it counts.
        key: what its values are; None for anything but a key.
        conditional: whether it has its value in some rows only, by a condition: its sum is over fewer persons than
            those of the group.
    """

    flows: Flows = field(default_factory=dict)
    counts: frozenset[int] = frozenset()
    key: Key | None = None
    conditional: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A relation or the result of a query.

    Attributes:
        columns: by name, in order.
        rows: by what it is decided that a row is there.
        cells: whether its rows are groups with nothing in them that identifies somebody: to count them is to count
            groups, and not persons.
        wild: what a column of any other name is, for functions whose columns are not known by name.
        open: why there may be more columns than are known here; ``*`` of it cannot be followed.
    """

    columns: Mapping[str, Column]
    rows: Flows = field(default_factory=dict)
    cells: bool = False
    wild: Column | None = None
    open: str | None = None


def merge(*parts: Flows) -> Flows:
    """Return all flows of ``parts``, each with its shortest path."""
    filled = [part for part in parts if part]
    if len(filled) < 2:
        return filled[0] if filled else NOTHING
    merged: dict[Flow, Path] = {}
    for part in filled:
        for flow, path in part.items():
            known = merged.get(flow)
            if known is None or len(path) < len(known):
                merged[flow] = path
    return merged


def changed(flows: Flows, change: Callable[[Flow], Flow]) -> Flows:
    """Return ``flows``, each as ``change`` makes it."""
    result: dict[Flow, Path] = {}
    for flow, path in flows.items():
        new = change(flow)
        known = result.get(new)
        if known is None or len(path) < len(known):
            result[new] = path
    return result


def decided(flows: Flows) -> Flows:
    """Return ``flows`` as deciding about something."""
    return changed(flows, lambda flow: flow if flow.kind == "decision" else replace(flow, kind="decision"))


def grouped(flows: Flows) -> Flows:
    """Return ``flows`` as the number of groups that they make."""
    return changed(flows, lambda flow: replace(flow, kind="groups"))


def figured(flows: Flows) -> Flows:
    """Return ``flows`` as counted or summed."""
    return changed(flows, lambda flow: replace(flow, kind="figure") if flow.kind == "value" else flow)


def guarded(flows: Flows, guards: frozenset[int]) -> Flows:
    """Return ``flows`` as gone once one of ``guards`` is known to hold k persons."""
    return changed(flows, lambda flow: replace(flow, guards=flow.guards | guards))


def without(flows: Flows, tested: frozenset[int]) -> Flows:
    """Return what is left of ``flows`` when each group of ``tested`` holds k persons."""
    if not tested:
        return flows
    return {flow: path for flow, path in flows.items() if not flow.guards & tested}


def within(flows: Flows, groups: frozenset[int]) -> Flows:
    """Return ``flows`` with no guard but ``groups``."""
    if all(flow.guards <= groups for flow in flows):
        return flows
    return changed(flows, lambda flow: replace(flow, guards=flow.guards & groups))


def via(flows: Flows, hop: str) -> Flows:
    """Return ``flows`` with their paths going on to ``hop``."""
    return {flow: (*path, hop) for flow, path in flows.items()}


def is_identifying(flow: Flow) -> bool:
    """Return whether a flow carries what says or leads to who somebody is, itself and not a count of it."""
    return flow.kind == "value" and flow.sensitivity in ("direct", "person", "account", "pseudonym")


def same_key(keys: Iterable[Key | None]) -> Key | None:
    """Return what a column is whose rows come from columns that are ``keys``, in their order.

    Where there is no person to be had, the account with its tenant stands in for them.
    """
    result: Key | None = ANY
    for key in keys:
        if key is None or result is None:
            return None
        if key.of == "any" or result.of == "any":
            result = result if key.of == "any" else key
            continue
        row = result.row if result.row == key.row else (result.row, key.row)
        if result.of == key.of:
            result = Key(key.of, row)
        else:
            result = Key("person", row) if {result.of, key.of} == {"person", "visitor"} else None
    return result


def key_of_parts(keys: Iterable[Key | None]) -> Key | None:
    """Return what a value is that is made of ``keys`` and nothing else.

    Of one person there is one such value, or fewer than persons: two may give the same. Of two persons, or of an
    account and the tenant of another row, there are more values than persons.
    """
    found = {key for key in keys if key is None or key.of != "any"}
    if None in found or not found:
        return ANY if not found else None
    rows = {key.row for key in found if key is not None}
    kinds = {key.of for key in found if key is not None}
    if len(found) == 1:
        return found.pop()
    return Key("visitor", rows.pop()) if len(rows) == 1 and len(found) == 2 and "tenant" in kinds else None


def class_of(column: Column) -> PersonalClass | None:
    """Return the strongest class whose value is in ``column``, None when there is none."""
    found = {flow.sensitivity for flow in column.flows if flow.kind == "value"}
    for sensitivity in STRONGEST_FIRST:
        if sensitivity in found and sensitivity != "fact":
            return sensitivity
    return None
