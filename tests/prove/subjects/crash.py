"""The process ends in the middle of everything, and starts again."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import apsw

from pdu import MessageState, Pdu, SubmitSm
from smppbridge.ids import wall_clock
from smppbridge.model import Stage
from smppbridge.store import database

from ..ground.esme import Esme
from ..ground.gateway import SANDBOX, Gateway, NotStarted
from ..ground.history import Copies, multiply
from ..ground.ledger import Books, Ledger, balance, enter, number_in
from ..ground.mixed import Mixed, lacks_parts
from ..ground.provider import Provider
from ..proof import Evidence, Ground, proof

#: A subscriber for each provider; they are named after what is done about a request without an answer.
SUBSCRIBERS = {"repeat": "79010000001", "ask": "79020000001", "give_up": "79030000001"}
#: What is sent again is known again for as long as a slow machine may take.
ACCOUNT = 'duplicate_window = "1h"\nmax_waiting = 20000'
#: `stage` of what is about to be sent, is being sent, or was (`model.Stage.SENDING`).
_SENDING = 2

#: Of each client, at the end.
_BURST = 60
_HOUR, _DAY = 3_600_000, 86_400_000
#: Messages that big stores are made from.
_MODELS = 200
#: The schema that an upgrade begins with.
_EARLIER = 3
_WAITING = "smppbridge_messages_waiting"

# What an end may strike.
_UNWRITTEN = "SUBMIT sent, not on disk"
_UNANSWERED = "SUBMIT on disk, not answered"
_BEFORE_SEND = "request marked on disk, not processed by the provider"
_UNRECORDED = "request processed by the provider, not recorded"
_CALLBACK = "callback under way"
_RECEIPT = "receipt on disk, not with the client"
_UNCONFIRMED = "receipt with the client, its answer not on disk"
_STARTING, _NOT_READY, _SETTLED = "start-up", "start-up, not serving yet", "start-up, doubt settled"
_CUT_OFF, _KEPT = "request cut off", "SUBMIT on disk, not answered"
_STAGES = (_UNWRITTEN, _UNANSWERED, _BEFORE_SEND, _UNRECORDED, _CALLBACK, _RECEIPT, _UNCONFIRMED)


class Insistent(Provider):
    """Calls back until somebody takes it."""

    def __init__(self, name: str, *, recognises: bool, at_once: bool) -> None:
        super().__init__(name=name, recognises=recognises, at_once=at_once)
        #: Whether the gateway is there, and how many calls that began so were cut off by its end.
        self.there = asyncio.Event()
        self.cut_off = 0
        #: Ids of what was still on its way here when the gateway ended.
        self.late: set[str] = set()

    def do(self, said: dict[str, Any]) -> dict[str, Any]:
        if not self.there.is_set() and str(said["id"]) not in self.messages:
            self.late.add(str(said["id"]))
        return super().do(said)

    async def call(self, id: str, state: str, *, path: str = "", key: str = "") -> int:
        while True:
            await self.there.wait()
            if status := await super().call(id, state):
                return status
            self.cut_off += 1
            await asyncio.sleep(0.1)


@dataclass
class Left:
    """What the store had when the process ended."""

    #: Of requests that are marked as begun: provider and id.
    sending: list[tuple[str, int]]
    #: Numbers of messages and parts that are new.
    kept: set[int]
    #: Of receipts that no answer has taken out of the outbox: id and subscriber.
    receipts: list[tuple[int, str]]

    @classmethod
    def read(cls, path: Path, since: int) -> Left:
        """`since`: the id behind which everything is new."""
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            # The next start is to find the log as it was left.
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            sending: list[Any] = db.execute(
                "SELECT provider, id FROM message WHERE stage < 3 AND stage = ?", (_SENDING,)
            ).fetchall()
            texts = db.execute(
                "SELECT command FROM message WHERE id > ?1 UNION ALL SELECT pdu FROM part WHERE id > ?1", (since,)
            )
            kept = {number_in(text) for (text,) in texts}
            receipts: list[Any] = db.execute(
                "SELECT coalesce(u.id, m.id), m.destination FROM outbox AS o JOIN message AS m ON m.id = o.message "
                "LEFT JOIN multi AS u ON u.message = m.id "
                "WHERE m.id NOT IN (SELECT message FROM part WHERE message > 0)"
            ).fetchall()
            return cls(sending, kept, receipts)
        finally:
            db.close()


@dataclass
class Scene:
    """Three providers, three clients and a gateway that ends again and again."""

    ground: Ground
    gateway: Gateway
    providers: dict[str, Insistent]
    ledger: Ledger = field(default_factory=Ledger)
    clients: list[Mixed] = field(default_factory=list)
    #: The highest id that was known at the last start, and what was sent again then.
    highest: int = 0
    again: set[int] = field(default_factory=set)
    #: Seconds of each start.
    started: list[float] = field(default_factory=list)
    #: Stage → in how many cycles it was struck, and how many messages were at it.
    cycles: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    #: Messages of the provider `give_up` whose request was cut off.
    given_up: set[int] = field(default_factory=set)

    @classmethod
    async def set(cls, ground: Ground) -> Scene:
        providers = {
            name: Insistent(name, recognises=name == "repeat", at_once=name == "repeat") for name in SUBSCRIBERS
        }
        for provider in providers.values():
            await provider.start(ground)
        tables = [
            # That a machine is slow is no reason for doubt.
            provider.table(when_in_doubt=name, timeout="60s", route=f'destination = ["{SUBSCRIBERS[name][:4]}"]')
            for name, provider in providers.items()
        ]
        gateway = Gateway(ground, "\n".join(tables), account=ACCOUNT)
        for name in ("ask", "give_up"):
            providers[name].callback = f"http://127.0.0.1:{gateway.http}"
        return cls(ground, gateway, providers)

    async def start(self) -> None:
        """It serves, and clients send again what has got no answer."""
        self.started.append(await self.gateway.start())
        self._there(True)
        self.highest = max(self.ledger.acknowledged.values(), default=0)
        self.again = self.ledger.unanswered.copy()
        again = sorted(self.again)
        self.clients = [
            await Mixed.connect(self.gateway.port, self.ledger, window=200, subscribers=tuple(SUBSCRIBERS.values()))
            for _ in range(3)
        ]
        for place, client in enumerate(self.clients):
            client.resend(again[place :: len(self.clients)])

    async def load(self, seconds: float, within: float = 0.02) -> None:
        """Bursts, about as many messages as the providers take, and a last one not so many seconds before the end."""
        random, until = self.ground.random, time.monotonic() + seconds
        while time.monotonic() < until:
            for client in self.clients:
                client.burst(random.randrange(30))
            await asyncio.sleep(random.uniform(0, 0.1))
        for client in self.clients:
            client.burst(_BURST)
        if within:
            await asyncio.sleep(random.uniform(0, within))

    async def kill(self) -> None:
        """kill -9, and see what it struck."""
        ledger = self.ledger
        self._there(False)
        calls = sum(provider.cut_off for provider in self.providers.values())
        await self.gateway.kill()
        for client in self.clients:
            await client.gone.wait()
        left = await asyncio.to_thread(Left.read, self.gateway.path, self.highest)
        processed = [
            str(id) in self.providers[name].messages and str(id) not in self.providers[name].late
            for name, id in left.sending
        ]
        told = [bool(ledger.told(id, subscriber)) for id, subscriber in left.receipts]
        fresh = ledger.unanswered - self.again
        self._count(_UNWRITTEN, len(fresh - left.kept))
        self._count(_UNANSWERED, len(fresh & left.kept))
        self._count(_BEFORE_SEND, processed.count(False))
        self._count(_UNRECORDED, processed.count(True))
        self._count(_RECEIPT, told.count(False))
        self._count(_UNCONFIRMED, told.count(True))
        self._count(_CALLBACK, sum(provider.cut_off for provider in self.providers.values()) - calls)
        self._cut_off(left)

    async def terminate(self) -> float:
        """SIGTERM under load; the seconds until the end."""
        self._there(False)
        seconds = await self.gateway.terminate()
        for client in self.clients:
            await client.gone.wait()
        left = await asyncio.to_thread(Left.read, self.gateway.path, self.highest)
        self._count(_CUT_OFF, len(left.sending))
        self._count(_KEPT, len((self.ledger.unanswered - self.again) & left.kept))
        self._cut_off(left)
        return seconds

    async def interrupt_start(self) -> None:
        """kill -9 while it starts."""
        self.gateway.launch()
        until = time.monotonic() + self.ground.random.uniform(0.3, 1.1) * self.started[-1]
        while time.monotonic() < until and self.gateway.running:
            await asyncio.sleep(0.002)
        await self.gateway.kill()
        self._cut_off(await asyncio.to_thread(Left.read, self.gateway.path, self.highest))
        said = self.gateway.said_since()
        self.cycles[_STARTING] += 1
        self.cycles[_NOT_READY] += b'"ready"' not in said
        self.cycles[_SETTLED] += b"were cut off by the last end" in said

    def has_struck(self, least: int) -> bool:
        """Every stage of a message, and a start, so many times."""
        return all(self.cycles[stage] >= least for stage in (*_STAGES, _NOT_READY))

    def _count(self, stage: str, messages: int) -> None:
        self.cycles[stage] += messages > 0
        self.struck[stage] += messages

    def _cut_off(self, left: Left) -> None:
        self.given_up.update(id for name, id in left.sending if name == "give_up")

    def _there(self, there: bool) -> None:
        for provider in self.providers.values():
            if there:
                provider.there.set()
            else:
                provider.there.clear()

    async def settle(self) -> float:
        """The seconds until everything has come to its end, and every client has heard of it."""
        await self.start()
        began = time.monotonic()
        with suppress(TimeoutError):  # what is missing then, the ledger tells
            await self.gateway.idle(patience=self.ground.choose(60, 300))
        seconds = time.monotonic() - began
        for client in self.clients:
            await client.unbind()
        await self.gateway.terminate()
        return seconds

    def enter(self, evidence: Evidence) -> None:
        """What holds whatever ended the process."""
        books, providers = Books.read(self.gateway.path), self.providers.values()
        times = Counter({number: max(one.processed[number] for one in providers) for number in books.kept})
        found = balance(self.ledger, books, times)
        enter(evidence, found)
        rest = sum(lacks_parts(number, self.ledger.sent) for number in self.ledger.acknowledged)
        evidence.must("not at its end, with everything working again", found.waiting - rest, exactly=0)
        evidence.count("parts that wait, because the rest of their set was not sent", rest)
        unkept = sum(number not in books.kept for one in providers for number in one.processed)
        evidence.must("processed by a provider, and not kept", unkept, exactly=0)
        unknown = {
            one.message: one.subscriber
            for one in books.every()
            if one.final and one.state == MessageState.UNKNOWN
        }  # fmt: skip
        by = Counter(unknown.values())
        for name in ("repeat", "ask"):
            evidence.must(f"UNKNOWN at the provider `{name}`", by[SUBSCRIBERS[name]], exactly=0)
        evidence.count("UNKNOWN at the provider `give_up`", by[SUBSCRIBERS["give_up"]])
        evidence.must("… without a request that was cut off", len(unknown.keys() - self.given_up), exactly=0)
        repeat, ask = self.providers["repeat"], self.providers["ask"]
        evidence.count("sent again, and recognised (`repeat`)", repeat.repeated)
        evidence.count("questions before sending again (`ask`)", ask.asked)


@proof(
    "What was answered with status 0 outlives kill -9 at any moment: nothing is lost, nothing is paid for twice, "
    "nothing is silent. In doubt is only what was marked as being sent, and it ends as UNKNOWN only where the provider "
    "neither recognises a repetition nor can be asked."
)
async def kill(ground: Ground) -> Evidence:
    cycles = ground.choose(8, 200)
    # A few kills may miss a stage by chance: then there are some more.
    least, done = max(1, cycles // 20), 0
    scene = await Scene.set(ground)
    while done < cycles or (done < 4 * cycles and not scene.has_struck(least)):
        cycle, done = done, done + 1
        await scene.start()
        # By turns before an answer can be there, and when some are.
        await scene.load(ground.random.uniform(0, 1), 0.0 if cycle % 2 else 0.04)
        await scene.kill()
        ground.tell(f"{done} of {cycles} killed, {len(scene.ledger.acknowledged)} acknowledged")
        if cycle % 2:
            await scene.interrupt_start()
    ground.tell("all that is left goes on to its end")
    seconds = await scene.settle()
    evidence = Evidence()
    evidence.must("kill -9 under load", done, least=cycles)
    evidence.must("kill -9 while starting", scene.cycles[_STARTING], least=cycles // 2)
    evidence.must("… and not serving yet", scene.cycles[_NOT_READY], least=least)
    evidence.count("… having settled what was in doubt", scene.cycles[_SETTLED])
    for stage in _STAGES:
        evidence.must(f"struck: {stage}, kills", scene.cycles[stage], least=least)
        evidence.count("… messages", scene.struck[stage])
    scene.enter(evidence)
    evidence.count("start-up, s, at worst", max(scene.started))
    evidence.count("to the end of everything after the last start, s", seconds)
    return evidence


@proof(
    "SIGTERM under load loses nothing, leaves no message in doubt that need not be, unbinds every client and ends with "
    "exit code 0."
)
async def terminate(ground: Ground) -> Evidence:
    cycles = ground.choose(4, 50)
    scene = await Scene.set(ground)
    seconds, codes, unbound = [], Counter[int](), 0
    for cycle in range(cycles):
        await scene.start()
        await scene.load(ground.random.uniform(0, 1))
        seconds.append(await scene.terminate())
        codes[scene.gateway.process.returncode] += 1
        unbound += sum(client.unbound for client in scene.clients)
        ground.tell(f"{cycle + 1} of {cycles} stopped, {len(scene.ledger.acknowledged)} acknowledged")
    left = await scene.settle()
    evidence = Evidence()
    evidence.must("SIGTERM under load", cycles, least=cycles)
    evidence.must("… with another exit code than 0", cycles - codes[0], exactly=0)
    evidence.must("clients that were bound", 3 * cycles, least=3)
    evidence.must("… and got no UNBIND", 3 * cycles - unbound, exactly=0)
    evidence.must("requests cut off, in doubt", scene.struck[_CUT_OFF], exactly=0)
    evidence.must("SUBMIT kept without its answer having been read", scene.struck[_KEPT], exactly=0)
    scene.enter(evidence)
    evidence.count("seconds to stop, the median", sorted(seconds)[len(seconds) // 2])
    evidence.count("… at worst", max(seconds))
    evidence.count("to the end of everything after the last start, s", left)
    return evidence


class Planner(Esme):
    """Sends for tomorrow, so that it waits."""

    def message(self, number: int, sequence: int) -> Pdu:
        pdu = cast(SubmitSm, super().message(number, sequence))
        pdu.schedule_delivery_time = "000001000000000R"
        return pdu


async def _with_waiting(ground: Ground, rest: str, *copies: Copies) -> Gateway:
    """A gateway that does not run, with so many messages that wait."""
    gateway = Gateway(ground, rest)
    await gateway.start()
    planner = await Planner.connect(gateway.port, Ledger())
    await planner.pour(_MODELS)
    planner.close()
    await gateway.terminate()
    for some in copies:
        await asyncio.to_thread(multiply, gateway.path, some)
    ground.tell(f"{sum(some.count for some in copies)} messages wait, {gateway.path.stat().st_size / 1e6:,.0f} MB")
    return gateway


def _waiting(count: int, first: int, last: int, due: int) -> Copies:
    """Messages that came between, and are due since `due`, one after the other."""
    columns = {"due": f"{due} + w.n", "expires": str(last + 3 * _DAY)}
    return Copies(count, Stage.WAITING, first, last, tuple(columns.items()))


@dataclass
class Start:
    """What a start took."""

    #: Seconds until a client was bound, and until the first message was with the provider.
    bound: float
    sent: float
    #: MiB, then.
    memory: float


async def _start(gateway: Gateway, provider: Provider) -> Start:
    before, began = provider.requests, time.monotonic()
    await gateway.start()
    esme = await Esme.connect(gateway.port, Ledger())
    bound = time.monotonic() - began
    if not await gateway.metric(_WAITING):
        await esme.pour(1)
    async with asyncio.timeout(120):
        while provider.requests == before:
            await asyncio.sleep(0.005)
    sent = time.monotonic() - began
    esme.reset()
    return Start(bound, sent, gateway.resident() / 2**20)


@proof(
    "A million messages that wait are no reason for a slow start: clients can bind after seconds, and the oldest "
    "messages go out first, after an orderly end and after kill -9 alike."
)
async def start_up(ground: Ground) -> Evidence:
    count, now = ground.choose(100_000, 1_000_000), wall_clock()
    provider = Provider()
    await provider.start(ground)
    # Most came over the day, and as many as in a busy minute just now, which the one-minute rule is to know again.
    lately, rest = count // 10, provider.table(more="rate = 100")
    empty = Gateway(ground, rest, folder=ground.place("empty"))
    nothing = await _start(empty, provider)
    await empty.terminate()
    # The latter must last until the store is made.
    gateway = await _with_waiting(
        ground,
        rest,
        _waiting(count - lately, now - _DAY, now - _HOUR, now - _DAY),
        _waiting(lately, now - 30_000, now + 60_000, now - _HOUR),
    )
    known = len(provider.messages)
    first = await _start(gateway, provider)
    while len(provider.messages) < known + 100:
        await asyncio.sleep(0.01)
    early = [int(id) for id in provider.messages][known : known + 100]
    await gateway.kill()
    again = await _start(gateway, provider)
    await gateway.kill()
    db = apsw.Connection(str(gateway.path))
    [(kept,)] = db.execute("SELECT count(*) FROM message")
    [(older,)] = db.execute("SELECT count(*) FROM message WHERE id <= ?", (max(early),))
    db.close()
    evidence = Evidence()
    evidence.must("messages that wait", count, least=count)
    evidence.must("messages kept after it all", kept, exactly=count + _MODELS)
    # They are drawn a thousand at a time, and sent by 32 at once.
    evidence.must("older than the 100th that was sent", older, most=1000)
    for name, one in (("an empty store", nothing), ("these", first), ("these, after kill -9", again)):
        evidence.must(f"with {name}, s until a client is bound", one.bound, most=60)
        evidence.count("… until the first message is with the provider", one.sent)
        evidence.count("… MiB of memory then", one.memory)
    evidence.must("MiB more than with an empty store", max(first.memory, again.memory) - nothing.memory, most=200)
    return evidence


@proof("A first start and an upgrade of the store that are ended by kill -9 are made good by the next start.")
async def half_made(ground: Ground) -> Evidence:
    cycles, count, now = ground.choose(3, 40), ground.choose(20_000, 500_000), wall_clock()
    evidence = Evidence()
    gateway = await _with_waiting(ground, SANDBOX, _waiting(count, now - _DAY, now, now + _DAY))
    old = ground.folder / "old.db"
    await asyncio.to_thread(_older, gateway.path, old)
    for name, source, rows in (("first start", None, 0), ("upgrade", old, count + _MODELS)):
        found, failed = Counter[int](), 0
        await _open(gateway, source)
        began = time.monotonic()
        while b'"ready"' not in gateway.said_since():
            await asyncio.sleep(0.002)
        whole = time.monotonic() - began
        await gateway.kill()
        for _ in range(cycles):
            await _open(gateway, source)
            await asyncio.sleep(ground.random.random() * whole)
            await gateway.kill()
            found[_ask(gateway.path, "PRAGMA user_version") if gateway.path.exists() else -1] += 1
            try:
                await gateway.start()
            except NotStarted as problem:
                ground.tell(str(problem))
                failed += 1
            await gateway.kill()
            failed += _ask(gateway.path, "SELECT count(*) FROM message") != rows
        evidence.must(f"{name}: kill -9", cycles, least=cycles)
        stages = ", ".join(f"{schema}: {times}" for schema, times in sorted(found.items()))
        evidence.count("… schema that it left: how often", stages)
        evidence.must("… and the next start failed, or missed a message", failed, exactly=0)
    return evidence


def _older(new: Path, old: Path) -> None:
    """A store of an earlier schema with the same messages."""
    steps = database.migrations()[:_EARLIER]
    db = apsw.Connection(str(old))
    try:
        db.pragma("journal_mode", "wal")
        for step in steps:
            db.execute(step).fetchall()
        db.pragma("user_version", len(steps))
        db.execute("ATTACH ? AS new", (str(new),)).fetchall()
        names = ", ".join(str(row[1]) for row in db.execute("PRAGMA main.table_info(message)"))
        db.execute(f"INSERT INTO main.message ({names}) SELECT {names} FROM new.message").fetchall()  # noqa: S608
    finally:
        db.close()


async def _open(gateway: Gateway, source: Path | None) -> None:
    """Start on a copy of that store, or on none; returns when the gateway is about to open it."""
    for left in gateway.folder.glob("state.db*"):
        left.unlink()
    if source:
        await asyncio.to_thread(shutil.copy, source, gateway.path)
    gateway.launch()
    lock = gateway.path.with_name("state.db.lock")
    while not lock.exists():
        await asyncio.sleep(0.001)


def _ask(path: Path, sql: str) -> int:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        [(found,)] = db.execute(sql)
        return int(found)
    finally:
        db.close()
