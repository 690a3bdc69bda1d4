"""What was measured: samples by cell, the machine and the versions, as JSON; and what a cell's samples say
together."""

import json
import os
import platform
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from .workloads import Sample


@dataclass(frozen=True)
class Figure:
    """The median of the rounds, and the lowest and the highest of them."""

    median: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """Half of what lies between the lowest and the highest."""
        return (self.high - self.low) / 2


@dataclass
class Results:
    """A run. `cells` has the samples of each contender/workload, a round each."""

    machine: dict[str, str]
    versions: dict[str, str]
    rounds: int
    seconds: int
    began: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    cells: dict[str, list[Sample]] = field(default_factory=dict)

    def add(self, cell: str, sample: Sample) -> None:
        self.cells.setdefault(cell, []).append(sample)

    def figure(self, cell: str, name: str) -> Figure | None:
        """None if the cell was not measured, or has no such figure."""
        return _figure(self.cells.get(cell, []), name)

    def across(self, contender: str, name: str) -> Figure | None:
        """The same of all cells of a contender, for what no load has a part in."""
        samples = (samples for cell, samples in self.cells.items() if cell.startswith(f"{contender}/"))
        return _figure([sample for some in samples for sample in some], name)

    def figures(self) -> Iterator[tuple[str, str, Figure]]:
        """Every cell, each of its figures' names, and the figure."""
        for cell, samples in self.cells.items():
            for name in dict.fromkeys(name for sample in samples for name in sample):
                if figure := self.figure(cell, name):
                    yield cell, name, figure

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, file: Path) -> "Results":
        return cls(**json.loads(file.read_text()))


def _figure(samples: list[Sample], name: str) -> Figure | None:
    values = [sample[name] for sample in samples if name in sample]
    return Figure(statistics.median(values), min(values), max(values)) if values else None


def machine() -> dict[str, str]:
    """The machine as a reader would describe it."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1024**2
    system = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return {
        "cpu": f"{os.cpu_count()} x {model}",
        "memory": f"{memory:.0f} GiB",
        "kernel": f"Linux {platform.release()}",
        "system": system.get("PRETTY_NAME", "").strip('"'),
    }
