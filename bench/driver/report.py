"""A run as people read it: `latest.md` and `latest.svg` beside the JSON; kept as `baseline.*` and in the README if
it is asked for."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from .compare import compare
from .plot import plot
from .reach import reach
from .results import Results
from .table import FOOTNOTE, details, summary

RESULTS = Path(__file__).parent.parent / "results"
README = Path(__file__).parent.parent.parent / "README.md"
# What is between these lines of the README is written by `keep`.
BEGIN, END = "<!-- bench/run --keep writes this -->", "<!-- until here -->"


def write(results: Results, before: Results | None) -> str:
    """Writes `latest.*` and gives its text."""
    text = "\n".join(_text(results, before))
    RESULTS.mkdir(exist_ok=True)
    results.write(RESULTS / "latest.json")
    (RESULTS / "latest.md").write_text(text)
    (RESULTS / "latest.svg").write_text(plot(results))
    return text


def keep(results: Results) -> None:
    """Makes the latest run the one that later ones are compared with, and that the README shows."""
    results.write(RESULTS / "baseline.json")
    (RESULTS / "baseline.md").write_text("\n".join(_text(results, None)))
    shutil.copy(RESULTS / "latest.svg", RESULTS / "baseline.svg")
    before, begin, rest = README.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        fragment = "\n".join([*_head(results), *summary(results)])
        README.write_text(f"{before}{begin}\n{fragment}\n{end}{after}")


def _text(results: Results, before: Results | None) -> Iterator[str]:
    yield from _head(results)
    yield from summary(results)
    yield from ("", FOOTNOTE, "")
    yield from reach(results)
    yield from details(results)
    if before:
        yield from compare(before, results)


def _head(results: Results) -> Iterator[str]:
    machine, versions = results.machine, results.versions
    yield f"{results.began[:10]}: {', '.join(machine.values())}."
    yield f"{', '.join(f'{name} {version}' for name, version in versions.items())}."
    yield f"Rounds: {results.rounds}, of {results.seconds} s each; 32 connections with keep-alive and 3 bytes, if it does"
    yield "not say otherwise."
    yield ""
