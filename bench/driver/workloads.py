"""The loads: each drives one contender for some seconds and gives one sample, a name to a number. Closed loops are
wrk's; what it cannot do is done by bench/load."""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from . import network
from .process import LOAD_CPU

# What has no answer from the machine within this is broken.
PATIENCE = 30
WARM_UP = 0.2
UNARY_RATE = 3_000
STREAM_RATE = 6_000
STREAMS = 32
HELD = 1_000

Sample = dict[str, float]
Backend = Literal["nginx", "echo", "held"]


@dataclass(frozen=True)
class Target:
    """Where to send a load, how long, and what to look at meanwhile."""

    address: str
    seconds: float
    load: Path
    # Resident memory of the contender, in KiB.
    memory: Callable[[], float]


@dataclass(frozen=True)
class Workload:
    """`run` blocks until the load is over; every sample has `requests`, `seconds` and `errors`. `warm` comes before it
    and is not measured: in it the proxy makes its connections to the pods."""

    name: str
    title: str
    backend: Backend
    run: Callable[[Target], Sample]
    warm: Callable[[Target], object] | None = None
    # Those for whom it has a meaning; None is everybody.
    contenders: frozenset[str] | None = None
    # Whether it is about time, or else about memory.
    is_speed: bool = True
    # In words what is not plain from the title.
    remark: str = ""


def _pinned(*command: str | Path) -> list[str]:
    return ["taskset", "--cpu-list", str(LOAD_CPU), *map(str, command)]


def _done(*command: str | Path, seconds: float) -> subprocess.CompletedProcess[str]:
    words = _pinned(*command)
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds + PATIENCE, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def _sample(text: str) -> Sample:
    sample: Sample = json.loads(text)
    return sample


def _wrk(connections: int, size: int, *headers: str) -> Callable[[Target], Sample]:
    def run(target: Target) -> Sample:
        done = _done(
            *("wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{target.seconds:.0f}s"),
            *("--script", Path(__file__).with_name("report.lua")),
            *(word for header in headers for word in ("--header", header)),
            f"http://{target.address}/{size}",
            seconds=target.seconds,
        )
        return _sample(done.stderr)

    return run


def _warm(connections: int) -> Callable[[Target], object]:
    return lambda target: _done(target.load, "warm", target.address, str(connections), str(WARM_UP), seconds=WARM_UP)


def _grpc(rate: int, *flags: str) -> Callable[[Target], Sample]:
    def run(target: Target) -> Sample:
        words = ("grpc", target.address, "--rate", str(rate), "--seconds", str(target.seconds), *flags)
        return _sample(_done(target.load, *words, seconds=target.seconds).stdout)

    return run


def _warm_grpc(target: Target) -> object:
    return _grpc(UNARY_RATE)(replace(target, seconds=WARM_UP))


def _hold(target: Target) -> Sample:
    began = time.monotonic()
    command = _pinned(target.load, "open", target.address, f"127.0.0.1:{network.PORT}", str(HELD))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        before = target.memory()
        sample = {
            "open_rss_kib": _memory_when(client, "open", target),
            "kept_rss_kib": _memory_when(client, "idle", target),
        }
        sample["pair_kib"] = (sample["open_rss_kib"] - before) / HELD
    return {"requests": HELD, "seconds": time.monotonic() - began, "errors": 0, **sample}


def _memory_when(client: subprocess.Popen[str], state: str, target: Target) -> float:
    """Waits until the client says that it has come so far, and lets it go on after a look."""
    assert client.stdin
    assert client.stdout
    if (said := client.stdout.readline().strip()) != state:
        raise RuntimeError(f"the client of {target.address} said {said!r} and not {state!r}")
    measured = target.memory()
    client.stdin.write("\n")
    client.stdin.flush()
    return measured


L7 = frozenset({"direct", "nginx", "haproxy", "envoy", "outbound", "inbound", "paired"})
PROXIES = L7 - {"direct"} | {"floor", "redirected", "hyper", "opaque"}
OPEN_LOOP = "Open loop, 4 connections, messages of 100 bytes: latency is from the moment at which"
SIZES = {3: "3 bytes", 16384: "16 KiB"}

WORKLOADS = (
    *(
        Workload(
            f"{size}b-{connections}",
            f"{words}, {connections} connection{'s' * (connections > 1)}",
            "nginx",
            _wrk(connections, size),
            _warm(connections),
        )
        for size, words in SIZES.items()
        for connections in (1, 32, 256)
    ),
    Workload(
        "connect-32",
        "A new connection for each request, 32 at a time",
        "nginx",
        _wrk(32, 3, "Connection: close"),
        _warm(32),
    ),
    Workload(
        "grpc-unary",
        f"gRPC, {UNARY_RATE:,} calls a second",
        "echo",
        _grpc(UNARY_RATE),
        _warm_grpc,
        L7,
        remark=f"{OPEN_LOOP} a call was due.",
    ),
    Workload(
        "grpc-stream",
        f"gRPC, {STREAM_RATE:,} messages a second in {STREAMS} streams",
        "echo",
        _grpc(STREAM_RATE, "--streams", str(STREAMS)),
        _warm_grpc,
        L7,
        remark=f"{OPEN_LOOP} a message was due, and a request is a message.",
    ),
    Workload("hold-1000", f"{HELD:,} connections", "held", _hold, contenders=PROXIES, is_speed=False),
)
