"""What quiet binds cost the busy ones: the accept rate of 20 binds alone, and with 1,980 more that only keep their
links alive with an ENQUIRE_LINK every half minute, as clients do. In turn, several rounds, the median of each.

`python -m bench.binds [--quiet N] [--rounds N] [--seconds S]`
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import threading
from collections.abc import Iterator
from itertools import cycle
from statistics import median
from typing import Any

from pdu import EnquireLink, encode

from .accept import SLOW
from .memory import open_binds
from .servers import Server, gateway, load

#: Seconds between two ENQUIRE_LINK of a client.
_EVERY = 30.0


@contextlib.contextmanager
def quiet(server: Server, count: int) -> Iterator[None]:
    """So many binds that only say that they are there."""
    links = open_binds(server, count)
    over = threading.Event()
    thread = threading.Thread(target=_keep_alive, args=(links, over))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for link in links:
            link.close()


def _keep_alive(links: list[socket.socket], over: threading.Event) -> None:
    enquire = encode(EnquireLink(sequence_number=7))
    for link in cycle(links):
        link.sendall(enquire)
        link.recv(1024)
        if over.wait(_EVERY / len(links)):
            return


def run(count: int = 1980, rounds: int = 3, seconds: float = 4.0) -> dict[str, Any]:
    options = ("--seconds", str(seconds), "--binds", "20", "--window", "10")
    alone: list[dict[str, Any]] = []
    beside: list[dict[str, Any]] = []
    for _ in range(rounds):
        with gateway(provider=SLOW) as server:
            alone.append(load(server, *options))
            with quiet(server, count):
                beside.append(load(server, *options))
    rates = [median(one["rate"] for one in found) for found in (alone, beside)]
    return {
        "20 busy binds: a second": rates[0],
        f"beside {count} quiet ones: a second": rates[1],
        "beside / alone (at least 0.90)": median(
            with_them["rate"] / without["rate"] for without, with_them in zip(alone, beside, strict=True)
        ),
        "p99 ms alone": median(one["p99_ms"] for one in alone),
        "p99 ms beside": median(one["p99_ms"] for one in beside),
        "enquire_link ms beside, the slowest": max(one["enquire_max_ms"] for one in beside),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.binds", description=__doc__)
    parser.add_argument("--quiet", type=int, default=1980)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    chosen = parser.parse_args()
    for name, value in run(chosen.quiet, chosen.rounds, chosen.seconds).items():
        print(f"{name:45} {value:12,.2f}")
