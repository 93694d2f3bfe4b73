"""The whole road: submit, sandbox, receipt, the client's answer to it; SQLite with synchronous=FULL.

`python -m bench.endtoend [--count N]`. The clock runs from the first SUBMIT_SM to the last DELIVER_SM_RESP.
"""

from __future__ import annotations

import argparse
from typing import Any

from .servers import gateway, load


def run(count: int = 100_000, rounds: int = 2) -> dict[str, Any]:
    best = []
    for _ in range(rounds):
        with gateway(provider='status_delay = "0s"') as server:
            options = ("--receipts", "--count", str(count), "--seconds", "120", "--window", "50")
            best.append(load(server, *options))
    one = sorted(best, key=lambda result: result["seconds"])[len(best) // 2]
    return {
        "messages": count,
        "receipts answered": one["receipts"],
        "end to end a second (at least 15,000)": one["receipts"] / one["seconds"],
        "refused": one["refused"],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.endtoend", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    for name, value in run(parser.parse_args().count).items():
        print(f"{name:45} {value:12,.2f}")
