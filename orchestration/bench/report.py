"""What every benchmark prints: one object, as JSON or as a table."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version

import psutil
from rich.table import Table


@dataclass(frozen=True)
class BenchResult:
    """One measured number.

    Attributes:
        name: what was measured.
        value: the number, in ``unit``.
        unit: its unit, ``rows/s`` or ``s``.
        baseline: what it is compared with, in the same unit, measured in the same run; None when there is nothing.
        ratio: ``value / baseline``; None without a baseline.
        goal: what is to be reached: a ratio where there is a baseline, else a value in ``unit``; for times the most
            that is allowed, else the least.
        met: whether it is.
    """

    name: str
    value: float
    unit: str
    baseline: float | None
    ratio: float | None
    goal: float
    met: bool


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def compared(name: str, value: float, unit: str, *, baseline: float, goal: float) -> BenchResult:
    """Return a result whose goal is a ratio to a baseline; more is better."""
    ratio = value / baseline
    return BenchResult(name, round(value, 1), unit, round(baseline, 1), round(ratio, 3), goal, ratio >= goal)


def compared_seconds(name: str, value: float, *, baseline: float, goal: float) -> BenchResult:
    """Return a result in seconds whose goal is a ratio to a baseline; less is better."""
    ratio = value / baseline
    return BenchResult(name, round(value, 4), "s", round(baseline, 4), round(ratio, 3), goal, ratio <= goal)


@dataclass(frozen=True)
class Machine:
    """What the numbers were measured on."""

    cpus: int
    memory_gb: float
    system: str
    python: str
    numpy: str
    postgresql: str
    timescaledb: str


def this_machine(postgresql: str, timescaledb: str) -> Machine:
    """Return this machine, with the versions of the servers that were measured."""
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory_gb=round(psutil.virtual_memory().total / 2**30, 1),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        numpy=version("numpy"),
        postgresql=postgresql,
        timescaledb=timescaledb,
    )


@dataclass(frozen=True)
class BenchReport:
    """The outcome of one benchmark."""

    bench: str
    machine: Machine
    results: tuple[BenchResult, ...]

    @property
    def met(self) -> bool:
        """Whether every goal is met."""
        return all(result.met for result in self.results)

    def to_json(self) -> str:
        """Return ``{bench, machine, results: [{name, value, unit, baseline, ratio, goal, met}]}``."""
        return json.dumps(asdict(self), indent=2)

    def table(self) -> Table:
        """Return the results for people."""
        table = Table(
            title=f"bench {self.bench}", caption=", ".join(f"{k} {v}" for k, v in asdict(self.machine).items())
        )
        for column in ("name", "value", "unit", "baseline", "ratio", "goal", "met"):
            table.add_column(column, justify="left" if column in {"name", "unit"} else "right")
        for result in self.results:
            table.add_row(
                result.name,
                _figure(result.value),
                result.unit,
                "-" if result.baseline is None else _figure(result.baseline),
                "-" if result.ratio is None else f"{result.ratio:.2f}",
                f"{result.goal:g}",
                "yes" if result.met else "no",
            )
        return table
