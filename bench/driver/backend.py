"""The servers behind every contender, on the load's CPU: nginx for HTTP."""

from pathlib import Path

from . import network
from .contenders import Protocol, Site
from .process import LOAD_CPU, Process


def start(site: Site, protocol: Protocol) -> Process:
    """Starts the server for all pods' addresses."""
    (site.files / "16384").write_bytes(b"x" * 16384)
    config = site.fill("backend.conf", port=network.PORT)
    return Process(["/usr/sbin/nginx", "-c", config], LOAD_CPU, site.files / "backend.log")


def start_control_plane(site: Site, program: Path) -> Process:
    """What tells Outrigger's proxies the rules of bench/manifests. Whoever sees ca.pem may connect."""
    manifests = Path(__file__).parent.parent / "manifests"
    return Process([program, manifests, site.files], LOAD_CPU, site.files / "control-plane.log")
