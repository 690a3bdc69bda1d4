"""`bench/run` after it has installed and built: reads the command line, measures in rounds and shows the result."""

import argparse
import os
import resource
import shutil
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

from . import backend, network, readiness, report
from .contenders import CONTENDERS, Site, versions
from .process import LOAD_CPU
from .results import Results, machine
from .rounds import cells, measure
from .workloads import WORKLOADS

QUICK = ("*/3b-32", "*/grpc-unary", "*/hold-1000")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/run", description="Measures Outrigger beside what a user would pick instead."
    )
    only = "what is measured, by patterns such as 'nginx/*-32'; all without it"
    parser.add_argument("--only", nargs="+", metavar="CONTENDER/WORKLOAD", help=only)
    parser.add_argument("--list", action="store_true", help="show what can be measured, and end")
    parser.add_argument("--quick", action="store_true", help=f"one round of a second of {', '.join(QUICK)}")
    parser.add_argument("--rounds", type=int, help="3 if it is not given")
    parser.add_argument("--seconds", type=int, help="of each measurement; 2 if it is not given")
    parser.add_argument("--compare", type=Path, metavar="JSON", help="an earlier run; the kept one if it is not given")
    keep = "keep this run as the one to compare with, and write it into README.md"
    parser.add_argument("--keep", action="store_true", help=keep)
    parser.add_argument("--proxy", type=Path, metavar="FILE", required=True, help="another build of outrigger-proxy")
    around = "what Outrigger's proxies are run by, such as 'valgrind --tool=callgrind'"
    parser.add_argument("--around", default="", metavar="COMMAND", help=around)
    beside = "runs while a load does, with {pid} for the contender's processes, such as 'perf stat --pid {pid}'"
    parser.add_argument("--beside", default="", metavar="COMMAND", help=beside)
    for program in ("load", "control-plane", "envoy"):
        parser.add_argument(f"--{program}", type=Path, required=True, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.only = args.only or (QUICK if args.quick else ("*",))
    args.rounds = args.rounds or (1 if args.quick else 3)
    args.seconds = args.seconds or (1 if args.quick else 2)
    kept = report.RESULTS / "baseline.json"
    if args.compare is None and kept.exists():
        args.compare = kept
    return args


def main() -> None:
    args = arguments()
    everything = cells(CONTENDERS, WORKLOADS)
    chosen = [cell for cell in everything if any(fnmatch(cell.name, pattern) for pattern in args.only)]
    if args.list or not chosen:
        print("\n".join(cell.name for cell in cells(CONTENDERS, WORKLOADS)))
        sys.exit(None if args.list else f"none of these is meant by {' '.join(args.only)}")
    before = Results.read(args.compare) if args.compare else None

    os.sched_setaffinity(0, {LOAD_CPU})
    # 1,000 connections are 2,000 files of a proxy, and shells begin with 1,024.
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
    network.set_up()
    with tempfile.TemporaryDirectory(prefix="outrigger-bench-") as files:
        # The proxies run as users of their own, who may not be able to read where they were built.
        os.chmod(files, 0o755)
        proxy = Path(shutil.copy(args.proxy, files))
        site = Site(Path(files), proxy, args.load, args.envoy, tuple(args.around.split()), args.beside)
        results = Results(machine(), versions(site), args.rounds, args.seconds)
        control_plane = backend.start_control_plane(site, args.control_plane)
        try:
            readiness.until(readiness.exists(site.files / "ca.pem"), [control_plane], "the control plane")
            for number in range(1, args.rounds + 1):
                for cell in chosen:
                    print(f"round {number} of {args.rounds}: {cell.name}", file=sys.stderr)
                    results.add(cell.name, measure(cell, site, args.seconds))
        finally:
            control_plane.end()
    print(report.write(results, before))
    if args.keep:
        report.keep(results)


if __name__ == "__main__":
    main()
