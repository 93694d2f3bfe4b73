"""The gateway works for an hour at half of what it can, as on any day, and nothing in it grows.

Client, gateway and provider are a process each; the provider takes single messages over HTTP and tells their ends by
callbacks. First the capacity is measured, from SUBMIT_SM to the answered receipt. Then half of that is offered, while
binds come and go, the configuration is read anew, the store is purged and `/metrics` is read. The load begins shortly
before the last sequence_number on every link, in both directions.

What may grow at first, and then must not: the one-minute rule remembers a minute, the store keeps what it is to keep,
and SQLite fills its caches.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import linear_regression, mean, median

import apsw

from bench.provider import SECRET
from bench.servers import ROOT, listening

from ..ground.gateway import Gateway
from ..ground.provider import TOKEN
from ..proof import Evidence, Ground, proof

_LAST_SEQUENCE = 0x7FFFFFFF
#: Sequence numbers that are left on every link when it begins.
_LEFT = 200
#: Messages under way while the capacity is measured. More would measure a queue.
_UNDER_WAY = 2_000
#: `stage` of what has come to its end (`model.Stage.FINAL`).
_FINAL = 5

PROVIDER = """
[providers.measured]
adapter = "bench.adapter.Wide"
base_url = "http://127.0.0.1:{port}"
token = "0123456789abcdef"
callback_secret = "{secret}"
callback_token = "{token}"
max_in_flight = {at_once}
batch = 1

[[routes]]
providers = ["measured"]
"""


@dataclass(frozen=True)
class Length:
    """How long a soak is, in seconds."""

    #: At half of the capacity.
    seconds: float
    #: Measuring the capacity.
    capacity: float
    #: What fills up by design is full by then.
    warm: float
    #: Between two samples.
    every: float
    #: A reload.
    reload: float
    #: Some binds end and begin anew.
    stay: float
    retention: str
    duplicate_window: str
    #: What is under way at the beginning and at the end, as a share of all.
    play: float


HOUR = Length(3600, 30, 420, 5, 97, 60, "2m", "1m", 0.02)
MINUTE = Length(20, 5, 8, 0.5, 5, 4, "1m", "2s", 0.1)


@dataclass(frozen=True)
class Sample:
    """What the gateway is like at one moment of the soak."""

    at: float
    resident: int
    descriptors: int
    threads: int
    wal: int
    database: int
    oldest_waiting: float
    receipts_waiting: float
    p50: float
    p99: float
    enquire: float


@proof(
    "For an hour at half of the measured capacity memory, threads and descriptors stay as they are, every message "
    "comes to its end and is receipted once, and sequence_numbers go over 0x7FFFFFFF in both directions.",
    long_only=True,
)
async def hour(ground: Ground) -> Evidence:
    seconds = float(os.environ.get("PROVE_SOAK_SECONDS", HOUR.seconds))
    return await _soak(ground, HOUR, seconds, per_minute=128, growth=0.05)


@proof("The same in less than a minute: every message is receipted once, over the end of the sequence_numbers.")
async def minute(ground: Ground) -> Evidence:
    # Caches still fill: only coarse growth is to be seen in so short a time.
    return await _soak(ground, MINUTE, MINUTE.seconds, per_minute=None, growth=0.25)


async def _soak(ground: Ground, length: Length, seconds: float, *, per_minute: float | None, growth: float) -> Evidence:
    gateway, load = await _begin(ground, length)
    await load.tell(f"fill {_UNDER_WAY}")
    await asyncio.sleep(length.capacity / 5)
    capacity = await load.measured(length.capacity)
    ground.tell(f"{capacity:,.0f} messages a second, end to end")
    offered = capacity / 2
    await load.tell(f"offer {offered}")
    # What is under way from before is not part of it.
    async with asyncio.timeout(60):
        while (await load.next())["open"] > _UNDER_WAY / 4:
            pass
    before, began = await load.next(), time.monotonic()
    samples = await _live(ground, gateway, load, length, seconds)
    lived = time.monotonic() - began
    achieved = (load.last["receipts"] - before["receipts"]) / lived
    await load.tell("stop")
    end = await load.end()
    provided = _sums((await gateway.get("/metrics")).text)["smppbridge_provider_messages_total"]
    await gateway.terminate()

    evidence = Evidence()
    evidence.count("capacity, messages a second, end to end", round(capacity))
    evidence.must("offered, a share of that", round(offered / capacity, 2), least=0.5)
    share = round(achieved / offered, 3)
    evidence.must("came to their end, a share of what was offered", share, least=1 - length.play, most=1 + length.play)
    evidence.must("seconds of it", round(lived), least=round(seconds))
    _balance(evidence, gateway, end, provided)
    _flat(evidence, samples, min(length.warm, seconds / 3), per_minute=per_minute, growth=growth)
    evidence.must("response, p99, ms, median of the samples", _middle([one.p99 * 1000 for one in samples]), most=1000)
    evidence.count("response, p50, ms, median of the samples", _middle([one.p50 * 1000 for one in samples]))
    evidence.must("ENQUIRE_LINK, s, at worst", round(max(one.enquire for one in samples), 3), most=1)
    evidence.must("sequence_numbers of the clients over 0x7FFFFFFF, times", end["our wraps"], least=5)
    evidence.must("sequence_numbers of the gateway over 0x7FFFFFFF, times", end["its wraps"], least=5)
    evidence.must("sequence_numbers that do not exist", end["bad sequence"], exactly=0)
    evidence.must("binds that ended and came back", end["come back"], least=3)
    evidence.count("ENQUIRE_LINK of the gateway on a silent bind", end["enquired"])
    log = [json.loads(line) for line in gateway.said().splitlines() if line.startswith("{")]
    evidence.must("reloads", sum(line["event"] == "reloaded" for line in log), least=1)
    bad = [line for line in log if line["level"] not in ("debug", "info")]
    for line in bad[:5]:
        evidence.note(f"log: {line['level']}: {line['station']}: {line['event']}")
    evidence.must("warnings and errors in the log", len(bad), exactly=0)
    return evidence


class _Load:
    """The load, from the side of the proof."""

    process: asyncio.subprocess.Process

    def __init__(self, provider: int) -> None:
        #: The port of the provider.
        self.provider = provider
        self.last: Counter[str] = Counter()
        self.fresh = asyncio.Event()
        self.over = False

    async def start(self, ground: Ground, port: int, length: Length) -> None:
        options = ("--every", length.every, "--stay", length.stay, "--before", _LEFT)
        command = ("-m", "tests.prove.ground.load", port, *options)
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, *map(str, command), cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        self.listening = asyncio.ensure_future(self.listen())
        ground.stack.callback(self.kill)

    def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()

    async def tell(self, what: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{what}\n".encode())
        await self.process.stdin.drain()

    async def listen(self) -> None:
        """Note what it says, until it ends."""
        assert self.process.stdout
        async for line in self.process.stdout:
            self.last = Counter(json.loads(line))
            self.fresh.set()
        self.over = True
        self.fresh.set()

    async def next(self) -> Counter[str]:
        """What it says next."""
        self.fresh.clear()
        if not self.over:
            await self.fresh.wait()
        if self.over and not self.last["end"]:
            raise RuntimeError(f"the load ended with {await self.process.wait()}")
        return self.last

    async def measured(self, seconds: float) -> float:
        """Messages a second that come to their end, over so long."""
        first, began = (await self.next())["receipts"], time.monotonic()
        while time.monotonic() < began + seconds:
            await self.next()
        return (self.last["receipts"] - first) / (time.monotonic() - began)

    async def end(self) -> Counter[str]:
        while not (await self.next())["end"]:
            pass
        return self.last


async def _begin(ground: Ground, length: Length) -> tuple[Gateway, _Load]:
    """Gateway, provider and load: the load is bound when this returns."""
    gateway = Gateway(ground, faults=True)
    callback = f"127.0.0.1:{gateway.http}/callback/measured/{TOKEN}"
    command = (sys.executable, "-m", "bench.provider", "--states", "callback", "--callback", callback)
    peer = ground.stack.enter_context(listening(*command))
    _configure(gateway, peer.port, length, at_once=32)
    assert gateway.switches
    gateway.switches.sequence = _LAST_SEQUENCE - _LEFT
    await gateway.start()
    load = _Load(peer.port)
    await load.start(ground, gateway.port, length)
    await load.next()
    return gateway, load


def _configure(gateway: Gateway, provider: int, length: Length, *, at_once: int) -> None:
    gateway.configure(
        PROVIDER.format(port=provider, secret=SECRET, token=TOKEN, at_once=at_once),
        account=f'duplicate_window = "{length.duplicate_window}"',
        smpp='enquire_link_after = "2s"',
        store=f'retention = "{length.retention}"',
    )


async def _live(ground: Ground, gateway: Gateway, load: _Load, length: Length, seconds: float) -> list[Sample]:
    """So many seconds under load: samples, and a reload now and then, every other one with another setting."""
    samples: list[Sample] = []
    began = reloaded = told = time.monotonic()
    reloads = 0
    while (now := time.monotonic()) < began + seconds:
        if now > reloaded + length.reload:
            reloaded, reloads = now, reloads + 1
            _configure(gateway, load.provider, length, at_once=32 if reloads % 4 < 2 else 48)
            gateway.reload()
        samples.append(await _sample(gateway, await load.next(), now - began))
        if now > told + 60:
            told = now
            ground.tell(_in_words(samples[-1], load.last))
    return samples


async def _sample(gateway: Gateway, said: Counter[str], at: float) -> Sample:
    sums = _sums((await gateway.get("/metrics")).text)
    return Sample(
        at=at,
        resident=gateway.resident(),
        descriptors=gateway.descriptors(),
        threads=len(os.listdir(f"/proc/{gateway.process.pid}/task")),
        wal=gateway.path.with_name(gateway.path.name + "-wal").stat().st_size,
        database=gateway.path.stat().st_size,
        oldest_waiting=sums["smppbridge_oldest_waiting_seconds"],
        receipts_waiting=sums["smppbridge_receipts_waiting"],
        p50=said["p50"],
        p99=said["p99"],
        enquire=said["enquire"],
    )


def _sums(metrics: str) -> dict[str, float]:
    """Each metric, summed over its labels."""
    found: defaultdict[str, float] = defaultdict(float)
    for line in metrics.splitlines():
        if not line.startswith("#"):
            found[line.partition("{")[0].partition(" ")[0]] += float(line.rpartition(" ")[2])
    return found


def _balance(evidence: Evidence, gateway: Gateway, end: Counter[str], provided: float) -> None:
    """accepted = receipts + waiting, and each receipt once."""
    db = apsw.Connection(str(gateway.path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        ((waiting,),) = db.execute("SELECT count(*) FROM message WHERE stage != ?", (_FINAL,))
        ((outbox,),) = db.execute("SELECT count(*) FROM outbox")
    finally:
        db.close()
    evidence.count("accepted (SUBMIT_SM_RESP with status 0)", end["taken"])
    evidence.count("receipts", end["receipts"])
    evidence.must("waiting at the end, messages and receipts", waiting + outbox, exactly=0)
    evidence.must("accepted, without receipt and not waiting", end["without receipt"] - waiting - outbox, exactly=0)
    evidence.must("receipted again", end["receipted again"], exactly=0)
    evidence.count("… where the answer crossed the end of the bind", end["again after UNBIND"])
    evidence.must("refused, and receipted", end["refused and receipted"], exactly=0)
    evidence.must("receipts that do not say DELIVRD", end["not delivered"], exactly=0)
    evidence.must("refused", end["refused"], exactly=0)
    evidence.must("SUBMIT_SM without a response", end["without response"], exactly=0)
    evidence.must("answers nobody asked for", sum(end[name] for name in end if name.startswith("unexp")), exactly=0)
    evidence.must("taken by the provider, beyond the accepted", round(provided) - end["taken"], exactly=0)


def _flat(evidence: Evidence, samples: list[Sample], warm: float, *, per_minute: float | None, growth: float) -> None:
    """After `warm` seconds nothing grows: neither from the first tenth to the last, nor over the last two thirds."""
    lived = [one for one in samples if one.at >= warm]
    tenth = max(len(lived) // 10, 1)
    first, last, late = lived[:tenth], lived[-tenth:], [one for one in lived if one.at >= samples[-1].at / 3]
    slope = linear_regression([one.at / 60 for one in late], [one.resident / 1024 for one in late]).slope
    resident = mean(one.resident for one in last) / mean(one.resident for one in first)
    evidence.count("memory after warming up, MiB", round(mean(one.resident for one in first) / 2**20, 1))
    evidence.count("memory in the last tenth, MiB", round(mean(one.resident for one in last) / 2**20, 1))
    evidence.must("… as a share of what it was", round(resident, 3), most=1 + growth)
    evidence.must("memory over the last two thirds, KiB a minute", round(slope, 1), most=per_minute)
    descriptors = mean(one.descriptors for one in last) - mean(one.descriptors for one in first)
    evidence.count("descriptors, at most", max(one.descriptors for one in samples))
    evidence.must("descriptors, last tenth over first", round(descriptors, 1), most=30)
    threads = max(one.threads for one in last) - max(one.threads for one in first)
    evidence.count("threads, at most", max(one.threads for one in samples))
    evidence.must("threads, last tenth over first", threads, most=1)
    evidence.must("-wal, MiB, at most", round(max(one.wal for one in samples) / 2**20, 1), most=128)
    database = mean(one.database for one in last) / mean(one.database for one in first)
    evidence.count("database, MiB, at most", round(max(one.database for one in samples) / 2**20))
    evidence.count("database, last tenth as a share of the first", round(database, 2))
    evidence.must("oldest message waiting, s, at worst", round(max(one.oldest_waiting for one in samples), 1), most=30)
    evidence.count("receipts waiting, at most", round(max(one.receipts_waiting for one in samples)))


def _in_words(one: Sample, said: Counter[str]) -> str:
    return (
        f"{one.at:,.0f} s: {said['receipts']:,} receipts, {one.resident / 2**20:.1f} MiB, "
        f"{one.descriptors} descriptors, database {one.database / 2**20:.0f} MiB, p99 {one.p99 * 1000:.0f} ms"
    )


def _middle(values: Sequence[float]) -> float:
    return round(median(values), 1)
