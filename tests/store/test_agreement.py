"""The engines side by side: whatever is asked of them, in whatever order, they answer the same."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdu import MessageState
from smppbridge.lifecycle import (
    FINAL_STATES,
    Began,
    Cancelled,
    Change,
    Doubted,
    Handed,
    Looked,
    PassedOn,
    Postponed,
    Reported,
    Settled,
    Taken,
)
from smppbridge.model import Entry, Kind, Notify, Sms, Stage, StatusReport
from smppbridge.store.base import FIRST, Absent, Filter, Replacement, Store, Turn
from smppbridge.store.memory import MemoryStore
from smppbridge.store.sqlite import SqliteStore

NOW = 1_750_000_000_000

# Few of everything, so that what is drawn meets itself again.
nth = st.integers(0, 7)
times = st.integers(NOW, NOW + 5)
accounts = st.sampled_from(["demo", "other"])
providers = st.sampled_from(["a", "b"])
references = st.sampled_from(["", "r1", "r2", "own"])
states = st.sampled_from(MessageState)

handed = st.tuples(
    st.just(Handed), nth, st.fixed_dictionaries({"provider": providers, "ref": references, "look_at": times})
)
reported = st.tuples(
    st.just(Reported),
    nth,
    st.fixed_dictionaries({"provider": providers, "state": states, "ref": references, "by_id": st.booleans()}),
)
changes = st.one_of(
    handed,
    reported,
    reported,
    st.tuples(st.just(Taken), nth, st.just({})),
    st.tuples(st.just(Began), nth, st.fixed_dictionaries({"provider": providers})),
    st.tuples(st.just(Postponed), nth, st.fixed_dictionaries({"until": times, "reason": st.just("busy")})),
    st.tuples(st.just(PassedOn), nth, st.fixed_dictionaries({"provider": providers, "reason": st.just("no route")})),
    st.tuples(
        st.just(Doubted),
        nth,
        st.fixed_dictionaries({"provider": providers, "ref": references, "reason": st.just("?"), "look_at": times}),
    ),
    st.tuples(
        st.just(Cancelled), nth, st.fixed_dictionaries({"recalled": st.booleans(), "reason": st.just("no more")})
    ),
    st.tuples(st.just(Looked), nth, st.fixed_dictionaries({"look_at": times})),
    st.tuples(
        st.just(Settled),
        nth,
        st.fixed_dictionaries({"state": st.sampled_from(sorted(FINAL_STATES)), "reason": st.just("decided")}),
    ),
)
apply = st.tuples(st.just("apply"), st.lists(changes, min_size=1, max_size=4))
questions = st.one_of(
    apply,
    apply,
    apply,
    st.tuples(
        st.just("accept"),
        st.fixed_dictionaries(
            {
                "text": st.sampled_from(["", "same"]),
                "stage": st.sampled_from([Stage.READY, Stage.WAITING, Stage.SENDING]),
                "due": times,
                "account": accounts,
                "priority": st.integers(0, 2),
                "notify": st.sampled_from(Notify),
                "registered_delivery": st.sampled_from([0, 1, 0x11]),
                "duplicate_window": st.sampled_from([0, 3, 60_000]),
            }
        ),
    ),
    st.tuples(st.just("accept_many"), st.lists(st.sampled_from("abc"), max_size=4), st.sampled_from([0, 3])),
    st.tuples(st.just("replace"), nth, st.booleans(), st.sampled_from(["same", "new"]), times),
    st.tuples(st.just("absent"), st.lists(st.sampled_from("abc"), max_size=2), accounts),
    st.tuples(st.just("reachable"), st.lists(st.sampled_from("abc"), max_size=2, unique=True)),
    st.tuples(st.just("hold"), st.integers(1, 2), st.integers(1, 2)),
    st.tuples(st.just("join"), st.booleans()),
    st.tuples(st.just("drop_parts")),
    st.tuples(st.just("note"), nth),
    st.tuples(st.just("claim"), times, st.dictionaries(accounts, st.integers(1, 3))),
    st.tuples(
        st.just("to_be_asked"),
        times,
        st.builds(Turn, times, st.sampled_from([Stage.SENT, Stage.DOUBT]), st.integers(0, 5)),
        st.integers(1, 3),
    ),
    st.tuples(st.just("delivered"), st.integers(0, 3)),
    st.tuples(st.just("receipts_by_http"), times),
    st.tuples(st.just("purge"), times),
    st.tuples(st.just("restart")),
)


class Twins:
    """One road, walked in two stores at once."""

    def __init__(self, stores: list[Store], nouns: Any) -> None:
        self.stores = stores
        self.nouns = nouns
        self.now = NOW
        self.messages: list[Any] = []
        self.parts: list[Any] = []
        self.sets: list[Any] = []
        self.known_as: list[int] = []

    async def both(self, name: str, *values: Any) -> Any:
        """The answer, once it was the same from both."""
        one, other = [await getattr(store, name)(*values) for store in self.stores]
        assert one == other, name
        return one

    async def ask(self, question: Any) -> None:
        self.now += 1
        match question:
            case ("accept", fields):
                message = self.nouns.message(at=self.now, **fields)
                one, other = [await self.nouns.accept(store, message) for store in self.stores]
                assert one == other
                self.messages.append(message)
            case ("accept_many", destinations, window):
                fields = {"destination": "", "duplicate_window": window, "at": self.now}
                several = [self.nouns.message("same", **fields | {"destination": to}) for to in destinations]
                self.known_as.append(self.nouns.message(at=self.now).id)
                await self.both("accept_many", several, self.known_as[-1])
                self.messages += several
            case ("replace", n, recalled, text, due) if self.messages:
                other = Replacement(
                    id=self.messages[n % len(self.messages)].id,
                    command=Sms(text=text),
                    kind=Kind.SMS,
                    registered_delivery=1,
                    notify=Notify.SMPP,
                    due=due,
                    expires=due + 1,
                    recalled=recalled,
                )
                await self.both("replace", other, self.now)
            case ("replace", *_):
                pass
            case ("absent", subscribers, account):
                numbers = {"destination_ton": 1, "destination_npi": 1, "source_ton": 5, "source_npi": 0}
                wish = {"account": account, "source": "bank", "at": self.now, **numbers}
                await self.both("absent", [Absent(subscriber=one, destination=one, **wish) for one in subscribers])
            case ("reachable", subscribers):
                await self.both("reachable", subscribers, self.now)
            case ("apply", drawn):
                await self.both("apply", [change for one in drawn if (change := self.change(*one))], self.now)
            case ("hold", number, content):
                pdu = b"0123456789ab%4d content %d of part %d" % (self.now % 10_000, content, number)
                self.parts.append(self.nouns.part(number, at=self.now, pdu=pdu))
                held = await self.both("hold", self.parts[-1])
                if held.parts:
                    self.sets.append(held.parts)
            case ("join", again):
                if self.sets:
                    parts = self.sets[-1] if again else self.sets.pop()
                    message = self.nouns.message("joined", at=self.now, part_ids=tuple(part.id for part in parts))
                    await self.both("join", message, parts)
                    self.messages.append(message)
            case ("drop_parts",):
                dropped = self.parts[-1:]
                await self.both("drop_parts", dropped)
                # Nobody joins what he has dropped.
                self.sets = [parts for parts in self.sets if not {*dropped} & {*parts}]
            case ("note", n):
                ids = [message.id for message in self.messages[n : n + 2]]
                await self.both("note", [Entry(message=id, at=self.now, event="resent") for id in (*ids, 1)])
            case ("delivered", count):
                receipts = await self.both("receipts", "demo", 0, count)
                await self.both("delivered", receipts, self.now)
            case ("receipts_by_http", at):
                receipts = await self.both("receipts_by_http", "demo", at, 2)
                await self.both("put_off", receipts[1:], at + 1)
                await self.both("delivered", receipts[:1], self.now)
            case ("purge", before):
                await self.both("purge", before, 2)
            case ("restart",):
                for store in self.stores:
                    await store.close()
                    await store.open()
            case (name, *values):
                await self.both(name, *values)
        await self.look()

    def change(self, kind: type[Change], n: int, fields: dict[str, Any]) -> Change | None:
        if not self.messages:
            return None
        id = self.messages[n % len(self.messages)].id
        if fields.get("ref") == "own":
            fields = fields | {"ref": str(id)}
        if kind is Reported:
            told = StatusReport(state=fields["state"], ref=fields["ref"])
            return Reported(id=id if fields["by_id"] else 0, provider=fields["provider"], report=told)
        return kind(id=id, **fields)

    async def look(self) -> None:
        """Everything that can be seen."""
        await self.both("list", Filter(limit=1000))
        await self.both("stats")
        await self.both("last_id")
        await self.both("next_due")
        await self.both("to_be_asked", NOW + 10_000_000, FIRST, 1000)
        await self.both("receipts", "demo", 0, 1000)
        await self.both("held_parts", NOW + 10_000_000, 1000)
        await self.both("unsent", "demo", "bank", "a", 3)
        one, other = [(store.unsent_of("demo"), store.any_absent()) for store in self.stores]
        assert one == other
        for part in self.parts:
            await self.both("find_part", part.id)
        for ref in ("r1", "r2"):
            await self.both("find_by_ref", "a", ref)
        for id in self.known_as:
            await self.both("find_all", id)
            await self.both("find", id)
        for message in self.messages:
            await self.both("timeline", message.id)
            for id in message.part_ids:
                await self.both("find", id)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(questions, min_size=10, max_size=50))
def test_the_engines_agree(nouns: Any, asked: list[Any]) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            stores: list[Store] = [MemoryStore(), SqliteStore(Path(folder) / "smppbridge.db", clock=lambda: NOW)]
            for store in stores:
                await store.open()
            twins = Twins(stores, nouns)
            some = {"stage": Stage.READY, "registered_delivery": 0x11}
            try:
                for question in [*[("accept", some)] * 3, *asked]:
                    await twins.ask(question)
            finally:
                for store in stores:
                    await store.close()

    asyncio.run(main())
