"""What is measured: how each contender is started in front of the pods, and where a client dials it. Templates of
the peers' configuration are in bench/peers; what Outrigger's proxies do comes from the control plane and
bench/manifests."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from . import network
from .process import PROXY_CPU, Process

Protocol = Literal["http", "grpc"]
PEERS = Path(__file__).parent.parent / "peers"


@dataclass(frozen=True)
class Site:
    """Programs, and a directory that every user may read."""

    files: Path
    proxy: Path
    load: Path
    envoy: Path
    # Put before the command of Outrigger's proxies, as in ("valgrind", "--tool=callgrind").
    around: tuple[str, ...] = ()
    # Run while a load does, with {pid} for the contender's processes, as in "perf record --pid {pid}".
    beside: str = ""

    def fill(self, template: str, **values: object) -> Path:
        """Writes a template with values in the place of its names in braces."""
        text = (PEERS / template).read_text()
        for name, value in {"files": self.files, **values}.items():
            text = text.replace("{" + name + "}", str(value))
        filled = self.files / template
        filled.write_text(text)
        return filled

    def start(self, *command: str | Path, user: int | None = None) -> Process:
        name = f"{Path(command[0]).name}-{user or 0}.log"
        return Process(command, PROXY_CPU, self.files / name, user, self.patience)

    @property
    def patience(self) -> float:
        """A program around another has something to write when that ends."""
        return 30 if self.around else 0


@dataclass(frozen=True)
class Contender:
    """`start` gives the processes that are the contender, of which none need be ready."""

    name: str
    title: str
    address: str
    start: Callable[[Site, Protocol], list[Process]]


def _direct(_site: Site, _protocol: Protocol) -> list[Process]:
    return []


def _floor(site: Site, _protocol: Protocol) -> list[Process]:
    return [site.start(site.load, "floor", "127.0.0.1:8001", f"{network.PODS[0]}:{network.PORT}")]


def _redirected(site: Site, _protocol: Protocol) -> list[Process]:
    """The floor in a sidecar's place."""
    listen = f"127.0.0.1:{network.OUTBOUND_PORT}"
    to = f"{network.PODS[0]}:{network.PORT}"
    return [site.start(site.load, "floor", listen, to, user=network.OUTBOUND_USER)]


def _hyper(site: Site, _protocol: Protocol) -> list[Process]:
    return [site.start(site.load, "pass", "127.0.0.1:8005", f"{network.PODS[0]}:{network.PORT}")]


def _nginx(site: Site, protocol: Protocol) -> list[Process]:
    config = site.fill(
        "nginx.conf",
        port=8002,
        http2="http2" if protocol == "grpc" else "",
        servers="\n".join(f"        server {pod}:{network.PORT};" for pod in network.PODS),
        # The two directives differ in nothing else.
        **{"pass": "grpc_pass grpc" if protocol == "grpc" else "proxy_pass http"},
    )
    return [site.start("/usr/sbin/nginx", "-c", config)]


def _haproxy(site: Site, protocol: Protocol) -> list[Process]:
    http2 = "proto h2" if protocol == "grpc" else ""
    servers = (f"    server {pod} {pod}:{network.PORT} {http2} pool-max-conn -1" for pod in network.PODS)
    config = site.fill("haproxy.cfg", port=8003, http2=http2, servers="\n".join(servers))
    return [site.start("/usr/sbin/haproxy", "-db", "-f", config)]


def _envoy(site: Site, protocol: Protocol) -> list[Process]:
    endpoint = "              - endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}"
    config = site.fill(
        "envoy.yaml",
        port=8004,
        upstream="http2_protocol_options" if protocol == "grpc" else "http_protocol_options",
        servers="\n".join(endpoint.format(pod, network.PORT) for pod in network.PODS),
    )
    quiet = ("--log-level", "error", "--disable-hot-restart")
    return [site.start(site.envoy, "--concurrency", "1", *quiet, "--config-path", config)]


def _sidecar(site: Site, pod: str, user: int, **ports: int) -> Process:
    flags: list[str | Path] = [
        *("--discovery-address", "127.0.0.1:15012", "--ca-file", site.files / "ca.pem"),
        *("--token-file", site.files / f"default.{pod}.token"),
        *(word for name, port in ports.items() for word in (f"--{name}-port", str(port))),
    ]
    return site.start(*site.around, site.proxy, "--log", "warn", "run", *flags, user=user)


def _outbound(site: Site, _protocol: Protocol) -> list[Process]:
    return [_sidecar(site, "client", network.OUTBOUND_USER)]


def _inbound(site: Site, _protocol: Protocol) -> list[Process]:
    return [_sidecar(site, "web-1", network.INBOUND_USER)]


def _paired(site: Site, _protocol: Protocol) -> list[Process]:
    # Both in one network namespace, so that the second needs ports of its own where it is not redirected to.
    second = {"outbound": 15101, "admin": 15100, "metrics": 15120, "readiness": 15121}
    first = {"inbound": 15106}
    return [
        _sidecar(site, "client", network.PAIRED_USER, **first),
        _sidecar(site, "web-1", network.INBOUND_USER, **second),
    ]


CONTENDERS = (
    Contender("direct", "direct", f"{network.PODS[0]}:{network.PORT}", _direct),
    Contender("floor", "TCP floor (copy)", "127.0.0.1:8001", _floor),
    Contender("redirected", "TCP floor, redirected", f"{network.RAW_SERVICE}:80", _redirected),
    Contender("hyper", "HTTP/1 floor (hyper)", "127.0.0.1:8005", _hyper),
    Contender("nginx", "nginx", "127.0.0.1:8002", _nginx),
    Contender("haproxy", "haproxy", "127.0.0.1:8003", _haproxy),
    Contender("envoy", "Envoy", "127.0.0.1:8004", _envoy),
    Contender("outbound", "Outrigger outbound", f"{network.SERVICE}:80", _outbound),
    Contender("inbound", "Outrigger inbound", f"{network.MESHED_POD}:{network.PORT}", _inbound),
    Contender("paired", "Outrigger both in a row", f"{network.SERVICE}:80", _paired),
    Contender("opaque", "Outrigger opaque TCP", f"{network.RAW_SERVICE}:80", _outbound),
)


def versions(site: Site) -> dict[str, str]:
    """What each program says that it is."""
    commands: dict[str, tuple[str | Path, str]] = {
        "nginx": ("/usr/sbin/nginx", "-v"),
        "haproxy": ("/usr/sbin/haproxy", "-v"),
        "envoy": (site.envoy, "--version"),
        "outrigger": (site.proxy, "--version"),
        "wrk": ("wrk", "-v"),
    }
    found = {}
    for name, command in commands.items():
        # wrk ends with 1 whenever it is asked.
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        number = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
        found[name] = number.group() if number else "unknown"
    return found
