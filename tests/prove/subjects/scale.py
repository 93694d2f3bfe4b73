"""What a message costs when a million wait, ten million are kept, and as many are being forgotten.

Each store stands beside a short one, and both get the same load in turns: what else the machine does changes a rate by
a third within a minute, and both alike. So both do the same work besides as well, such as putting references in order,
in the same round. Beside the rates stand the processor time and the octets that a message costs,
which say the same with less noise, and which the short form is held to.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from statistics import median

import apsw

from bench.servers import load
from pdu import Pdu, SubmitSm
from smppbridge.ids import wall_clock
from smppbridge.model import Stage

from ..ground.esme import Esme
from ..ground.gateway import Gateway
from ..ground.history import Copies, multiply
from ..ground.ledger import Ledger
from ..proof import Evidence, Ground, proof

_HOUR = 3_600_000
_DAY = 24 * _HOUR
#: Seconds that one load may take.
_PATIENCE = 180
#: As schedule_delivery_time: what comes so is accepted, and nothing else is done with it.
_TOMORROW = "000001000000000R"
#: What goes there goes to a provider that takes one message a second.
_SLOW = "70009990000"
#: What goes there goes to a provider that tells the state at once: most of them overtake the answer of the send.
_EARLY = "70009990001"
REST = f"""
[providers.quick]
adapter = "bench.adapter.Strewn"
status_delay = "50ms"

[providers.early]
adapter = "bench.adapter.Strewn"
status_delay = "0s"

[providers.slow]
adapter = "sandbox"
rate = 1

[[routes]]
destination = ["{_SLOW}"]
providers = ["slow"]

[[routes]]
destination = ["{_EARLY}"]
providers = ["early"]

[[routes]]
providers = ["quick"]
"""


class Planner(Esme):
    """Its messages are for tomorrow."""

    def message(self, number: int, sequence: int) -> Pdu:
        pdu = super().message(number, sequence)
        assert isinstance(pdu, SubmitSm)
        pdu.schedule_delivery_time = _TOMORROW
        return pdu


@dataclass
class Cost:
    """What one load found, by the message."""

    rate: float
    #: µs.
    processor: float
    #: Octets written.
    written: float


@dataclass
class Side:
    """A gateway with a store, and what its loads found."""

    gateway: Gateway
    accept: list[Cost] = field(default_factory=list)
    whole: list[Cost] = field(default_factory=list)
    early: list[Cost] = field(default_factory=list)

    async def measure(self, count: int) -> None:
        self.accept.append(await _cost(self.gateway, count, "--at", _TOMORROW))
        whole = "--receipts", "--window", "50", "--under-way", "2000"
        self.whole.append(await _cost(self.gateway, count // 2, *whole))
        self.early.append(await _cost(self.gateway, count // 2, *whole, "--to", _EARLY))


async def _cost(gateway: Gateway, count: int, *options: str) -> Cost:
    processor, written = gateway.processor(), gateway.written()
    found = await asyncio.to_thread(load, gateway, *options, "--count", str(count), "--seconds", str(_PATIENCE + 1))
    if found["refused"] or found["seconds"] > _PATIENCE:
        raise RuntimeError(f"of {count} messages {found['refused']} were refused, and it took {found['seconds']:.0f} s")
    return Cost(
        count / found["seconds"], (gateway.processor() - processor) / count * 1e6, (gateway.written() - written) / count
    )


async def _gateway(ground: Ground, name: str, copies: Copies, *, store: str = "") -> Gateway:
    """One that does not run, with some messages of its own and their copies."""
    gateway = Gateway(ground, REST, folder=ground.place(name), store=store)
    await gateway.start()
    await asyncio.to_thread(load, gateway, "--receipts", "--count", "500", "--seconds", "30")
    planner = await Planner.connect(gateway.port, Ledger())
    await planner.pour(100)
    planner.close()
    await gateway.terminate()
    await asyncio.to_thread(multiply, gateway.path, copies)
    ground.tell(f"{name}: {copies.count:,} messages, {gateway.path.stat().st_size / 1e6:,.0f} MB")
    return gateway


def _waiting(count: int, *, due: bool) -> Copies:
    """Messages that came within the last day, for tomorrow or for the slow provider."""
    now = wall_clock()
    columns = {"expires": str(now + 3 * _DAY), "due": f"w.n % 1000 * 1000 + {now if due else now + _DAY}"}
    if due:
        columns |= {"due": f"{now - _DAY} + w.n % 1000", "destination": f"'{_SLOW}'"}
    return Copies(count, Stage.WAITING, now - _DAY, now - _HOUR, tuple(columns.items()))


def _kept(count: int) -> Copies:
    """Messages that came to their end within the last forty days."""
    now = wall_clock()
    return Copies(count, Stage.FINAL, now - 40 * _DAY, now - _HOUR)


async def compare(ground: Ground, evidence: Evidence, big: Gateway, name: str, *, most: float = 2) -> None:
    """The same loads on a short store and on a big one, in turns; the medians go into the evidence. The big one writes
    at most so many times the octets."""
    rounds, count = ground.choose(2, 7), ground.choose(6_000, 20_000)
    small = await _gateway(ground, f"short-{big.folder.name}", _waiting(1000, due=False))
    few, many = Side(small), Side(big)
    await small.start()
    await _warm(small)
    small.pause()
    started = await big.start()
    await _warm(big)
    big.pause()
    for turn in range(rounds):
        for side in (few, many) if turn % 2 else (many, few):
            side.gateway.go_on()
            await side.measure(count)
            side.gateway.pause()
        ground.tell(f"{name}, round {turn + 1}: short {_told(few)}; this {_told(many)}")
    big.go_on()
    small.go_on()
    await small.kill()
    evidence.count(f"{name}: start-up, s", started)
    evidence.count(f"{name}: resident, MiB", big.resident() / 2**20)
    for what, short, long in (
        ("accepted", few.accept, many.accept),
        ("end to end", few.whole, many.whole),
        ("with states at once", few.early, many.early),
    ):
        for unit, words in (("rate", "a second"), ("processor", "µs of processor"), ("written", "octets written")):
            evidence.count(f"{what}, {words}, short store", median(getattr(one, unit) for one in short))
            evidence.count(f"{what}, {words}, {name}", median(getattr(one, unit) for one in long))
        share = median(b.rate / a.rate for a, b in zip(short, long, strict=True))
        # What else the machine does only ever adds to it: so the least of all rounds is compared.
        times = min(one.processor for one in long) / min(one.processor for one in short)
        if ground.long:
            evidence.must(f"{what}, {name}: of the rate", share, least=0.85)
            evidence.count(f"{what}, {name}: times the processor", times)
        else:
            evidence.count(f"{what}, {name}: of the rate", share)
            evidence.must(f"{what}, {name}: times the processor", times, most=2)
        # The mean: what is written now and then belongs to all.
        octets = sum(one.written for one in long) / sum(one.written for one in short)
        evidence.must(f"{what}, {name}: times the octets written", octets, most=most)


async def _warm(gateway: Gateway) -> None:
    await asyncio.to_thread(load, gateway, "--receipts", "--count", "3000", "--under-way", "2000", "--seconds", "60")


def _told(side: Side) -> str:
    return ", ".join(
        f"{what} {last.rate:,.0f}/s {last.processor:.1f} µs {last.written:,.0f} octets"
        for what, last in (("accepted", side.accept[-1]), ("end to end", side.whole[-1]), ("at once", side.early[-1]))
    )


@proof(
    "With a million messages waiting, for tomorrow or for a provider that is too slow, messages are accepted and "
    "brought to their end as fast as with a thousand."
)
async def waiting(ground: Ground) -> Evidence:
    count, evidence = ground.choose(50_000, 1_000_000), Evidence()
    for name, due in (("scheduled", False), ("due", True)):
        big = await _gateway(ground, name, _waiting(count, due=due))
        # Those that are due are claimed and put back, a tenth of the time: that writes too.
        await compare(ground, evidence, big, f"{count:,} {name}", most=3 if due else 2)
        await big.kill()
    return evidence


@proof("With ten million messages in the history, messages are accepted and brought to their end as fast as with none.")
async def kept(ground: Ground) -> Evidence:
    count, evidence = ground.choose(200_000, 10_000_000), Evidence()
    big = await _gateway(ground, "kept", _kept(count), store='retention = "60d"')
    await compare(ground, evidence, big, f"{count:,} kept")
    await big.kill()
    return evidence


@proof(
    "While what has been kept long enough is forgotten, messages are accepted and brought to their end as fast as "
    "otherwise, and no fewer are forgotten than come to their end."
)
async def purging(ground: Ground) -> Evidence:
    count, evidence = ground.choose(400_000, 10_000_000), Evidence()
    big = await _gateway(ground, "purging", _kept(count), store='retention = "1h"')
    before = _count(big)
    await compare(ground, evidence, big, f"{count:,} to be forgotten", most=3)
    came = await big.metric("smppbridge_messages_accepted_total")
    ended = came - await big.metric("smppbridge_messages_waiting")
    await big.kill()
    gone = before + came - _count(big)
    evidence.count("came to their end meanwhile", ended)
    evidence.count("were forgotten", gone)
    evidence.must("forgotten for each that came to its end", gone / ended, least=0.9)
    return evidence


def _count(gateway: Gateway) -> int:
    """Messages in its store, while it does not run."""
    db = apsw.Connection(str(gateway.path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        return int(db.execute("SELECT count(*) FROM message").get)
    finally:
        db.close()
