"""The loads: each drives one contender for some seconds and gives one sample, a name to a number. Closed loop by wrk; what wrk
cannot do is done by bench/load."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .contenders import Protocol
from .process import LOAD_CPU

Sample = dict[str, float]


@dataclass(frozen=True)
class Target:
    """Where to send a load, how long, and with what."""

    address: str
    seconds: float
    load: Path


@dataclass(frozen=True)
class Workload:
    """`run` blocks until the load is over. `requests` and `errors` are in every sample."""

    name: str
    title: str
    backend: Protocol
    run: Callable[[Target], Sample]
    # None is everybody.
    contenders: tuple[str, ...] | None = None


def _pinned(*command: str | Path, timeout: float) -> subprocess.CompletedProcess[str]:
    words = ["taskset", "--cpu-list", str(LOAD_CPU), *map(str, command)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def _wrk(connections: int, size: int, *headers: str) -> Callable[[Target], Sample]:
    def run(target: Target) -> Sample:
        done = _pinned(
            *("wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{target.seconds:g}s"),
            *("--script", Path(__file__).with_name("report.lua")),
            *(word for header in headers for word in ("--header", header)),
            f"http://{target.address}/{size}",
            timeout=target.seconds + 30,
        )
        return json.loads(done.stderr)

    return run


WORKLOADS = (
    *(
        Workload(f"{size}b-{connections}", f"{size} bytes, {connections} connections", "http", _wrk(connections, size))
        for size in (3, 16384)
        for connections in (1, 32, 256)
    ),
    Workload("connect-32", "a new connection for each request, 32 at a time", "http", _wrk(32, 3, "Connection: close")),
)
