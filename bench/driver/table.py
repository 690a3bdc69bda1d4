"""Results as Markdown: a table for each workload, a row for each contender."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .contenders import CONTENDERS
from .results import Figure, Results
from .workloads import WORKLOADS

# From here on the load's CPU, and not the proxy, decides how many requests there are.
SATURATED = 98


@dataclass(frozen=True)
class Column:
    """A figure of a sample as it is shown."""

    title: str
    name: str
    show: Callable[[float], str]


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _tenths(value: float) -> str:
    return f"{value:.1f}"


def _mib(kib: float) -> str:
    return f"{kib / 1024:.1f}"


COLUMNS = (
    Column("CPU µs/request", "cpu_us", _tenths),
    Column("requests/s", "rate", _whole),
    Column("p50 µs", "p50", _whole),
    Column("p99 µs", "p99", _whole),
    Column("p99.9 µs", "p999", _whole),
    Column("RSS MiB", "rss_kib", _mib),
)


def tables(results: Results) -> Iterator[str]:
    """Lines of Markdown for everything that was measured."""
    for workload in WORKLOADS:
        rows = [_row(results, contender.title, f"{contender.name}/{workload.name}") for contender in CONTENDERS]
        if any(rows):
            yield f"### {workload.title[0].upper()}{workload.title[1:]}"
            yield ""
            yield from markdown(["", *(column.title for column in COLUMNS)], [row for row in rows if row])
            yield ""


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table whose first column is text and whose others are numbers."""
    yield f"| {' | '.join(head)} |"
    yield f"|---|{'---:|' * (len(head) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _row(results: Results, title: str, cell: str) -> list[str]:
    figures = [results.figure(cell, column.name) for column in COLUMNS]
    if not any(figures):
        return []
    errors, busy = results.figure(cell, "errors"), results.figure(cell, "load_cpu_percent")
    if errors and errors.high:
        title += f" ({errors.high:,.0f} FAILED)"
    if busy and busy.median >= SATURATED:
        title += " *"
    return [title, *(_shown(figure, column) for figure, column in zip(figures, COLUMNS, strict=True))]


def _shown(figure: Figure | None, column: Column) -> str:
    if figure is None:
        return "–"
    return f"{column.show(figure.median)} ±{column.show(figure.spread)}"
