"""Faults of providers, and what becomes of the messages that meet with them.

A `Scene` has one gateway and many ways, each with a provider of its own that has one fault under one policy; the sender
of a message chooses the way. A row says what became of the messages of one way: `12 hit` are the requests that met with
the fault, and "charged" counts what the provider has done, by the message.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pdu import MessageState, Pdu, SubmitSm

from ..proof import Evidence, Ground, Row
from .esme import Esme
from .gateway import Gateway
from .ledger import Books, Ledger, balance, enter
from .mischief import Spell
from .provider import Behaviour, Provider

#: What a request that meets with a fault may have come to, as far as anybody can tell: certainly nothing, perhaps
#: something, or it was refused.
Leaves: TypeAlias = Literal["nothing", "doubt", "refusal"]

POLICIES = ("repeat", "ask", "give_up")
#: Seconds that an answer may take where taking too long is the fault; elsewhere nobody is to be late.
TIMEOUT, PATIENCE = 2.0, 20.0
#: What a message is good for whose outcome only a callback could tell, and how long is waited beyond it.
VALIDITY, GRACE = 5, 1


@dataclass(frozen=True)
class Fault:
    name: str
    behave: Behaviour
    leaves: Leaves = "doubt"
    policies: Sequence[str] = POLICIES
    provider: type[Provider] = Provider


@dataclass
class Way:
    """One fault under one policy, and the provider that has it."""

    source: str
    fault: str
    policy: str
    leaves: Leaves
    provider: Provider
    spell: Spell | None = None
    table: str = ""
    #: Seconds; 0: what the gateway takes for granted.
    validity: int = 0
    #: What takes the fault away, where it does not end by itself.
    mend: Callable[[], Awaitable[None]] | None = None
    #: What is to become of every message, where that is not what the policy says.
    ends: str = ""
    numbers: list[int] = field(default_factory=list)

    def row(self, ledger: Ledger, books: Books) -> Row:
        """What became of its messages, and whether that is what the policy promises."""
        states = self.counted(ledger, books)
        done = self.provider.processed
        charged = sum(done[number] for number in self.numbers)
        again = sum(done[number] > 1 for number in self.numbers)
        sent, delivered, unknown = len(self.numbers), states["DELIVERED"], states["UNKNOWN"]
        hit = "" if self.spell is None else f", {self.spell.hit} hit"
        others = "".join(f", {count} {state.lower()}" for state, count in states.items() if state not in _TOLD)
        said = (
            f"{sent} sent{hit}: {delivered} delivered, {unknown} unknown, {states['REJECTED']} refused{others}; "
            f"charged {charged}, again {again}"
        )
        bound, holds = self._promise(sent, states, sum(done[number] > 0 for number in self.numbers))
        # A fault that hits nobody proves nothing.
        met = self.spell is None or self.spell.hit > 0
        name = f"{self.fault}, {self.policy}" if self.policy else self.fault
        return Row(name, said, f"{bound}, 0 again", holds and not again and met)

    def counted(self, ledger: Ledger, books: Books) -> Counter[str]:
        return Counter(self._state(number, ledger, books) for number in self.numbers)

    def _promise(self, sent: int, states: Counter[str], done: int) -> tuple[str, bool]:
        delivered, unknown = states["DELIVERED"], states["UNKNOWN"]
        if self.ends:
            return f"all {self.ends.lower()}", states[self.ends] == sent
        if self.leaves == "refusal":
            if self.spell is None:
                return "delivered or refused", delivered + states["REJECTED"] == sent
            hit = self.spell.hit
            return "those hit refused, the rest delivered", states["REJECTED"] == hit and delivered == sent - hit
        if self.leaves == "nothing" or self.policy in ("repeat", "ask"):
            return "all delivered", delivered == sent
        if self.policy == "wait":
            # At the very end it is asked all the same, and EXPIRED says that the provider never had it.
            rest = unknown + states["EXPIRED"]
            return "delivered what was done, else unknown or expired", delivered == done and rest == sent - done
        return "delivered or unknown", delivered + unknown == sent

    def _state(self, number: int, ledger: Ledger, books: Books) -> str:
        kept = books.kept.get(number)
        if number not in ledger.acknowledged or not kept:
            return "LOST"
        return MessageState(kept[0].state).name if kept[0].final else "WAITING"


_TOLD = ("DELIVERED", "UNKNOWN", "REJECTED")


class Client(Esme):
    """Sends to every way in turn."""

    ways: Sequence[Way] = ()

    def message(self, number: int, sequence: int) -> Pdu:
        way = self.ways[number % len(self.ways)]
        way.numbers.append(number)
        pdu = super().message(number, sequence)
        assert isinstance(pdu, SubmitSm)
        pdu.source_addr = way.source
        if way.validity:
            pdu.validity_period = f"0000000000{way.validity:02}000R"
        return pdu


class Scene:
    """One gateway, and as many ways as a proof has."""

    def __init__(self, ground: Ground, *, timeout: float = PATIENCE, faults: bool = False) -> None:
        self.ground = ground
        self.ways: list[Way] = []
        #: Providers, routes and whatever else the gateway is to have.
        self.more = ""
        self.ledger = Ledger()
        self.gateway: Gateway
        self.client: Client
        #: What its memory grew by at most, in octets.
        self.growth = 0
        self.enquiries: list[float] = []
        self._faults = faults
        self._timeout = timeout

    async def all(self, faults: Sequence[Fault], hits: int) -> None:
        for fault in faults:
            for policy in fault.policies:
                await self.add(fault, policy, hits)

    async def add(self, fault: Fault, policy: str, hits: int, **keys: Any) -> Way:
        """A way with a provider that has this fault for so many requests."""
        source = f"W{len(self.ways)}"
        provider = fault.provider(name=source, recognises=policy == "repeat")
        await provider.start(self.ground)
        spell = provider.behave = Spell(fault.behave, hits)
        return self.enter(Way(source, fault.name, policy, fault.leaves, provider, spell), **keys)

    def enter(self, way: Way, **keys: Any) -> Way:
        """Note a way; `keys` are those of `Provider.table`."""
        if keys.get("scheme") != "https":
            # Each provider loads the authorities that it believes; here nobody shows a certificate.
            keys["more"] = keys.get("more", "") + "\nverify = false"
        if way.policy == "wait":
            way.validity = VALIDITY
            keys["more"] = keys.get("more", "") + f'\ngrace = "{GRACE}s"'
        route = f'source = ["{way.source}"]'
        policy = way.policy or "give_up"
        timeout = PATIENCE if way.leaves == "nothing" else self._timeout
        way.table = way.provider.table(when_in_doubt=policy, timeout=f"{timeout:g}s", route=route, **keys)
        self.ways.append(way)
        return way

    async def play(self, each: int, after: int, *, lasts: float = 0.0) -> None:
        """So many messages to each way while the faults last, and `after` of them when they are over."""
        tables = "".join(way.table for way in self.ways)
        self.gateway = gateway = Gateway(self.ground, tables + self.more, faults=self._faults)
        for way in self.ways:
            if way.policy in ("", "wait"):
                way.provider.callback = f"http://127.0.0.1:{gateway.http}"
        await gateway.start()
        watching = asyncio.ensure_future(self._watch())
        self.ground.stack.callback(watching.cancel)
        self.client = client = await Client.connect(gateway.port, self.ledger, window=200)
        client.ways = self.ways
        await client.pour(each * len(self.ways))
        self.ground.tell(f"{len(self.ledger.acknowledged)} accepted for {len(self.ways)} providers")
        if lasts:
            await asyncio.sleep(lasts)
            for way in self.ways:
                if way.mend:
                    await way.mend()
        await self.settle()
        # It works again.
        await client.pour(after * len(self.ways))
        await self.settle()
        self.ground.tell(f"{self.ledger.receipted} told")
        watching.cancel()
        await asyncio.wait([watching])

    async def settle(self) -> None:
        # What has not come to its end by then is a row that does not hold.
        with contextlib.suppress(TimeoutError):
            await self.client.settled(len(self.ledger.acknowledged), patience=self.ground.choose(60, 1200))

    async def evidence(self) -> Evidence:
        await self.client.unbind()
        await self.gateway.terminate()
        books = Books.read(self.gateway.path)
        found = Evidence()
        for way in self.ways:
            found.rows.append(way.row(self.ledger, books))
        done: Counter[int] = Counter()
        for way in self.ways:
            done.update(way.provider.processed)
        told = [
            number for number, id in self.ledger.acknowledged.items() if "DELIVRD" in self.ledger.receipts.get(id, ())
        ]
        found.must("told as delivered, and never done", sum(not done[number] for number in told), exactly=0)
        sums = balance(self.ledger, books, done)
        enter(found, sums)
        found.must("not at their end", sums.waiting, exactly=0)
        # The short form may run beside others.
        found.must("ENQUIRE_LINK answered within, s, at worst", max(self.enquiries), most=self.ground.choose(3, 1))
        found.must("the gateway's errors in its log", self.gateway.said().count("Traceback"), exactly=0)
        return found

    async def _watch(self) -> None:
        """Memory and liveliness, all the time."""
        link = await Esme.connect(self.gateway.port, self.ledger)
        before = self.gateway.resident()
        try:
            while True:
                self.enquiries.append(await link.enquire())
                self.growth = max(self.growth, self.gateway.resident() - before)
                await asyncio.sleep(0.02)
        finally:
            link.close()
