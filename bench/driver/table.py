"""Results as Markdown: a summary, a table of speed for each workload, and one of memory and start. A row is a
contender."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .contenders import CONTENDERS, Contender
from .results import Figure, Results
from .workloads import HELD, WORKLOADS

# From here on the load's CPU, and not the proxy, decides how many requests there are.
SATURATED = 98
FOOTNOTE = (
    "Medians of the rounds ± half of what lies between the lowest and the highest. CPU is user and system time of the "
    "proxy's processes. `*`: the CPU of load and servers was busy, so that requests/s and latencies say little about "
    "the proxy."
)


@dataclass(frozen=True)
class Column:
    """A figure: of which workload (None is the table's own, "" all of a contender's), and how it is shown."""

    title: str
    name: str
    show: Callable[[float], str]
    workload: str | None = None


def megabytes(kib: float) -> float:
    """MB of 1,000,000 bytes, from the kernel's KiB."""
    return kib * 1024 / 1_000_000


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _tenths(value: float) -> str:
    return f"{value:.1f}"


def _mb(kib: float) -> str:
    return f"{megabytes(kib):.1f}"


SPEED = (
    Column("CPU µs/request", "cpu_us", _tenths),
    Column("requests/s", "rate", _whole),
    Column("p50 µs", "p50", _whole),
    Column("p99 µs", "p99", _whole),
    Column("p99.9 µs", "p999", _whole),
)
MEMORY = (
    Column("started, MB", "started_rss_kib", _mb, ""),
    Column("256 busy connections, MB", "rss_kib", _mb, "3b-256"),
    Column(f"{HELD:,} open requests, MB", "open_rss_kib", _mb, "hold-1000"),
    Column(f"{HELD:,} idle connections, MB", "kept_rss_kib", _mb, "hold-1000"),
    Column("KB for each open pair", "pair_kib", lambda kib: f"{kib * 1.024:.1f}", "hold-1000"),
    Column("start to first answer, ms", "ready_ms", _tenths, ""),
)
SUMMARY = (
    Column("CPU µs/request", "cpu_us", _tenths, "3b-32"),
    Column("p99 µs", "p99", _whole, "3b-32"),
    Column("CPU µs, 16 KiB", "cpu_us", _tenths, "16384b-32"),
    Column("CPU µs/gRPC call", "cpu_us", _tenths, "grpc-unary"),
    Column("started, MB", "started_rss_kib", _mb, ""),
    Column("KB for each open pair", "pair_kib", lambda kib: f"{kib * 1.024:.1f}", "hold-1000"),
)


def summary(results: Results) -> Iterator[str]:
    """One table of what matters most: 32 connections, and memory."""
    rows = [_row(results, contender, SUMMARY, None) for contender in CONTENDERS]
    yield from _markdown(SUMMARY, rows)


def details(results: Results) -> Iterator[str]:
    """A table for everything that was measured."""
    for workload in WORKLOADS:
        rows = [_row(results, contender, SPEED, workload.name) for contender in CONTENDERS]
        if workload.is_speed and any(rows):
            yield from (f"### {workload.title}", "")
            if workload.remark:
                yield from (workload.remark, "")
            yield from _markdown(SPEED, rows)
            yield ""
    rows = [_row(results, contender, MEMORY, None) for contender in CONTENDERS]
    if any(rows):
        yield from ("### Memory (RSS) and start", "")
        yield from _markdown(MEMORY, rows)
        yield ""


def figure(results: Results, contender: str, column: Column, workload: str | None = None) -> Figure | None:
    """What a column shows of a contender."""
    if column.workload == "":
        return results.across(contender, column.name)
    return results.figure(f"{contender}/{column.workload or workload}", column.name)


def _markdown(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| | {' | '.join(column.title for column in columns)} |"
    yield f"|---|{'---:|' * len(columns)}"
    for row in filter(None, rows):
        yield f"| {' | '.join(row)} |"


def _row(results: Results, contender: Contender, columns: Sequence[Column], workload: str | None) -> list[str]:
    found = [figure(results, contender.name, column, workload) for column in columns]
    if not any(found):
        return []
    shown = (
        f"{column.show(one.median)} ±{column.show(one.spread)}" if one else "–"
        for one, column in zip(found, columns, strict=True)
    )
    return [_titled(results, contender, workload), *shown]


def _titled(results: Results, contender: Contender, workload: str | None) -> str:
    if workload is None:
        return contender.title
    cell = f"{contender.name}/{workload}"
    errors, busy = results.figure(cell, "errors"), results.figure(cell, "load_cpu_percent")
    failed = f" (up to {errors.high:,.0f} FAILED)" if errors and errors.high else ""
    return contender.title + failed + (" *" if busy and busy.median >= SATURATED else "")
