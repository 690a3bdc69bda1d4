"""The measuring itself: every cell (a contender under a workload) starts its contender anew, so that none has an advantage
from what another left behind, and contenders of one workload run right after one another."""

import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from . import backend, network, readiness
from .contenders import Contender, Site
from .process import LOAD_CPU, Process, busy_microseconds
from .workloads import Sample, Target, Workload

# Connections of the client, and the pool of the proxy, are made in it.
WARM_UP = 1


@dataclass(frozen=True)
class Cell:
    """One field of the table."""

    contender: Contender
    workload: Workload

    @property
    def name(self) -> str:
        return f"{self.contender.name}/{self.workload.name}"


def cells(contenders: Sequence[Contender], workloads: Sequence[Workload]) -> Iterator[Cell]:
    """All that can be measured: workloads outside, contenders inside."""
    for workload in workloads:
        for contender in contenders:
            if workload.contenders is None or contender.name in workload.contenders:
                yield Cell(contender, workload)


def measure(cell: Cell, site: Site, seconds: float) -> Sample:
    """One sample of a cell."""
    server = backend.start(site, cell.workload.backend)
    processes: list[Process] = []
    try:
        is_http = cell.workload.backend == "http"
        answers = readiness.answers if is_http else readiness.accepts
        # The pods first: an answer of a proxy without them would say something else.
        pod = f"127.0.0.1:{network.PORT}"
        readiness.until(lambda: answers(pod), [server], "the server")
        began = time.monotonic()
        processes = cell.contender.start(site, cell.workload.backend)
        readiness.until(lambda: answers(cell.contender.address), processes, cell.name)
        ready = time.monotonic() - began
        idle = _memory(processes)

        address = cell.contender.address
        cell.workload.run(Target(address, WARM_UP, site.load))
        before = sum(process.cpu_microseconds() for process in processes)
        busy, started = busy_microseconds(LOAD_CPU), time.monotonic()
        with _beside(site.beside, processes):
            sample = cell.workload.run(Target(address, seconds, site.load))
        elapsed = time.monotonic() - started
        sample["rate"] = sample["requests"] / sample["seconds"]
        sample["load_cpu_percent"] = (busy_microseconds(LOAD_CPU) - busy) / elapsed / 10_000
        if processes:
            used = sum(process.cpu_microseconds() for process in processes) - before
            sample["cpu_us"] = used / max(sample["requests"], 1)
            sample |= {"idle_rss_kib": idle, "rss_kib": _memory(processes)}
            if is_http:
                sample["ready_ms"] = ready * 1000
        for process in processes:
            process.check()
        return sample
    finally:
        for process in [*processes, server]:
            process.end()


@contextmanager
def _beside(command: str, processes: Sequence[Process]) -> Iterator[None]:
    """Runs a command until the end of the block, if there is one to run and something to look at."""
    if not command or not processes:
        yield
        return
    beside = subprocess.Popen(command.format(pid=",".join(str(pid) for process in processes for pid in process.family())).split())
    try:
        yield
    finally:
        beside.send_signal(signal.SIGINT)
        beside.wait()


def _memory(processes: Sequence[Process]) -> float:
    return sum(process.memory_kib()["rss"] for process in processes)
