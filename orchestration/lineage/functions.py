"""Functions: what is known of the server's own, and what the project declares of all others.

The parser has a type of its own for functions that it knows; these give nothing but what they are given. Any other may
read tables, so dbt's meta has to say what it gives (``meta.functions``, for all models in ``dbt_project.yml``):

    functions:
      num_nonnulls: arguments                    nothing but what it is given
      pg_total_relation_size: nothing            nothing of anybody
      platform.mail_of: [geo.users.email, ...]   these source columns, and what it is given
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

ARGUMENTS, NOTHING = "arguments", "nothing"

# Counts and sums: of k persons together they tell of no single one. Whatever else aggregates, least and greatest,
# arrays, the first or any of them, hands out somebody's own value.
_SAFE = (
    exp.Count,
    exp.Sum,
    exp.Avg,
    exp.Stddev,
    exp.StddevPop,
    exp.StddevSamp,
    exp.Variance,
    exp.VariancePop,
)
# A percentile at the edge is the least or the greatest value.
_MIDDLE = (0.25, 0.75)

# Aggregates whose result is theirs alone as window functions, and never an aggregate of a group.
_WINDOW_ONLY = (exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.NthValue)
_RANKS = (exp.RowNumber, exp.Rank, exp.DenseRank, exp.Ntile, exp.PercentRank, exp.CumeDist, exp.Count)


class FunctionError(ValueError):
    """``meta.functions`` is not of the form; the message names the entry."""


@dataclass(frozen=True)
class Declared:
    """What a function gives besides its arguments: source columns, as ``schema.table.column``."""

    arguments: bool
    columns: tuple[str, ...]


def declared_functions(meta: object) -> Mapping[str, Declared]:
    """Return what ``meta.functions`` says, by name as it is called.

    Raises:
        FunctionError: an entry is none of arguments, nothing and a list of source columns.
    """
    if meta is None:
        return {}
    if not isinstance(meta, Mapping):
        raise FunctionError(f"meta.functions is {meta!r}: a mapping of names is needed")
    found: dict[str, Declared] = {}
    for name, says in meta.items():
        if says in (ARGUMENTS, NOTHING):
            found[str(name)] = Declared(says == ARGUMENTS, ())
        elif isinstance(says, list) and all(isinstance(each, str) and each.count(".") == 2 for each in says):
            found[str(name)] = Declared(True, tuple(says))
        else:
            raise FunctionError(
                f"meta.functions says {says!r} of {name}: arguments, nothing or a list of schema.table.column is needed"
            )
    return found


def is_aggregate(node: exp.Expr) -> bool:
    """Return whether a node is an aggregate, as far as the parser knows it."""
    return isinstance(node, exp.AggFunc) and not isinstance(node, _WINDOW_ONLY)


def is_rank(node: exp.Expr) -> bool:
    """Return whether a window function gives a number that only the order of the rows decides."""
    return isinstance(node, _RANKS)


def is_safe(aggregate: exp.Expr) -> bool:
    """Return whether an aggregate's result tells of k persons together, and hands out nobody's own value."""
    if isinstance(aggregate, exp.PercentileCont):
        share = aggregate.this
        return isinstance(share, exp.Literal) and not share.is_string and _in_the_middle(str(share.this))
    return isinstance(aggregate, _SAFE)


def _in_the_middle(share: str) -> bool:
    return _MIDDLE[0] <= float(share) <= _MIDDLE[1]


def is_conditional(node: exp.Expr) -> bool:
    """Return whether an expression has a value in some rows only: its sum is a filtered sum in disguise."""
    return any(isinstance(each, exp.Case | exp.If | exp.Nullif | exp.Predicate) for each in node.walk())
