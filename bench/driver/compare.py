"""Two runs beside each other: what moved by more than both of them vary in themselves."""

from collections.abc import Iterator

from .results import Figure, Results

# Less is not worth a line.
LEAST = 0.03
# Whether more of it is better; what is not here (the busy CPU of the load, say) is no result.
FIGURES = {
    "cpu_us": False,
    "rate": True,
    "p50": False,
    "p99": False,
    "started_rss_kib": False,
    "rss_kib": False,
    "pair_kib": False,
    "ready_ms": False,
    "errors": False,
}


def compare(before: Results, after: Results) -> Iterator[str]:
    """A Markdown table of what moved since `before`; peers that moved too say that the machine did."""
    yield from (f"### Moved since {before.began}", "")
    then, now = before.machine | before.versions, after.machine | after.versions
    differ = [f"{name} ({then.get(name)} then, {now[name]} now)" for name in now if then.get(name) != now[name]]
    if differ:
        yield from (f"Not the same: {', '.join(differ)}.", "")
    rows = []
    for cell, name, new in after.figures():
        old = before.figure(cell, name)
        if name in FIGURES and old and _moved(old, new):
            better = (new.median > old.median) == FIGURES[name]
            change = f"{new.median / old.median - 1:+.0%}" if old.median else "from none"
            rows.append(
                f"| {cell} | {name} | {old.median:,.1f} | {new.median:,.1f} | {change} {'better' if better else 'worse'} |"
            )
    if not rows:
        yield from ("Nothing moved by more than the runs vary in themselves.", "")
        return
    yield from ("| | figure | then | now | |", "|---|---|---:|---:|---|", *rows, "")


def _moved(old: Figure, new: Figure) -> bool:
    difference = abs(new.median - old.median)
    return difference > (old.high - old.low) + (new.high - new.low) and difference > LEAST * abs(old.median)
