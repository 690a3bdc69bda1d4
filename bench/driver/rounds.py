"""The measuring itself: every cell (a contender under a workload) starts its contender anew, so that none has an
advantage from what another left behind, and contenders of one workload run right after one another."""

import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from . import backend, network, readiness
from .contenders import Contender, Protocol, Site
from .process import LOAD_CPU, Process, busy_microseconds
from .workloads import Sample, Target, Workload


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
    contender, workload = cell.contender, cell.workload
    protocol: Protocol = "grpc" if workload.backend == "echo" else "http"
    answers = readiness.answers if protocol == "http" else readiness.accepts
    pod = f"127.0.0.1:{network.PORT}"
    if readiness.accepts(pod):
        raise RuntimeError(f"{cell.name}: a server of an earlier measurement still listens on {pod}")
    server = backend.start(site, workload.backend)
    processes: list[Process] = []
    try:
        # The pods first: an answer of a proxy without them would say something else.
        readiness.until(lambda: answers(pod), [server], "the server")
        began = time.monotonic()
        processes = contender.start(site, protocol)
        readiness.until(lambda: answers(contender.address), processes, cell.name)
        ready = time.monotonic() - began
        started_rss = _memory(processes)

        target = Target(contender.address, seconds, site.load, lambda: _memory(processes))
        if workload.warm:
            workload.warm(target)
        before, busy, started = _cpu(processes), busy_microseconds(LOAD_CPU), time.monotonic()
        with _beside(site.beside, processes):
            sample = workload.run(target)
        used, busy, elapsed = (
            _cpu(processes) - before,
            busy_microseconds(LOAD_CPU) - busy,
            time.monotonic() - started,
        )
        sample["rate"] = sample["requests"] / sample["seconds"]
        sample["load_cpu_percent"] = busy / elapsed / 10_000
        if processes:
            sample["cpu_us"] = used / max(sample["requests"], 1)
            sample |= {"started_rss_kib": started_rss, "rss_kib": _memory(processes)}
            # That a port is open says less than an answer, and is not the same for everybody.
            if protocol == "http":
                sample["ready_ms"] = ready * 1000
        for process in processes:
            process.check()
        return sample
    finally:
        for process in [*processes, server]:
            process.end()


def _cpu(processes: Sequence[Process]) -> float:
    return sum(process.cpu_microseconds() for process in processes)


def _memory(processes: Sequence[Process]) -> float:
    return sum(process.memory_kib()["rss"] for process in processes)


@contextmanager
def _beside(command: str, processes: Sequence[Process]) -> Iterator[None]:
    """Runs a command until the end of the block, if there is one to run and something to look at."""
    if not command or not processes:
        yield
        return
    pids = ",".join(str(pid) for process in processes for pid in process.family())
    beside = subprocess.Popen(command.format(pid=pids).split())
    try:
        yield
    finally:
        beside.send_signal(signal.SIGINT)
        beside.wait()
