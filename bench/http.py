"""The whole road over real HTTP on loopback, and the transport alone: `python -m bench.http [--count N]`.

Client, gateway and provider are a process each. SMPP submit → SQLite (FULL) → POST to the provider → the final state,
by callbacks to the gateway's HTTP listener or with the provider's answer → SQLite → DELIVER_SM → the client's answer
to it. The clock runs from the first SUBMIT_SM to the last DELIVER_SM_RESP. With one message in a request, and with up
to 100.

Told beside it: the processor time a message costs the gateway, which says what a core manages whatever else the machine
does, and what the same run makes without HTTP, through the sandbox.
"""

from __future__ import annotations

import argparse
import sys
from statistics import median
from typing import Any

from . import transports
from .provider import SECRET
from .servers import free_port, gateway, listening, load

TOKEN = "0123456789abcdef0123456789abcdef"

PROVIDER = """
base_url = "http://127.0.0.1:{port}"
token = "0123456789abcdef"
callback_secret = "{secret}"
callback_token = "{token}"
max_in_flight = {at_once}
batch = {batch}
"""

#: Messages in a request, and requests at once.
SHAPES = {"unbatched": (1, 64), "batched": (100, 8)}
#: How the provider tells the final states: 500 in a callback, each in a callback of its own, with the answer.
STATES = ("callback", "single callback", "answer")
TARGETS = {
    f"{shape}, states by {states}": least
    for shape, least in (("unbatched", 5_000), ("batched", 15_000))
    for states in ("callback", "answer")
}


def once(batch: int, at_once: int, states: str, count: int) -> dict[str, Any]:
    """One run; the figures of `bench.load` and the seconds of processor time that the gateway has used."""
    http = free_port()
    options = ["--states", states.split()[-1]]
    if states != "answer":
        options += ["--callback", f"127.0.0.1:{http}/callback/measured/{TOKEN}"]
    if states == "single callback":
        options += ["--together", "1"]
    with listening(sys.executable, "-m", "bench.provider", *options) as peer:
        settings = PROVIDER.format(port=peer.port, secret=SECRET, token=TOKEN, at_once=at_once, batch=batch)
        adapter = "bench.adapter.Answering" if states == "answer" else "bench.adapter.Wide"
        with gateway(adapter=adapter, provider=settings, http=http) as server:
            before = server.processor()
            return {**load(server, *_offered(count)), "cpu": server.processor() - before}


def without(count: int) -> dict[str, Any]:
    """The same through the sandbox, within the process."""
    with gateway(provider='status_delay = "0s"') as server:
        before = server.processor()
        return {**load(server, *_offered(count)), "cpu": server.processor() - before}


#: Messages that have no receipt yet, at most. Without a limit the gateway accepts faster than messages walk the road,
#: and a queue on disk is measured as well: `python -m bench.endtoend` tells that figure.
UNDER_WAY = 2_000


def _offered(count: int) -> tuple[str, ...]:
    under_way = str(UNDER_WAY)
    return "--receipts", "--count", str(count), "--seconds", "120", "--window", "50", "--under-way", under_way


def run(count: int = 50_000, rounds: int = 3) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    runs: dict[str, list[dict[str, Any]]] = {}
    for _ in range(rounds):
        for shape, (batch, at_once) in SHAPES.items():
            for states in STATES:
                name = f"{shape}, states by {states}"
                runs.setdefault(name, []).append(once(batch, at_once, states, count))
        runs.setdefault("without HTTP", []).append(without(count))
    for name, many in runs.items():
        target = f" (at least {TARGETS[name]:,})" if name in TARGETS else ""
        figures[f"{name}: a second{target}"] = median(one["receipts"] / one["seconds"] for one in many)
        figures[f"{name}: µs of processor a message"] = median(one["cpu"] / one["receipts"] * 1e6 for one in many)
        if left := sum(count - one["receipts"] for one in many):
            figures[f"{name}: without a receipt"] = left
    return {**figures, **transports.run()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.http", description=__doc__)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    for name, value in run(chosen.count, chosen.rounds).items():
        print(f"{name:60} {value:12,.2f}")
