"""QUERY_SM, CANCEL_SM and REPLACE_SM by a station over a store that may fail: answered once, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from msgspec import structs

from pdu import CancelSm, CommandId, CommandStatus, MessageState, Pdu, QuerySm, QuerySmResp, ReplaceSm, SubmitSm, encode
from smppbridge.config import AccountConfig
from smppbridge.ids import IdGenerator
from smppbridge.journal import Journal
from smppbridge.lifecycle import Change, Handed, LedOn
from smppbridge.model import Kind, Message, Millis, Notify, Part, Progress, Sms, Stage
from smppbridge.smpp.bound import Bound
from smppbridge.smpp.link import Link
from smppbridge.store.base import Applied, Replacement, StoreFailed
from smppbridge.store.memory import MemoryStore
from smppbridge.submission import Submission
from smppbridge.submission.afterwards import Standing, standing

NOW: Millis = 1_750_000_000_000
DAY: Millis = 86_400_000
WAITING, READY, SENDING, SENT, DOUBT, FINAL = Stage
BEGUN = Progress(stage=SENDING, provider="any", attempts=1)

ROK = CommandStatus.ESME_ROK
CANCELFAIL = CommandStatus.ESME_RCANCELFAIL
REPLACEFAIL = CommandStatus.ESME_RREPLACEFAIL
SYSERR = CommandStatus.ESME_RSYSERR


SCHEDULED = Progress(stage=WAITING, due=NOW + DAY)


def message(id: int = 1, progress: Progress = SCHEDULED, **fields: Any) -> Message:
    pdu = SubmitSm(source_addr="TEST", destination_addr="79990000001", short_message=b"first text", sequence_number=1)
    given: dict[str, Any] = {
        "id": id,
        "account": "demo",
        "bind": 1,
        "sequence": 1,
        "kind": Kind.SMS,
        "command": Sms(text="first text"),
        "source": pdu.source_addr,
        "source_ton": 0,
        "source_npi": 0,
        "destination": pdu.destination_addr,
        "destination_ton": 0,
        "destination_npi": 0,
        "priority": 0,
        "registered_delivery": 1,
        "notify": Notify.SMPP,
        "data_coding": 0,
        "pdu": encode(pdu),
        "accepted_at": NOW - 1000,
        "expires": NOW + 2 * DAY,
        "progress": progress,
    }
    return Message(**given | fields)


# How far it has come -------------------------------------------------------------------------------------------------

ENDED = {"stage": FINAL, "done_at": NOW}


@pytest.mark.parametrize(
    ("progress", "told", "told_3_4"),
    [
        ({"stage": WAITING, "due": NOW + 1}, MessageState.SCHEDULED, MessageState.ENROUTE),
        ({"stage": WAITING, "due": NOW}, MessageState.ENROUTE, MessageState.ENROUTE),
        ({"stage": WAITING, "due": NOW + 1, "attempts": 1}, MessageState.ENROUTE, MessageState.ENROUTE),
        ({"stage": READY}, MessageState.ENROUTE, MessageState.ENROUTE),
        ({"stage": SENDING}, MessageState.ENROUTE, MessageState.ENROUTE),
        ({"stage": DOUBT}, MessageState.ENROUTE, MessageState.ENROUTE),
        ({"stage": SENT, "state": MessageState.ACCEPTED}, MessageState.ACCEPTED, MessageState.ACCEPTED),
        ({"stage": SENT, "state": MessageState.SCHEDULED}, MessageState.ENROUTE, MessageState.ENROUTE),
        ({"stage": SENT, "state": MessageState.UNKNOWN}, MessageState.ENROUTE, MessageState.ENROUTE),
        ({**ENDED, "state": MessageState.UNKNOWN}, MessageState.UNKNOWN, MessageState.UNKNOWN),
        ({**ENDED, "state": MessageState.SKIPPED}, MessageState.SKIPPED, MessageState.UNDELIVERABLE),
    ],
)
def test_every_stage_has_a_state(progress: dict[str, Any], told: MessageState, told_3_4: MessageState) -> None:
    one = message(progress=Progress(**progress))
    assert standing([one], NOW, 0x50).state is told
    assert standing([one], NOW, 0x34).state is told_3_4


@pytest.mark.parametrize(
    ("err", "done_at", "expected"),
    [
        (0, NOW, Standing(MessageState.EXPIRED, 0, NOW)),
        (255, NOW, Standing(MessageState.EXPIRED, 255, NOW)),
        (256, NOW, Standing(MessageState.EXPIRED, 99, NOW)),
        # A provider's clock that has stopped in 1970.
        (0, 7, Standing(MessageState.EXPIRED, 0, NOW - 1000)),
    ],
)
def test_the_end_is_told_as_far_as_it_can_be(err: int, done_at: Millis, expected: Standing) -> None:
    one = message(progress=Progress(stage=FINAL, state=MessageState.EXPIRED, err=err, done_at=done_at))
    assert standing([one], NOW, 0x50) == expected


def test_of_several_the_least_far_speaks_for_all() -> None:
    def ended(state: MessageState, at: Millis, err: int = 0) -> Message:
        return message(progress=Progress(stage=FINAL, state=state, done_at=at, err=err))

    delivered, late = ended(MessageState.DELIVERED, NOW), ended(MessageState.DELIVERED, NOW + 9)
    failed = ended(MessageState.UNDELIVERABLE, NOW + 1, 6)
    sent = message(progress=Progress(stage=SENT))
    assert standing([delivered, sent], NOW, 0x50) == Standing(MessageState.ENROUTE)
    assert standing([sent, message()], NOW, 0x50) == Standing(MessageState.SCHEDULED)
    assert standing([delivered, late], NOW, 0x50) == Standing(MessageState.DELIVERED, 0, NOW + 9)
    assert standing([delivered, failed, late], NOW, 0x50) == Standing(MessageState.UNDELIVERABLE, 6, NOW + 9)


# The station ---------------------------------------------------------------------------------------------------------


class Client:
    """The client's end of a bind: keeps what it is answered, by sequence_number."""

    id = 1
    system_type = ""
    account = "demo"
    interface_version = 0x50

    def __init__(self) -> None:
        self.answers: dict[int, Pdu | tuple[int, str]] = {}
        self._answered = asyncio.Event()

    async def answer(self, sequence: int) -> Pdu | tuple[int, str]:
        while sequence not in self.answers:
            self._answered.clear()
            await self._answered.wait()
        return self.answers[sequence]

    def respond(self, pdu: Pdu) -> None:
        self._keep(pdu.sequence_number, pdu)

    def respond_error(self, request: CommandId, sequence: int, status: int, reason: str) -> None:
        self._keep(sequence, (status, reason))

    def _keep(self, sequence: int, answer: Pdu | tuple[int, str]) -> None:
        assert sequence not in self.answers
        self.answers[sequence] = answer
        self._answered.set()


class Outlet:
    """A dispatcher that holds what it is told to, as it stands on disk."""

    def __init__(self) -> None:
        self.held: dict[int, Message] = {}
        self.offered: list[int] = []

    def route_of(self, *_: object) -> Any:
        return self

    providers = ("any",)
    legs = ()

    def opening(self, account: str, priority: int, providers: Sequence[str], *, cascade: bool) -> None:
        return None

    def offer(self, message: Message) -> bool:
        self.offered.append(message.id)
        if message.progress.stage is WAITING:
            return False
        self.held[message.id] = message
        return True

    def recall(self, messages: Sequence[Message]) -> list[Message]:
        """As the dispatcher does: with what the caller knows of them."""
        return [
            structs.replace(message, progress=self.held.pop(message.id).progress)
            for message in messages
            if message.id in self.held
        ]


class Fragile(MemoryStore):
    """The memory store, but it can be told to fail, and to take its time over a search."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        #: It fails in the middle of a commit.
        self.uncertain = False
        self.go_on = asyncio.Event()
        self.go_on.set()

    def _may_fail(self) -> None:
        if self.broken:
            raise StoreFailed("the disk is full", temporary=True)
        if self.uncertain:
            raise StoreFailed("the fsync failed", uncertain=True)

    async def apply(self, changes: Sequence[Change], now: Millis) -> Sequence[Applied]:
        self._may_fail()
        return await super().apply(changes, now)

    async def replace(self, replacement: Replacement, now: Millis) -> Message | None:
        self._may_fail()
        # As a disk does, it lets others in between.
        await asyncio.sleep(0)
        return await super().replace(replacement, now)

    async def unsent(self, account: str, source: str, destination: str, limit: int) -> Sequence[Message]:
        found = await super().unsent(account, source, destination, limit)
        await self.go_on.wait()
        return found


class Station:
    """A station with its surroundings."""

    async def open(self) -> None:
        self.store, self.outlet, self.client = Fragile(), Outlet(), Client()
        self.receipts: list[tuple[int, MessageState]] = []
        await self.store.open()
        account = AccountConfig(allowed_networks=(), destinations=("7999*",))
        self.station = Submission(
            accounts={"demo": account},
            lists={},
            max_pending=1000,
            store=self.store,
            ids=IdGenerator(0, 0, lambda: NOW),
            bound=Bound(),
            outlet=self.outlet,
            clock=lambda: NOW,
            applied=lambda applied: self.receipts.extend(
                (one.receipt.message.id, one.receipt.state) for one in applied if one.receipt is not None
            ),
            journal=Journal(0),
        )

    async def hold(self, *messages: Message) -> None:
        """Accepted, and with the dispatcher if they are not WAITING."""
        assert list(await self.store.accept_many(messages, 10**6)) == [None] * len(messages)
        for one in messages:
            self.outlet.offer(one)
        self.outlet.offered.clear()

    def send(self, pdu: QuerySm | CancelSm | ReplaceSm) -> int:
        self.sequence = pdu.sequence_number = getattr(self, "sequence", 0) + 1
        self.station.asked(cast(Link, self.client), pdu, encode(pdu))
        return pdu.sequence_number

    async def ask(self, pdu: QuerySm | CancelSm | ReplaceSm) -> Any:
        """The response, or the status of a refusal."""
        answer = await self.client.answer(self.send(pdu))
        return answer[0] if isinstance(answer, tuple) else answer

    async def cancel(self, id: int) -> int:
        answer = await self.ask(CancelSm(message_id=str(id), source_addr="TEST"))
        return answer if isinstance(answer, int) else ROK

    async def replace(self, id: int, text: bytes = b"another", **fields: Any) -> int:
        answer = await self.ask(ReplaceSm(message_id=str(id), source_addr="TEST", short_message=text, **fields))
        return answer if isinstance(answer, int) else ROK


def walk(road: Callable[[Station], Any]) -> None:
    async def main() -> None:
        station = Station()
        await station.open()
        await road(station)

    asyncio.run(main())


@pytest.mark.parametrize("progress", [Progress(stage=WAITING, due=NOW), Progress(stage=READY), BEGUN])
def test_what_the_store_did_not_keep_goes_on_as_if_nobody_had_asked(progress: Progress) -> None:
    async def road(s: Station) -> None:
        await s.hold(message(progress=progress))
        held = dict(s.outlet.held)
        s.store.broken = True
        assert await s.cancel(1) == SYSERR
        assert await s.replace(1) == SYSERR
        assert await s.ask(CancelSm(source_addr="TEST", destination_addr="79990000001")) == SYSERR
        assert s.outlet.held == held
        assert await s.store.find(1) == message(progress=progress)
        s.store.broken = False
        assert await s.cancel(1) == ROK
        assert (s.outlet.held, s.receipts) == ({}, [(1, MessageState.DELETED)])

    walk(road)


@pytest.mark.parametrize("progress", [Progress(stage=READY), BEGUN])
def test_what_may_have_ended_is_not_sent(progress: Progress) -> None:
    """Nobody knows whether the store has kept it; the next start will."""

    async def road(s: Station) -> None:
        await s.hold(message(1, progress), message(2, progress))
        s.store.uncertain = True
        assert await s.cancel(1) == SYSERR
        assert await s.replace(2) == SYSERR
        assert (s.outlet.held, s.outlet.offered) == ({}, [])

    walk(road)


@pytest.mark.parametrize("progress", [Progress(stage=READY), BEGUN])
@pytest.mark.parametrize("held", [True, False])
def test_what_was_begun_is_told_by_whether_it_is_still_queued(progress: Progress, held: bool) -> None:
    async def road(s: Station) -> None:
        await s.hold(message(1, progress), message(2, progress))
        if not held:
            s.outlet.held.clear()
        # READY needs no recall to be cancelled: whoever holds it asks the store before it begins.
        assert await s.cancel(1) == (ROK if held or progress.stage is READY else CANCELFAIL)
        assert await s.replace(2) == (ROK if held else REPLACEFAIL)
        after = await s.store.find(2)
        assert after is not None
        assert (after.progress.stage, after.command) == (
            (WAITING, Sms(text="another")) if held else (progress.stage, Sms(text="first text"))
        )
        assert s.outlet.offered == ([2] if held else [])

    walk(road)


def test_what_cannot_be_replaced_is_put_back() -> None:
    """It was led on to its next leg after it was found and before it was recalled."""

    async def road(s: Station) -> None:
        first = message(1, Progress(stage=READY))
        await s.hold(first)
        find_all = s.store.find_all

        async def found_before(id: int) -> Sequence[Message]:
            found = await find_all(id)
            await s.store.apply([LedOn(id=1, reason="nobody takes it")], NOW)
            [claimed] = await s.store.claim(NOW, {"demo": 10})
            s.outlet.held[1] = claimed
            return found

        s.store.find_all = found_before  # type: ignore[method-assign]
        assert await s.replace(1) == REPLACEFAIL
        assert s.outlet.offered == [1]
        assert s.outlet.held[1].progress.leg == 1

    walk(road)


def test_what_waits_for_its_second_leg_is_cancelled_but_not_replaced() -> None:
    async def road(s: Station) -> None:
        await s.hold(message(1, Progress(stage=WAITING, due=NOW, leg=1)))
        assert await s.replace(1) == REPLACEFAIL
        assert await s.cancel(1) == ROK

    walk(road)


def test_a_search_looks_at_all_and_ends_what_still_waits() -> None:
    async def road(s: Station) -> None:
        messages = [message(id) for id in range(1, 1203)]
        await s.hold(*messages, message(2000, BEGUN))
        s.outlet.held.clear()
        await s.store.apply([Handed(id=7, provider="any", ref="r", look_at=NOW)], NOW)
        answer = await s.ask(CancelSm(source_addr="TEST", destination_addr="79990000001"))
        assert answer.command_status == ROK
        assert {id for id, _ in s.receipts} == {one.id for one in messages} - {7}
        assert await s.ask(CancelSm(source_addr="TEST", destination_addr="79990000001")) == CANCELFAIL

    walk(road)


def test_one_search_at_a_time_and_the_end_waits_for_it() -> None:
    async def road(s: Station) -> None:
        await s.hold(message())
        s.store.go_on.clear()
        first = s.send(CancelSm(source_addr="TEST", destination_addr="79990000001"))
        await asyncio.sleep(0)
        second = CancelSm(source_addr="TEST", destination_addr="79990000001")
        assert await s.ask(second) == CommandStatus.ESME_RTHROTTLED
        # Others are not held up by it.
        assert isinstance(await s.ask(QuerySm(message_id="1", source_addr="TEST")), QuerySmResp)
        end = asyncio.create_task(s.station.drain())
        await asyncio.sleep(0)
        assert await s.ask(QuerySm(message_id="1", source_addr="TEST")) == SYSERR
        assert not end.done()
        s.store.go_on.set()
        await end
        assert cast(Pdu, s.client.answers[first]).command_status == ROK
        assert s.station.accounts["demo"].pending == 0

    walk(road)


def test_what_was_replaced_while_a_search_was_on_is_not_sent_as_it_was() -> None:
    """A search that fails puts back what it recalled, as it found it."""

    async def road(s: Station) -> None:
        await s.hold(message())
        s.store.go_on.clear()
        search = s.send(CancelSm(source_addr="TEST", destination_addr="79990000001"))
        await asyncio.sleep(0)
        other = s.send(ReplaceSm(message_id="1", source_addr="TEST", short_message=b"another"))
        for _ in range(10):
            await asyncio.sleep(0)
        for due in await s.store.claim(NOW + DAY, {"demo": 10}):
            s.outlet.offer(due)
        s.store.broken = True
        s.store.go_on.set()
        assert await s.client.answer(search) == (SYSERR, "the store failed, ask again later")
        await s.client.answer(other)
        for id, held in s.outlet.held.items():
            assert await s.store.find(id) == held

    walk(road)


def test_a_part_that_is_joined_while_it_is_looked_for_is_found() -> None:
    async def road(s: Station) -> None:
        find_part = s.store.find_part

        async def joined_before(id: int) -> Part | None:
            await s.hold(message(id))
            return await find_part(id)

        s.store.find_part = joined_before  # type: ignore[method-assign]
        assert isinstance(await s.ask(QuerySm(message_id="1", source_addr="TEST")), QuerySmResp)

    walk(road)


def test_a_mistake_of_ours_is_answered_too() -> None:
    async def road(s: Station) -> None:
        # Nothing in the store has this shape; whatever it is, the client waits for an answer.
        broken = message(pdu=b"no PDU at all")
        await s.hold(broken)
        assert await s.replace(1) == SYSERR
        assert s.station.accounts["demo"].pending == 0

    walk(road)


@pytest.mark.parametrize(
    ("text", "fields", "status"),
    [
        (b"another", {}, ROK),
        (b"__VIBER__:another", {}, ROK),
        (b"", {}, CommandStatus.ESME_RINVMSGLEN),
        (b"another", {"schedule_delivery_time": "nonsense"}, CommandStatus.ESME_RINVSCHED),
        (b"another", {"validity_period": "000000000000000R"}, CommandStatus.ESME_RINVEXPIRY),
        # The end stays as it was, and it is before that.
        (b"another", {"schedule_delivery_time": "000003000000000R"}, CommandStatus.ESME_RINVEXPIRY),
        # The message waits for longer.
        (b"another", {"validity_period": "000000230000000R"}, CommandStatus.ESME_RINVEXPIRY),
    ],
)
def test_a_replacement_is_judged_like_a_submit_sm(text: bytes, fields: dict[str, str], status: int) -> None:
    pdu = SubmitSm(
        source_addr="TEST", destination_addr="79990000001", short_message=b"x", validity_period="000002000000000R"
    )

    async def road(s: Station) -> None:
        one = message(pdu=encode(pdu))
        await s.hold(one)
        assert await s.replace(1, text, **fields) == status
        after = await s.store.find(1)
        assert after is not None
        assert (after.expires, after.progress.due) == (one.expires, one.progress.due)
        assert (after.command == one.command) is (status != ROK)

    walk(road)


def test_a_replacement_keeps_the_times_of_the_one_before() -> None:
    async def road(s: Station) -> None:
        await s.hold(message())
        first, second, third = (
            s.send(ReplaceSm(message_id="1", source_addr="TEST", short_message=text, schedule_delivery_time=due))
            for text, due in ((b"one", "000000010000000R"), (b"", ""), (b"three", ""))
        )
        for sequence, status in ((first, ROK), (second, CommandStatus.ESME_RINVMSGLEN), (third, ROK)):
            answer = await s.client.answer(sequence)
            assert (answer[0] if isinstance(answer, tuple) else answer.command_status) == status
        after = await s.store.find(1)
        assert after is not None
        assert (after.command, after.progress.due) == (Sms(text="three"), NOW + 3_600_000)

    walk(road)


def test_what_an_account_may_not_send_to_it_may_not_replace() -> None:
    async def road(s: Station) -> None:
        await s.hold(message(destination="380501234567"))
        assert await s.replace(1) == CommandStatus.ESME_RINVDSTADR

    walk(road)


def test_cancelling_says_by_whom_it_was_asked() -> None:
    async def road(s: Station) -> None:
        await s.hold(message())
        assert await s.replace(1) == ROK
        assert await s.cancel(1) == ROK
        lines = [(entry.event, entry.detail) for entry in await s.store.timeline(1)]
        assert lines[1:] == [
            ("replaced", "by the client over bind 1, sequence_number 1"),
            ("final", "cancelled by the client over bind 1, sequence_number 2"),
        ]

    walk(road)
