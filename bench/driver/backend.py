"""The servers behind every contender, on the load's CPU, and the control plane of Outrigger's proxies beside them."""

from pathlib import Path

from . import network
from .contenders import Site
from .process import LOAD_CPU, Process
from .workloads import Backend


def start(site: Site, kind: Backend) -> Process:
    """Starts the server for all pods' addresses."""
    log = site.files / "backend.log"
    if kind == "nginx":
        (site.files / "16384").write_bytes(b"x" * 16384)
        config = site.fill("backend.conf", port=network.PORT)
        return Process(["/usr/sbin/nginx", "-c", config], LOAD_CPU, log)
    return Process([site.load, kind, f"0.0.0.0:{network.PORT}"], LOAD_CPU, log)


def start_control_plane(site: Site, program: Path) -> Process:
    """What tells Outrigger's proxies the rules of bench/manifests. Whoever sees ca.pem may connect."""
    manifests = Path(__file__).parent.parent / "manifests"
    return Process([program, manifests, site.files], LOAD_CPU, site.files / "control-plane.log")
