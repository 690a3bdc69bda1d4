"""The network that everything runs in: loopback of a namespace of its own, with the addresses of a small cluster,
and the redirection that a pod has. It ends with the last process in it."""

import subprocess
from pathlib import Path

SERVICE = "10.96.0.10"
RAW_SERVICE = "10.96.0.20"
PODS = [f"10.244.1.{number}" for number in range(1, 11)]
# The same servers, reached through the proxy beside them.
MESHED_POD = "10.245.1.1"
PORT = 8080

OUTBOUND_PORT = 15001
INBOUND_PORT = 15006
# Users that proxies run as; what they are tells the redirection whose connections it sees.
OUTBOUND_USER = 1337
INBOUND_USER = 1338
PAIRED_USER = 1339

RULES = f"""*nat
-A OUTPUT -p tcp -d 10.96.0.0/16 -m owner ! --uid-owner {OUTBOUND_USER}-{PAIRED_USER} -j REDIRECT --to-ports {OUTBOUND_PORT}
-A OUTPUT -p tcp -d 10.245.0.0/16 -m owner ! --uid-owner {INBOUND_USER} -j REDIRECT --to-ports {INBOUND_PORT}
-A OUTPUT -p tcp -d 10.244.0.0/16 -m owner --uid-owner {PAIRED_USER} -j REDIRECT --to-ports {INBOUND_PORT}
COMMIT
"""

SYSCTLS = {
    # Connections one after another must not run out of ports; the proxies' own are below the range.
    "net/ipv4/ip_local_port_range": "20000 65000",
    "net/ipv4/tcp_tw_reuse": "1",
    "net/netfilter/nf_conntrack_tcp_timeout_time_wait": "1",
}


def set_up() -> None:
    """Addresses, redirection and limits. Must run in a network namespace that nothing else uses."""
    _run("ip", "link", "set", "lo", "up")
    for network in ("10.96.0.0/16", "10.244.0.0/16", "10.245.0.0/16"):
        _run("ip", "route", "add", "local", network, "dev", "lo")
    _run("iptables-restore", "--noflush", text=RULES)
    for name, value in SYSCTLS.items():
        Path("/proc/sys", name).write_text(value)


def _run(*command: str, text: str | None = None) -> None:
    subprocess.run(command, input=text, text=True, check=True)
