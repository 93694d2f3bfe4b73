"""A client that works at a steady rate in a process of its own, so that nothing but the gateway is measured:
`python -m tests.prove.ground.neighbour PORT …`, or `Neighbour` for a proof.

It submits, asks ENQUIRE_LINK ten times a second, waits for its receipts, and says on one line of JSON what it knows:
its ledger, and how long responses, ENQUIRE_LINKs and the whole road (from SUBMIT_SM to the receipt) took.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections import Counter
from typing import Any

import uvloop

from pdu import DeliverSm

from . import apart
from .esme import Esme
from .ledger import Ledger, number_in


class Steady(Esme):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sent: dict[int, float] = {}
        #: Seconds from SUBMIT_SM to the receipt; of what has none in the end, as long as it was waited for.
        self.roads: list[float] = []

    def opened(self, number: int) -> bytes:
        self.sent[number] = time.monotonic()
        return super().opened(number)

    def told(self, pdu: DeliverSm, id: int, state: str) -> None:
        super().told(pdu, id, state)
        if (sent := self.sent.pop(number_in(pdu.short_message), 0.0)) > 0:
            self.roads.append(time.monotonic() - sent)


class Neighbour:
    """The same, as a proof sees it. What it knows goes into `ledger` when it has ended."""

    def __init__(self, port: int, ledger: Ledger, *, first: int, **options: float | str) -> None:
        self.ledger = ledger
        self._arguments = [str(port), f"--first={first}", *apart.options(**options)]
        self.latencies: list[float] = []
        self.roads: list[float] = []
        self.enquiries: list[float] = []
        self.refused = 0
        #: Still without a receipt when it ended.
        self.without = 0

    async def work(self) -> Neighbour:
        """Until it has ended."""
        told = await apart.told(__name__, *self._arguments)
        ledger = self.ledger
        ledger.acknowledged.update({int(number): id for number, id in told["acknowledged"].items()})
        ledger.refused.update({int(number): status for number, status in told["refused"].items()})
        ledger.unanswered.update(told["unanswered"])
        for id, states in told["receipts"].items():
            ledger.receipts[int(id)].update(Counter(states))
        self.latencies, self.roads, self.enquiries = told["latencies"], told["roads"], told["enquiries"]
        self.refused, self.without = len(told["refused"]), told["without"]
        return self


async def main(options: argparse.Namespace) -> None:
    os.nice(options.nice)
    ledger = Ledger(options.first)
    esme = await Steady.connect(options.port, ledger, system_id=options.system_id, window=options.window)

    async def enquire() -> None:
        while True:
            await esme.enquire()
            await asyncio.sleep(0.1)

    asking = asyncio.ensure_future(enquire())
    await esme.offer(options.rate, options.seconds)
    until = time.monotonic() + options.patience
    while (ledger.open or ledger.receipted < len(ledger.acknowledged)) and time.monotonic() < until:
        await asyncio.sleep(0.01)
    asking.cancel()
    waited = [time.monotonic() - esme.sent[number] for number in ledger.acknowledged if number in esme.sent]
    told = {
        "acknowledged": ledger.acknowledged, "refused": ledger.refused,
        "unanswered": [*ledger.unanswered, *ledger.open],
        "receipts": ledger.receipts, "latencies": ledger.latencies, "roads": esme.roads + waited,
        "enquiries": esme.enquiries, "without": len(ledger.acknowledged) - ledger.receipted,
    }  # fmt: skip
    print(json.dumps(told), flush=True)
    await esme.unbind()


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m tests.prove.ground.neighbour", description=__doc__)
    options.add_argument("port", type=int)
    options.add_argument("--system-id", default="neighbour")
    options.add_argument("--first", type=int, default=1, help="number of its first message")
    options.add_argument("--rate", type=float, default=50.0)
    options.add_argument("--window", type=int, default=50)
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--patience", type=float, default=30.0, help="seconds for the last receipts")
    options.add_argument("--nice", type=int, default=0)
    return options


if __name__ == "__main__":
    uvloop.run(main(parser().parse_args()))
