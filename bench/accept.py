"""How fast SUBMIT_SM are accepted: bare server, gateway and node-smpp in turn, several rounds, the median of each.

`python -m bench.accept [--rounds N] [--seconds S]`
"""

from __future__ import annotations

import argparse
from statistics import median
from typing import Any

from .servers import bare, gateway, load, node

#: A provider that takes one message a second: what is accepted waits, so that accepting is what is measured.
SLOW = "rate = 1"


def run(rounds: int = 3, seconds: float = 4.0, *, beside_node: bool = True) -> dict[str, Any]:
    results: dict[str, list[dict[str, Any]]] = {"bare": [], "gateway": [], "node": []}
    options = ("--seconds", str(seconds), "--binds", "10", "--window", "10")
    offered = []
    for _ in range(rounds):
        with bare() as server:
            results["bare"].append(load(server, *options))
        with gateway(provider=SLOW) as server:
            results["gateway"].append(load(server, *options))
        if beside_node and (peer := node()):
            with peer as server:
                results["node"].append(load(server, *options))
        with gateway(provider=SLOW) as server:
            offered.append(load(server, *options, "--rate", "10000"))
    rate = {name: median(one["rate"] for one in found) for name, found in results.items() if found}
    ours = results["gateway"]
    return {
        "bare a second": rate["bare"],
        "gateway a second": rate["gateway"],
        "node-smpp a second": rate.get("node", 0.0),
        "gateway / bare (at least 0.35)": rate["gateway"] / rate["bare"],
        "gateway / node-smpp (at least 3)": rate["gateway"] / rate["node"] if "node" in rate else 0.0,
        "p50 ms at full load": median(one["p50_ms"] for one in ours),
        "p99 ms at full load (below 5)": median(one["p99_ms"] for one in ours),
        "enquire_link ms, the slowest (below 100)": max(one["enquire_max_ms"] for one in ours),
        "offered 10,000: a second": median(one["rate"] for one in offered),
        "offered 10,000: p99 ms (below 2.5)": median(one["p99_ms"] for one in offered),
        "refused": sum(one["refused"] for one in ours + offered),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.accept", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    chosen = parser.parse_args()
    for name, value in run(chosen.rounds, chosen.seconds).items():
        print(f"{name:45} {value:12,.2f}")
