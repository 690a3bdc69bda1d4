"""Processes of a run: started on one CPU, asked what they cost, ended by their id."""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

LOAD_CPU = 0
PROXY_CPU = 1


class Process:
    """A program and what it has started, on one CPU."""

    def __init__(
        self, command: Sequence[str | Path], cpu: int, log: Path, user: int | None = None, patience: float = 0
    ) -> None:
        """`patience` is how many seconds it gets to end by itself, for what it has to write then."""
        self.log = log
        self.patience = patience
        self.name = Path(command[0]).name
        with log.open("w") as output:
            self._popen = subprocess.Popen(
                ["taskset", "--cpu-list", str(cpu), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def check(self) -> None:
        """Raises if it has ended by itself, with the end of what it said."""
        if self._popen.poll() is not None:
            said = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self.name} ended with {self._popen.returncode}:\n{said}")

    def cpu_microseconds(self) -> float:
        """What all its threads have used so far, user and system."""
        total = 0
        for pid in self.family():
            for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                total += int(thread.read_text().split()[0])
        return total / 1000

    def memory_kib(self) -> dict[str, int]:
        """Resident memory, and the part of it that is the processes' own and not a file's."""
        sums = {"VmRSS": 0, "RssAnon": 0}
        for pid in self.family():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in sums:
                    sums[name] += int(value.split()[0])
        return {"rss": sums["VmRSS"], "anonymous": sums["RssAnon"]}

    def end(self) -> None:
        """Ends it and what it has started, parents first, so that none starts its children anew."""
        family = self.family()
        if self.patience:
            self._popen.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(self.patience)
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._popen.wait()
        for pid in family[1:]:
            # In a process namespace of its own, the driver is whom orphans are given to.
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def family(self) -> list[int]:
        """Its id, and those of what it has started."""
        family = [self.pid]
        for pid in family:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                family.extend(map(int, children.read_text().split()))
        return family


def busy_microseconds(cpu: int) -> float:
    """What a CPU has been used for so far by anybody."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{cpu}":
            user, nice, system, _idle, _wait, irq, softirq = map(int, ticks[:7])
            return (user + nice + system + irq + softirq) * 1_000_000 / os.sysconf("SC_CLK_TCK")
    raise RuntimeError(f"/proc/stat has no cpu{cpu}")
