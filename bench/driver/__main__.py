"""`bench/run` after it has installed and built: reads the command line, measures in rounds and shows the result."""

import argparse
import os
import shutil
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

from . import backend, network, readiness
from .contenders import CONTENDERS, Site, versions
from .process import LOAD_CPU
from .results import Results, machine
from .rounds import cells, measure
from .table import tables
from .workloads import WORKLOADS

BENCH = Path(__file__).parent.parent


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("--only", nargs="+", default=["*"], metavar="CONTENDER/WORKLOAD", help="patterns, as in nginx/*-32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="of each measurement")
    parser.add_argument("--json", type=Path, default=BENCH / "results" / "latest.json", help="where the samples are kept")
    parser.add_argument("--proxy", type=Path, required=True, help="another build of outrigger-proxy")
    parser.add_argument("--around", default="", metavar="COMMAND", help="what Outrigger's proxies are run by, as in valgrind --tool=callgrind")
    parser.add_argument("--beside", default="", metavar="COMMAND", help="runs while a load does; {pid} is the contender's, as in perf stat --pid {pid}")
    for program in ("load", "control-plane", "envoy"):
        parser.add_argument(f"--{program}", type=Path, required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    os.sched_setaffinity(0, {LOAD_CPU})
    network.set_up()
    with tempfile.TemporaryDirectory(prefix="outrigger-bench-") as files:
        os.chmod(files, 0o755)
        # The proxies run as users of their own, who may not be able to read where it was built.
        proxy = Path(shutil.copy(args.proxy, files))
        site = Site(Path(files), proxy, args.load, args.envoy, tuple(args.around.split()), args.beside)
        control_plane = backend.start_control_plane(site, args.control_plane)
        readiness.until(readiness.exists(site.files / "ca.pem"), [control_plane], "the control plane")
        results = Results(machine(), versions(site), args.rounds, args.seconds)
        chosen = [
            cell for cell in cells(CONTENDERS, WORKLOADS) if any(fnmatch(cell.name, pattern) for pattern in args.only)
        ]
        for number in range(args.rounds):
            for cell in chosen:
                print(f"round {number + 1} of {args.rounds}: {cell.name}", file=sys.stderr)
                results.add(cell.name, measure(cell, site, args.seconds))
        control_plane.end()
    print("\n".join(tables(results)))
    results.write(args.json)


if __name__ == "__main__":
    sys.exit(main())
