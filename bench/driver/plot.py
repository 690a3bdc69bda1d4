"""The plot: bars for each contender with the range of the rounds as whiskers. Colours hold on a light page and on a
dark one."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from .contenders import CONTENDERS
from .results import Figure, Results
from .table import SUMMARY, Column, figure

WIDTH = 860
LABELS = 170
ROW = 24
TOP = 34
GAP = 70

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #57606a }
.title { font-weight: 600 }
.peer { fill: #8c959f }
.outrigger { fill: #2da44e }
.whisker { stroke: #24292f; stroke-width: 1.2 }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 }
  .peer { fill: #6e7681 }
  .whisker { stroke: #e6edf3 }
}
"""


@dataclass(frozen=True)
class Panel:
    """A column of bars."""

    title: str
    column: Column


PANELS = (
    Panel("CPU µs per request", SUMMARY[0]),
    Panel("p99 µs", SUMMARY[1]),
    Panel("memory when started, MB", SUMMARY[4]),
)


def plot(results: Results) -> str:
    """An SVG image: 32 connections, 3 bytes."""
    rows = [
        (contender, found)
        for contender in CONTENDERS
        if any(found := [figure(results, contender.name, panel.column) for panel in PANELS])
    ]
    height = TOP + ROW * len(rows) + 24
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">']
    lines.append("<title>32 connections with keep-alive, bodies of 3 bytes: less is better</title>")
    lines.append(f"<style>{STYLE}</style>")
    for number, (contender, _) in enumerate(rows):
        y = TOP + ROW * number + 15
        lines.append(f'<text x="{LABELS - 8}" y="{y}" text-anchor="end">{escape(contender.title)}</text>')
    width = (WIDTH - LABELS) / len(PANELS)
    for number, panel in enumerate(PANELS):
        x = LABELS + width * number
        lines.append(f'<text class="title" x="{x:.1f}" y="20">{escape(panel.title)}</text>')
        figures = [found[number] for _, found in rows]
        largest = max((one.high for one in figures if one), default=1)
        for row, ((contender, _), one) in enumerate(zip(rows, figures, strict=True)):
            if one:
                kind = "outrigger" if contender.title.startswith("Outrigger") else "peer"
                lines.extend(_bar(x, TOP + ROW * row, (width - GAP) / largest, one, kind, panel.column))
    legend = "32 connections, 3 bytes; whiskers are the range of the rounds; less is better"
    lines.append(f'<text x="{LABELS}" y="{height - 6}">{legend}</text>')
    lines.append("</svg>")
    return "\n".join(lines) + "\n"


def _bar(x: float, y: float, scale: float, one: Figure, kind: str, column: Column) -> Iterator[str]:
    middle = y + ROW / 2 - 1
    low, high = x + one.low * scale, x + one.high * scale
    yield f'<rect class="{kind}" x="{x:.1f}" y="{y + 3}" width="{one.median * scale:.1f}" height="{ROW - 8}" rx="2"/>'
    ends = f"M{low:.1f} {middle - 3}v6M{high:.1f} {middle - 3}v6"
    yield f'<path class="whisker" d="M{low:.1f} {middle}H{high:.1f}{ends}"/>'
    yield f'<text x="{high + 6:.1f}" y="{middle + 4}">{column.show(one.median)}</text>'
