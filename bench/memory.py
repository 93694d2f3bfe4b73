"""What binds and waiting messages cost: resident memory, and the accept rate beside a long queue.

`python -m bench.memory [--waiting N] [--binds N]`
"""

from __future__ import annotations

import argparse
import socket
import time
from typing import Any

from pdu import BindTransceiver, encode

from .accept import SLOW
from .servers import Server, gateway, load

_MIB = 1024 * 1024


def idle_binds(count: int) -> dict[str, Any]:
    """Memory of binds that say nothing."""
    with gateway() as server:
        open_binds(server, 50)[0].close()
        before = server.resident()
        links = open_binds(server, count)
        time.sleep(1)
        after = server.resident()
        for link in links:
            link.close()
    return {
        "idle binds": count,
        "KiB a bind (below 16)": (after - before) / count / 1024,
    }


def open_binds(server: Server, count: int) -> list[socket.socket]:
    """So many bound links."""
    bind = encode(BindTransceiver(system_id="demo", password="demo", interface_version=0x34, sequence_number=1))
    links = []
    for _ in range(count):
        link = socket.create_connection(("127.0.0.1", server.port), 10)
        link.sendall(bind)
        link.recv(1024)
        links.append(link)
    return links


def waiting(count: int, seconds: float = 5.0) -> dict[str, Any]:
    """The accept rate with an empty queue and with a long one, and what the queue costs in memory."""
    with gateway(provider=SLOW) as server:
        load(server, "--count", "30000", "--seconds", "60")
        before = server.resident()
        empty = load(server, "--seconds", str(seconds))
        load(server, "--count", str(count), "--seconds", "300")
        full = load(server, "--seconds", str(seconds))
        after = server.resident()
    return {
        "waiting messages": count,
        "MiB more (at most 64)": (after - before) / _MIB,
        "accepted a second, short queue": empty["rate"],
        "accepted a second, long queue": full["rate"],
        "long / short (at least 0.85)": full["rate"] / empty["rate"],
    }


def run(binds: int = 1000, count: int = 1_000_000) -> dict[str, Any]:
    return {**idle_binds(binds), **waiting(count)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--binds", type=int, default=1000)
    parser.add_argument("--waiting", type=int, default=1_000_000)
    chosen = parser.parse_args()
    for name, value in run(chosen.binds, chosen.waiting).items():
        print(f"{name:45} {value:12,.2f}")
