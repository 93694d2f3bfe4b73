"""Long messages in parts, by a station over a store on disk: joined once, sent once, every outcome told once."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from pdu import CommandId, CommandStatus, DataSm, MessageState, SubmitSm, Tag, Tlv, encode, tlv
from smppbridge.config import AccountConfig, Dialect
from smppbridge.ids import IdGenerator
from smppbridge.journal import Journal
from smppbridge.model import Message, Notify, Part, Progress, Stage
from smppbridge.smpp.bound import Bound
from smppbridge.smpp.link import Link
from smppbridge.store.base import Applied, Duplicate, Held, StoreFailed
from smppbridge.store.sqlite import SqliteStore
from smppbridge.submission import Submission, parts

NOW = 1_750_000_000_000
TEXT = "A long text that goes in parts, each with a few words of it. " * 5


class Client:
    """The client's end of a bind."""

    system_type = ""
    account = "demo"

    def __init__(self, id: int) -> None:
        self.id = id
        self.asked = 0
        self._answers: dict[int, asyncio.Future[tuple[int, str]]] = {}

    def ask(self) -> tuple[int, asyncio.Future[tuple[int, str]]]:
        """The next sequence_number, and what will be answered to it: exactly once, or the future says so."""
        self.asked += 1
        answer = self._answers[self.asked] = asyncio.get_running_loop().create_future()
        return self.asked, answer

    def respond_submit(self, sequence: int, status: int, id: str, *, request: CommandId) -> None:
        self._answers[sequence].set_result((status, id))

    def respond_error(self, request: CommandId, sequence: int, status: int, reason: str) -> None:
        self._answers[sequence].set_result((status, reason))


class Outlet:
    """A dispatcher that takes whatever comes."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def route_of(self, *_: object) -> Any:
        return self

    providers = ("any",)
    legs = ()

    def opening(self, account: str, priority: int, providers: Sequence[str], *, cascade: bool) -> Progress:
        return Progress()

    def offer(self, message: Message) -> bool:
        self.sent.append(message)
        return True


class Disk(SqliteStore):
    """One that can be too full for whole messages, and on which things happen at the worst moment."""

    full = False
    #: Is done once a part is safe and before anybody knows.
    after_hold: Callable[[], Awaitable[None]] | None = None
    #: What was held just before a message was joined.
    seen: Sequence[Sequence[Part]] = ()

    async def hold(self, part: Part) -> Held:
        held = await super().hold(part)
        if self.after_hold is not None:
            await self.after_hold()
        return held

    async def join(self, message: Message, parts: Sequence[Part]) -> Duplicate | None:
        if self.full:
            raise StoreFailed("the disk is full", temporary=True)
        self.seen = await super().held_parts(0, 10)
        return await super().join(message, parts)


class Life:
    """A gateway's middle from one start to the next, over what the one before left on disk."""

    def __init__(self, path: Path, config: AccountConfig) -> None:
        self.now = NOW
        self.path, self.config = path, config
        self.outlet = Outlet()
        self.clients: list[Client] = []
        self.binds = 0
        #: Ids that a receipt went out for, and what it said.
        self.told: Counter[tuple[int, MessageState]] = Counter()
        #: Somebody was told something.
        self.heard = asyncio.Event()

    async def start(self) -> None:
        self.store = Disk(self.path, clock=lambda: self.now)
        await self.store.open()
        self.station = Submission(
            accounts={"demo": self.config},
            lists={},
            max_pending=1000,
            store=self.store,
            ids=IdGenerator(0, await self.store.last_id(), lambda: self.now),
            bound=Bound(),
            outlet=self.outlet,
            clock=lambda: self.now,
            applied=self._applied,
            journal=Journal(0),
        )
        self.clients = []
        for _ in range(3):
            self.binds += 1
            self.clients.append(Client(self.binds))
        await self.station.parts.sweep()

    async def stop(self) -> None:
        await self.station.drain()
        await self.store.close()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def send(self, pdu: SubmitSm | DataSm, bind: int = 0) -> tuple[int, str]:
        client = self.clients[bind]
        pdu.sequence_number, answer = client.ask()
        link = cast(Link, client)
        if isinstance(pdu, SubmitSm):
            self.station.submitted(link, pdu, encode(pdu))
        else:
            self.station.asked(link, pdu, encode(pdu))
        return await answer

    async def sweeps(self) -> None:
        """Looks at the parts that are held while others come, as is done from time to time."""
        for _ in range(5):
            await self.station.parts.sweep()

    async def expire(self) -> None:
        self.now += int(self.config.parts_timeout * 1000) + 1
        await self.station.parts.sweep()

    def _applied(self, applied: Sequence[Applied]) -> None:
        self.heard.set()
        for one in applied:
            for receipt in (*one.earlier, one.receipt):
                if receipt is not None:
                    self.told.update((id, receipt.state) for id in receipt.ids)


def configured(**settings: Any) -> AccountConfig:
    return AccountConfig(allowed_networks=(), **settings)


def walk(road: Any, **settings: Any) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            life = Life(Path(folder) / "state.db", configured(**settings))
            await life.start()
            try:
                await road(life)
            finally:
                await life.stop()

    asyncio.run(main())


# How a part can look -------------------------------------------------------------------------------------------------


def pieces(total: int, text: str = TEXT) -> list[bytes]:
    data = text.encode("ascii")
    size = -(-len(data) // total)
    return [data[at : at + size] for at in range(0, len(data), size)]


def udh8(reference: int, total: int, number: int) -> bytes:
    return bytes((5, 0, 3, reference % 256, total, number))


def udh16(reference: int, total: int, number: int) -> bytes:
    return bytes((6, 8, 4, reference >> 8, reference % 256, total, number))


def sar(reference: int, total: int, number: int) -> list[Tlv]:
    return [
        tlv(Tag.SAR_MSG_REF_NUM, reference),
        tlv(Tag.SAR_TOTAL_SEGMENTS, total),
        tlv(Tag.SAR_SEGMENT_SEQNUM, number),
    ]


WAYS = ("udh8", "udh16", "udh16 payload", "sar", "sar payload", "data_sm sar", "data_sm udh16")


def part(way: str, reference: int, total: int, number: int, piece: bytes, asks: int = 1, **fields: Any) -> Any:
    """One part as some client sends it; asked for a receipt."""
    fields = {"source_addr": "TEST", "destination_addr": "79991234567", "registered_delivery": asks} | fields
    header = b""
    if "udh" in way:
        header = (udh8 if way == "udh8" else udh16)(reference, total, number)
        fields["esm_class"] = 0x40
    tlvs = sar(reference, total, number) if "sar" in way else []
    if "payload" in way or "data_sm" in way:
        tlvs.append(tlv(Tag.MESSAGE_PAYLOAD, header + piece))
    else:
        fields["short_message"] = header + piece
    return (DataSm if "data_sm" in way else SubmitSm)(tlvs=tlvs, **fields)


# Single rules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_say_which_part_it_is(way: str) -> None:
    async def road(life: Life) -> None:
        for number in (3, 1, 2):
            status, _ = await life.send(part(way, 7, 3, number, pieces(3)[number - 1]), bind=number % 2)
            assert status == 0
        [message] = life.outlet.sent
        assert cast(Any, message.command).text == TEXT

    walk(road)


@pytest.mark.parametrize("ways", [("udh16", "sar"), ("sar", "data_sm sar"), ("udh8", "sar payload")])
def test_parts_of_one_message_that_come_in_different_ways(ways: tuple[str, str]) -> None:
    async def road(life: Life) -> None:
        for number, way in enumerate(ways, 1):
            assert (await life.send(part(way, 7, 2, number, pieces(2)[number - 1])))[0] == 0
        assert [cast(Any, message.command).text for message in life.outlet.sent] == [TEXT]

    walk(road)


@pytest.mark.parametrize(
    ("policy", "asks", "told"),
    [
        ("asked", [1, 0, 1], [1, 3]),
        ("all", [1, 0, 0], [1, 2, 3]),
        ("all", [0, 0, 0], []),
        ("first", [0, 0, 1], [1]),
        ("last", [1, 1, 0], [3]),
        ("first", [0, 0, 0], []),
    ],
)
@pytest.mark.parametrize("handler", [False, True])
def test_which_parts_get_a_receipt(policy: str, asks: list[int], told: list[int], handler: bool) -> None:
    async def road(life: Life) -> None:
        ids = [
            int((await life.send(part("sar", 7, 3, number, piece, asks[number - 1])))[1])
            for number, piece in enumerate(pieces(3), 1)
        ]
        [message] = life.outlet.sent
        if any(asks):
            assert message.notify is Notify.SMPP
            assert message.part_ids == tuple(ids[number - 1] for number in told)
        elif handler:
            # Statuses of messages that nobody asked about: the policy chooses among all parts.
            assert message.notify is Notify.HTTP
            assert message.part_ids == tuple(ids[:1] if policy == "first" else ids)
        else:
            assert (message.notify, message.part_ids) == (Notify.NOBODY, ())

    more = {"handler": {"url": "http://127.0.0.1/"}} if handler else {}
    walk(road, parts_receipts=policy, **more)


def test_parts_that_differ_in_data_coding_are_refused_and_the_acknowledged_ones_end() -> None:
    async def road(life: Life) -> None:
        one, two = pieces(2)
        _, id = await life.send(part("sar", 7, 2, 1, one))
        status, reason = await life.send(part("sar", 7, 2, 2, two, data_coding=8))
        assert (status, reason) == (
            CommandStatus.ESME_RSUBMITFAIL,
            "the parts of one message differ in data_coding: 0 and 8",
        )
        assert life.told == {(int(id), MessageState.REJECTED): 1}

    walk(road)


@pytest.mark.parametrize(("total", "state"), [(3, MessageState.EXPIRED), (2, MessageState.REJECTED)])
def test_parts_that_are_read_otherwise_after_a_reload_end_all_the_same(total: int, state: MessageState) -> None:
    """Its client says that there is a header where there is none, and its dialect no longer looks past that."""

    async def road(life: Life) -> None:
        status, id = await life.send(part("sar", 7, total, 1, b"Hello", esm_class=0x40))
        assert status == 0
        life.station.reload({"demo": configured()}, {})
        if total == 2:
            assert (await life.send(part("sar", 7, total, 2, b"there")))[0] == CommandStatus.ESME_RSUBMITFAIL
        await life.expire()
        assert life.told == {(int(id), state): 1}
        assert life.outlet.sent == []

    walk(road, dialect=Dialect(headers="lenient"))


def test_a_set_that_nobody_can_settle_holds_up_no_other() -> None:
    async def road(life: Life) -> None:
        _, first = await life.send(part("sar", 7, 2, 1, b"one", source_addr="FIRST"))
        _, other = await life.send(part("sar", 8, 2, 1, b"one"))
        [[held], _] = await life.store.held_parts(2**62, 10)
        assert held.id == int(first)
        await life.store.drop_parts([held])
        # Nothing in the store has this shape; whatever it is, the others are not to wait for it.
        await life.store.hold(structs.replace(held, pdu=b"no PDU at all"))
        await life.expire()
        assert life.told == {(int(other), MessageState.EXPIRED): 1}

    walk(road)


def test_a_backlog_of_sets_is_settled_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    async def road(life: Life) -> None:
        monkeypatch.setattr(parts, "_PAGE", 3)
        for reference in range(10):
            assert (await life.send(part("sar", reference, 2, 1, b"one")))[0] == 0
        life.now += int(life.config.parts_timeout * 1000) + 1
        work = asyncio.create_task(life.station.run())
        async with asyncio.timeout(10):
            while life.told.total() < 10:
                await life.heard.wait()
                life.heard.clear()
        work.cancel()
        assert set(life.told.values()) == {1}

    walk(road)


def test_a_page_of_sets_that_nobody_can_settle_is_not_looked_at_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def road(life: Life) -> None:
        monkeypatch.setattr(parts, "_PAGE", 1)
        await life.send(part("sar", 7, 2, 1, b"one"))
        [[held]] = await life.store.held_parts(2**62, 10)
        await life.store.drop_parts([held])
        await life.store.hold(structs.replace(held, pdu=b"no PDU at all"))
        life.now += int(life.config.parts_timeout * 1000) + 1
        assert not await life.station.parts.sweep()

    walk(road)


def test_sets_that_cannot_be_settled_now_are_settled_later() -> None:
    async def road(life: Life) -> None:
        for reference in range(3):
            await life.send(part("sar", reference, 2, 1, b"one"))
        life.store.full = True
        with pytest.raises(StoreFailed):
            await life.expire()
        assert life.told == {}
        life.store.full = False
        await life.station.parts.sweep()
        assert life.told.total() == 3

    walk(road)


def test_addresses_that_are_not_allowed_are_refused_with_the_first_part() -> None:
    async def road(life: Life) -> None:
        status, reason = await life.send(part("sar", 7, 2, 1, pieces(2)[0]))
        assert (status, reason) == (CommandStatus.ESME_RINVDSTADR, "this account may send to 380* alone")
        assert await life.store.held_parts(2**62, 10) == []
        assert life.station.accounts["demo"].rates.take(life.now, 1) is None

    walk(road, destinations=("380*",), per_minute=1)


def test_a_last_part_that_the_disk_had_no_room_for_was_not_taken() -> None:
    async def road(life: Life) -> None:
        one, two = (part("sar", 7, 2, number, piece) for number, piece in enumerate(pieces(2), 1))
        status, id = await life.send(one)
        assert status == 0
        life.store.full = True
        status, _ = await life.send(two)
        assert status == CommandStatus.ESME_RMSGQFUL
        life.store.full = False
        await life.restart()
        # It was refused, so nothing is whole, whoever looks.
        assert life.outlet.sent == []
        status, second = await life.send(two)
        assert status == 0
        assert [message.part_ids for message in life.outlet.sent] == [(int(id), int(second))]

    walk(road)


def test_a_last_part_that_is_kept_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is room for the part and then for nothing more, so it cannot be taken back either."""

    async def nothing_more(self: Disk, *_: object) -> None:
        raise StoreFailed("the disk is full", temporary=True)

    async def road(life: Life) -> None:
        one, two = (part("sar", 7, 2, number, piece) for number, piece in enumerate(pieces(2), 1))
        assert (await life.send(one))[0] == 0
        life.store.full = True
        monkeypatch.setattr(Disk, "drop_parts", nothing_more)
        assert (await life.send(two))[0] == 0
        monkeypatch.undo()
        life.store.full = False
        assert life.outlet.sent == []
        await life.station.parts.sweep()
        assert len(life.outlet.sent) == 1

    walk(road)


@pytest.mark.parametrize("failing", ["drop_parts", "join", "apply"])
def test_a_crash_while_an_identical_whole_is_refused_loses_no_part_of_it(
    failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store refuses everything from one of the steps on, as one does whose process is about to end."""

    async def road(life: Life) -> None:
        await life.send(part("sar", 7, 2, 1, pieces(2)[0]))
        await life.send(part("sar", 7, 2, 2, pieces(2)[1]))
        status, id = await life.send(part("sar", 8, 2, 1, pieces(2)[0]))
        assert status == 0
        refused, whole = False, Disk.join

        async def nothing_more(self: Disk, *_: object) -> Any:
            raise StoreFailed("the disk is gone")

        async def identical(self: Disk, message: Message, parts: Sequence[Part]) -> Duplicate | None:
            nonlocal refused
            verdict = await (nothing_more if refused and failing != "apply" else whole)(self, message, parts)
            refused = True
            return cast(Duplicate | None, verdict)

        monkeypatch.setattr(Disk, "join", identical)
        for name in {"drop_parts": ("drop_parts", "apply"), "join": ("apply",), "apply": ("apply",)}[failing]:
            monkeypatch.setattr(Disk, name, nothing_more)
        status, last = await life.send(part("sar", 8, 2, 2, pieces(2)[1]))
        assert refused
        monkeypatch.undo()
        await life.restart()
        if failing == "apply":
            # It waits to end, and is not due before its time is over: the dispatcher ends it then.
            found = await life.store.find(int(id))
            assert found is not None
            assert found.part_ids == (int(id),)
            assert (found.progress.stage, found.progress.due > found.expires) == (Stage.WAITING, True)
        else:
            await life.expire()
            told = {int(id), int(last)} if status == 0 else {int(id)}
            state = MessageState.REJECTED if status == 0 else MessageState.EXPIRED
            assert life.told == {(one, state): 1 for one in told}
        assert len(life.outlet.sent) == 1

    walk(road)


def test_a_part_that_is_refused_for_a_mistake_of_ours_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def road(life: Life) -> None:
        def broken(*_: object) -> Any:
            raise RuntimeError("ours")

        assert (await life.send(part("sar", 7, 2, 1, pieces(2)[0])))[0] == 0
        monkeypatch.setattr(type(life.station), "read", broken)
        assert (await life.send(part("sar", 7, 2, 2, pieces(2)[1])))[0] == CommandStatus.ESME_RSYSERR
        monkeypatch.undo()
        await life.station.parts.sweep()
        assert life.outlet.sent == []

    walk(road)


def test_a_set_that_is_being_joined_is_left_alone_by_who_looks_at_what_is_held() -> None:
    async def road(life: Life) -> None:
        life.store.after_hold = life.station.parts.sweep
        for number, piece in enumerate(pieces(2), 1):
            assert (await life.send(part("sar", 7, 2, number, piece)))[0] == 0
        assert len(life.outlet.sent) == 1
        assert life.told == {}

    walk(road)


def test_a_set_that_was_joined_since_it_was_looked_up_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def road(life: Life) -> None:
        for number, piece in enumerate(pieces(2), 1):
            assert (await life.send(part("sar", 7, 2, number, piece)))[0] == 0
        [stale] = life.store.seen
        assert len(stale) == 2

        async def held_parts(*_: object) -> Sequence[Sequence[Part]]:
            return [stale]

        monkeypatch.setattr(life.store, "held_parts", held_parts)
        await life.station.parts.sweep()
        assert len(life.outlet.sent) == 1
        assert life.told == {}

    walk(road)


@pytest.mark.parametrize(("counts", "passes"), [("each", 2), ("once", 5)])
def test_a_long_message_counts_by_parts_or_once(counts: str, passes: int) -> None:
    async def road(life: Life) -> None:
        coming = [(7, 4), (7, 1), (7, 2), (7, 3), (8, 1), (9, 1)]
        statuses = [
            (await life.send(part("sar", reference, 4, number, pieces(4)[number - 1])))[0]
            for reference, number in coming
        ]
        assert statuses == [0] * passes + [CommandStatus.ESME_RTHROTTLED] * (6 - passes)

    walk(road, per_minute=2, parts_count=counts)


@pytest.mark.parametrize("counts", ["each", "once"])
def test_a_part_that_comes_again_and_one_that_is_refused_cost_nothing(counts: str) -> None:
    async def road(life: Life) -> None:
        account = life.station.accounts["demo"]
        one, two = pieces(2)
        for _ in range(3):
            await life.send(part("sar", 7, 2, 1, one))
        assert account.rates.take(life.now, 9) is None
        account.rates.apply(0, 0)
        account.rates.apply(0, 0, per_minute=10)
        await life.send(part("sar", 7, 2, 2, two, data_coding=8))
        assert account.rates.take(life.now, 10) is None

    walk(road, per_minute=10, parts_count=counts)


def test_no_more_is_given_back_than_was_paid() -> None:
    """Where a set counts once, most of its parts are free; refused or sent again they must not be worth anything."""

    async def road(life: Life) -> None:
        account = life.station.accounts["demo"]
        for number, piece in enumerate(pieces(3)[:2], 1):
            await life.send(part("sar", 7, 3, number, piece))
        for _ in range(3):
            for number, piece in enumerate(pieces(3)[:2], 1):
                await life.send(part("sar", 7, 3, number, piece))
        for number in range(1, 4):
            status, _ = await life.send(part("sar", 8, 4, number, b"to nobody", destination_addr="38099"))
            assert status == CommandStatus.ESME_RINVDSTADR
        assert account.rates.take(life.now, 10) is not None
        assert account.rates.take(life.now, 9) is None

    walk(road, per_minute=10, parts_count="once", destinations=("7*",))


def test_parts_that_come_in_one_go_are_being_stored_from_the_first_moment() -> None:
    async def road(life: Life) -> None:
        answers = await asyncio.gather(*(life.send(part("sar", 7, 3, 1 + n, b"a part")) for n in range(3)))
        assert [status for status, _ in answers] == [0, 0, CommandStatus.ESME_RMSGQFUL]

    walk(road, max_pending=2)


def test_a_whole_that_was_not_kept_counts_as_none_to_its_subscriber() -> None:
    async def road(life: Life) -> None:
        async def join(*_: object) -> Duplicate | None:
            raise StoreFailed("the disk is full", temporary=True)

        one, two = (part("sar", 7, 2, number, piece) for number, piece in enumerate(pieces(2), 1))
        await life.send(one)
        kept, life.store.join = life.store.join, join  # type: ignore[method-assign]
        assert (await life.send(two))[0] == CommandStatus.ESME_RMSGQFUL
        life.store.join = kept  # type: ignore[method-assign]
        assert (await life.send(two))[0] == 0

    walk(road, flood_messages=1)


def test_an_identical_whole_is_refused_in_the_words_of_a_short_one() -> None:
    async def road(life: Life) -> None:
        said = [
            await life.send(part("sar", reference, 2, number, piece))
            for reference in (7, 8)
            for number, piece in enumerate(pieces(2), 1)
        ]
        assert [status for status, _ in said[:3]] == [0, 0, 0]
        first = int(said[0][1], 16)
        assert said[3] == (
            CommandStatus.ESME_RSUBMITFAIL,
            f"identical message {first:016X} was accepted less than 60 s ago",
        )

    walk(road, dialect=Dialect(response_ids="hex", response_id_length=16))


# All of it at once ---------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_joined_once_sent_once_and_every_acknowledged_part_hears_once(data: st.DataObject) -> None:
    """Parts of two messages in any order and way, over any bind, twice and over restarts; some never come."""
    total = data.draw(st.integers(2, 4), label="parts")
    chance = random.Random(data.draw(st.integers(0, 2**32), label="seed"))  # noqa: S311
    incomplete = data.draw(st.booleans(), label="one part of the second message never comes")
    parts = {}
    for message in (1, 2):
        for number, piece in enumerate(pieces(total, f"Message {message}: {TEXT}"), 1):
            if not (incomplete and (message, number) == (2, total)):
                parts[message, number] = (chance.choice(("sar", "sar payload", "data_sm sar", "udh16")), piece)
    order = data.draw(st.permutations(list(parts)), label="order")
    # Each may be sent again, in the same way, at any time after.
    for again in data.draw(st.lists(st.sampled_from(order), max_size=4), label="again"):
        order.insert(chance.randrange(order.index(again) + 1, len(order) + 1), again)
    # Within a burst nobody waits for an answer; between two the gateway is started again, or not.
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order))), label="cuts"))
    bursts = [order[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    restarts = data.draw(st.sets(st.sampled_from(range(len(bursts))), max_size=2), label="restarts")

    async def road(life: Life) -> None:
        ids: dict[tuple[int, int], int] = {}
        for place, burst in enumerate(bursts):
            if place in restarts:
                await life.restart()
            life.now += 10
            sent = [
                life.send(part(way, message, total, number, piece), bind=chance.randrange(3))
                for message, number in burst
                for way, piece in [parts[message, number]]
            ]
            *answers, _ = await asyncio.gather(*sent, life.sweeps())
            for one, (status, id) in zip(burst, answers, strict=True):
                assert status == 0
                # A part sent again has the same id.
                assert ids.setdefault(one, int(id)) == int(id)
        whole = {1} if incomplete else {1, 2}
        texts = [cast(Any, message.command).text for message in life.outlet.sent]
        assert sorted(texts) == [f"Message {message}: {TEXT}" for message in sorted(whole)]
        for message in life.outlet.sent:
            mine = next(one for one in whole if f"Message {one}:" in cast(Any, message.command).text)
            assert message.part_ids == tuple(ids[mine, number] for number in range(1, total + 1))
        for _ in range(2):
            await life.expire()
        assert len(life.outlet.sent) == len(whole)
        # Those whose message became whole hear of it from the dispatcher; the others have heard, once.
        lost = {ids[one] for one in ids if one[0] not in whole}
        assert life.told == Counter({(id, MessageState.EXPIRED): 1 for id in lost})
        for one, id in ids.items():
            found = await life.store.find(id)
            assert found is not None
            assert id in found.part_ids, one

    walk(road)
