"""Waits until something answers, and says how long that took."""

import http.client
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from .process import Process

PATIENCE = 10.0
PAUSE = 0.001


def until(ready: Callable[[], bool], processes: Iterable[Process], what: str) -> float:
    """Seconds until `ready`. Raises if a process has ended, or after ten seconds."""
    began = time.monotonic()
    while not ready():
        for process in processes:
            process.check()
        if time.monotonic() - began > PATIENCE:
            logs = "\n".join(process.log.read_text(errors="replace")[-2000:] for process in processes)
            raise RuntimeError(f"{what} is not ready after {PATIENCE:g} s:\n{logs}")
        time.sleep(PAUSE)
    return time.monotonic() - began


def answers(address: str) -> bool:
    """Whether a request for the smallest body is answered with it."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    try:
        connection.request("GET", "/3")
        response = connection.getresponse()
        return response.status == 200 and response.read() == b"abc"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def accepts(address: str) -> bool:
    """Whether a connection can be made."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except OSError:
        return False
    return True


def exists(file: Path) -> Callable[[], bool]:
    """Whether a file has been written."""
    return lambda: file.exists() and file.stat().st_size > 0
