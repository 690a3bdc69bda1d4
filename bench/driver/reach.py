"""The goals, as ratios of figures of the same round or as limits, and whether this run reaches them."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from .results import Figure, Results
from .table import megabytes


@dataclass(frozen=True)
class Goal:
    """A figure of a contender, and at most how much of it: of the same figure of `peer`, or in its unit."""

    what: str
    contender: str
    workload: str
    name: str
    at_most: float
    peer: str | None = None
    unit: str = ""

    def reached(self, figure: Figure) -> bool:
        return figure.median <= self.at_most


GOALS = (
    Goal("CPU per request, outbound to nginx", "outbound", "3b-32", "cpu_us", 1.1, "nginx", "x"),
    Goal("CPU per request, outbound to Envoy", "outbound", "3b-32", "cpu_us", 0.5, "envoy", "x"),
    Goal("p99, outbound to nginx", "outbound", "3b-32", "p99", 1.2, "nginx", "x"),
    Goal("CPU per request, opaque TCP to the floor", "opaque", "3b-32", "cpu_us", 1.1, "floor", "x"),
    Goal("the same to the floor, redirected as a sidecar is", "opaque", "3b-32", "cpu_us", 1.1, "redirected", "x"),
    Goal("memory of a sidecar that has started", "outbound", "", "started_rss_kib", 6, unit=" MB"),
    Goal("memory for each further open pair of connections", "outbound", "hold-1000", "pair_kib", 40, unit=" KB"),
    Goal("start to the first answer", "outbound", "", "ready_ms", 50, unit=" ms"),
)


def reach(results: Results) -> Iterator[str]:
    """A Markdown table of the goals that this run says something of."""
    measured = [(goal, figure) for goal in GOALS if (figure := _figure(results, goal))]
    if not measured:
        return
    yield from ("### Reach", "", "| | measured | goal | |", "|---|---:|---:|---|")
    for goal, figure in measured:
        digits = 2 if goal.peer else 1
        range_ = f"{figure.median:.{digits}f} ({figure.low:.{digits}f}–{figure.high:.{digits}f}){goal.unit}"
        verdict = "reached" if goal.reached(figure) else "**not reached**"
        yield f"| {goal.what} | {range_} | ≤ {goal.at_most:g}{goal.unit} | {verdict} |"
    yield ""


def _figure(results: Results, goal: Goal) -> Figure | None:
    if goal.peer:
        mine, others = (results.cells.get(f"{name}/{goal.workload}", []) for name in (goal.contender, goal.peer))
        # Round by round, as what disturbs one disturbs the other.
        ratios = [one[goal.name] / other[goal.name] for one, other in zip(mine, others, strict=False)]
        return Figure(statistics.median(ratios), min(ratios), max(ratios)) if ratios else None
    figure = (
        results.figure(f"{goal.contender}/{goal.workload}", goal.name)
        if goal.workload
        else results.across(goal.contender, goal.name)
    )
    if figure is None or not goal.name.endswith("_kib"):
        return figure
    scale = megabytes(1) if goal.unit == " MB" else 1.024
    return Figure(figure.median * scale, figure.low * scale, figure.high * scale)
