"""Whom a SUBMIT_MULTI means, what its response says of those that cannot be sent to, and that there is always one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from pdu import (
    CommandId,
    CommandStatus,
    DistributionList,
    MessageState,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    decode,
    encode,
)
from smppbridge.config import AccountConfig, DistributionListConfig
from smppbridge.ids import IdGenerator
from smppbridge.journal import Journal
from smppbridge.lifecycle import Change
from smppbridge.model import Kind, Message, Millis, Progress, Stage, bare
from smppbridge.smpp.bound import Bound
from smppbridge.smpp.link import Link
from smppbridge.store.base import Applied, Filter, StoreFailed, Verdicts
from smppbridge.store.memory import MemoryStore
from smppbridge.submission import Submission
from smppbridge.submission.multi import Failed, expand, reason_of, response

NOW = 1_800_000_000_000
LISTS = {
    "staff": DistributionListConfig(accounts=("shop", "demo"), numbers=("79990000001", "+79990000002")),
    "night": DistributionListConfig(accounts=("shop",), numbers=("+79990000001", "79990000003")),
}


def number(text: str, ton: int = 2, npi: int = 3) -> SmeAddress:
    return SmeAddress(dest_addr_ton=ton, dest_addr_npi=npi, destination_addr=text)


def failure(text: str, status: CommandStatus = CommandStatus.ESME_RINVDSTADR) -> Failed:
    return Failed(number(text), status, f"{text} is wrong")


# Whom it means -------------------------------------------------------------------------------------------------------


def test_numbers_stay_as_they_were_written() -> None:
    assert expand([number("79990000009"), number("nobody", 5, 0)], LISTS, "shop") == (
        [number("79990000009"), number("nobody", 5, 0)],
        [],
    )


def test_a_list_stands_for_its_numbers_which_are_international() -> None:
    assert expand([DistributionList(dl_name="staff")], LISTS, "shop") == (
        [number("79990000001", 1, 1), number("+79990000002", 1, 1)],
        [],
    )


def test_nobody_is_meant_twice_and_the_first_writing_counts() -> None:
    named = [number("79990000003"), *(DistributionList(dl_name=name) for name in ("night", "staff", "night"))]
    found, missing = expand([*named, number("+79990000003")], LISTS, "shop")
    assert [one.destination_addr for one in found] == ["79990000003", "+79990000001", "+79990000002"]
    assert missing == []


def test_a_list_that_is_named_again_is_not_walked_again() -> None:
    """A small PDU may name it 255 times."""

    class Numbers(tuple[str, ...]):
        walked = 0

        def __iter__(self) -> Iterator[str]:
            Numbers.walked += 1
            return super().__iter__()

    lists = {"all": DistributionListConfig.model_construct(accounts=("shop",), numbers=Numbers(["79990000001"]))}
    found, missing = expand([DistributionList(dl_name="all")] * 255, lists, "shop")
    assert (len(found), missing, Numbers.walked) == (1, [], 1)


def test_a_list_of_others_is_one_that_is_not_there() -> None:
    for name in ("night", "nowhere", ""):
        found, [missing] = expand([DistributionList(dl_name=name), DistributionList(dl_name=name)], LISTS, "demo")
        assert found == []
        assert (missing.to.destination_addr, missing.status) == (name, CommandStatus.ESME_RINVDLNAME)
    assert expand([DistributionList(dl_name="staff")], LISTS, "nobody")[0] == []


NUMBERS = st.from_regex(r"\+?[0-9]{3,6}", fullmatch=True)
NAMES = st.sampled_from(["a", "b", "c"])


@given(
    named=st.lists(st.one_of(NUMBERS.map(number), NAMES.map(lambda name: DistributionList(dl_name=name)))),
    lists=st.dictionaries(
        NAMES,
        st.builds(
            DistributionListConfig,
            accounts=st.sampled_from([("shop",), ("demo",), ("shop", "demo")]),
            numbers=st.lists(NUMBERS, min_size=1).map(tuple),
        ),
    ),
)
def test_everybody_who_is_meant_and_nobody_else_is_sent_to_once(
    named: list[SmeAddress | DistributionList], lists: dict[str, DistributionListConfig]
) -> None:
    found, missing = expand(named, lists, "shop")
    mine = {name: one for name, one in lists.items() if "shop" in one.accounts}
    meant = []
    for one in named:
        if isinstance(one, SmeAddress):
            meant.append(one.destination_addr)
        elif one.dl_name in mine:
            meant += mine[one.dl_name].numbers
    # Each once, in the order and the writing in which it was named first.
    first = {bare(text): text for text in reversed(meant)}
    assert {bare(one.destination_addr): one.destination_addr for one in found} == first
    assert len(found) == len(first)
    assert [bare(one.destination_addr) for one in found] == list(dict.fromkeys(map(bare, meant)))
    asked = {one.dl_name for one in named if isinstance(one, DistributionList)}
    assert sorted(one.to.destination_addr for one in missing) == sorted(asked - mine.keys())


# What the client is told ---------------------------------------------------------------------------------------------


def test_with_an_id_it_is_a_success_whoever_is_left_out() -> None:
    answer = response(7, "123", [failure("nobody"), failure("someone", CommandStatus.ESME_RSUBMITFAIL)])
    assert (answer.sequence_number, answer.command_status, answer.message_id) == (7, CommandStatus.ESME_ROK, "123")
    one, other = answer.unsuccess_smes
    assert (one.dest_addr_ton, one.dest_addr_npi, one.destination_addr) == (2, 3, "nobody")
    assert (one.error_status_code, other.error_status_code) == (
        CommandStatus.ESME_RINVDSTADR,
        CommandStatus.ESME_RSUBMITFAIL,
    )


def test_without_one_it_has_the_status_that_all_have() -> None:
    assert response(7, "", [failure("a"), failure("b")]).command_status == CommandStatus.ESME_RINVDSTADR
    mixed = [failure("a"), failure("b", CommandStatus.ESME_RINVDLNAME)]
    assert response(7, "", mixed).command_status == CommandStatus.ESME_RSUBMITFAIL


@given(st.integers(min_value=0, max_value=600), st.booleans())
def test_it_always_fits_into_a_pdu(count: int, taken: bool) -> None:
    failed = [failure(str(number)) for number in range(count)]
    answer = response(7, "123" if taken else "", failed)
    read = decode(encode(answer))
    assert isinstance(read, SubmitMultiResp)
    # Also beside an error, so that the client learns who of them.
    assert [one.destination_addr for one in read.unsuccess_smes] == [str(number) for number in range(count)][:255]


def test_the_first_reason_stands_for_all() -> None:
    assert reason_of([], 3) == ""
    said = reason_of([failure("nobody"), failure("someone")], 3)
    assert said == "2 of 3 destinations cannot be sent to, the first: nobody is wrong"


# The station ---------------------------------------------------------------------------------------------------------


#: More than unsuccess_sme has room for, and no route takes them.
BAD = [f"3{number:06}" for number in range(300)]
LEFT_OUT = DistributionList(dl_name="left out")


class Client:
    """The client's end of a bind: keeps what it is answered."""

    id = 5
    account = "demo"
    system_type = ""

    def __init__(self) -> None:
        self.answers: list[SubmitMultiResp] = []
        self.errors: list[tuple[int, str]] = []

    def respond(self, pdu: SubmitMultiResp, reason: str) -> None:
        self.answers.append(pdu)

    def respond_error(self, request: CommandId, sequence: int, status: int, reason: str) -> None:
        assert request is CommandId.SUBMIT_MULTI
        self.errors.append((status, reason))


class Outlet:
    """Takes whatever is offered."""

    def __init__(self) -> None:
        self.offered: list[Message] = []

    def route_of(self, account: str, kind: Kind, destination: str, source: str) -> Any:
        return Decision(("sandbox",) if bare(destination).startswith("7") else ())

    def opening(self, account: str, priority: int, providers: Sequence[str], *, cascade: bool) -> Progress:
        return Progress()

    def offer(self, message: Message) -> bool:
        self.offered.append(message)
        return True


class Decision(NamedTuple):
    providers: tuple[str, ...]
    why: str = "no route"
    legs: tuple[object, ...] = ()


class Failing(MemoryStore):
    """A disk that is full from a given transaction of a SUBMIT_MULTI on."""

    def __init__(self, after: int, error: Exception) -> None:
        super().__init__()
        self._left = after
        self._error = error

    async def accept_many(self, messages: Sequence[Message], known_as: int) -> Verdicts:
        self._left -= 1
        if self._left < 0:
            raise self._error
        return await super().accept_many(messages, known_as)


class Desk:
    """A station over a store, with one client, whose quota of the day is a thousand messages."""

    def __init__(self, store: MemoryStore, **settings: Any) -> None:
        self.store = store
        self.outlet = Outlet()
        self.client = Client()
        self.applied: list[Applied] = []
        self.station = Submission(
            accounts={"demo": AccountConfig(allowed_networks=(), per_day=1000, **settings)},
            lists={"left out": DistributionListConfig(accounts=("demo",), numbers=tuple(BAD))},
            max_pending=1000,
            store=store,
            ids=IdGenerator(0),
            bound=Bound(),
            outlet=self.outlet,
            clock=lambda: NOW,
            applied=self.applied.extend,
            journal=Journal(0),
        )
        self.account = self.station.accounts["demo"]

    async def submit(self, to: Sequence[SmeAddress | DistributionList], **fields: Any) -> None:
        """Ask, and wait until it is answered, once."""
        pdu = SubmitMulti(sequence_number=9, dest_addresses=list(to), **{"short_message": b"hello"} | fields)
        self.station.asked(cast(Link, self.client), pdu, encode(pdu))
        # Drained is what has been answered.
        await asyncio.wait_for(self.station.drain(), 10)
        self.station.open = True
        assert len(self.client.answers) + len(self.client.errors) == 1
        assert self.account.pending == 0

    @property
    def counted(self) -> int:
        """Messages that count in the quota of the day."""
        free = 0
        while self.account.rates.take(NOW) is None:
            free += 1
        return 1000 - free


def asked(store: MemoryStore, *to: str | DistributionList) -> Desk:
    """After one SUBMIT_MULTI."""

    async def ask() -> Desk:
        await store.open()
        desk = Desk(store)
        await desk.submit([number(one) if isinstance(one, str) else one for one in to])
        return desk

    return asyncio.run(ask())


GOOD = ["79990000001", "79990000002"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StoreFailed("a failed fsync"), CommandStatus.ESME_RSYSERR),
        (StoreFailed("disk full", temporary=True), CommandStatus.ESME_RMSGQFUL),
        (RuntimeError("ours"), CommandStatus.ESME_RSYSERR),
    ],
)
def test_a_store_that_fails_is_one_answer_for_the_whole(error: Exception, status: CommandStatus) -> None:
    desk = asked(Failing(0, error), *GOOD)
    [(said, reason)] = desk.client.errors
    assert said == status
    assert reason
    assert (desk.outlet.offered, desk.applied) == ([], [])


def test_what_is_kept_is_never_refused() -> None:
    """A mistake between the commit and the response: nobody hears anything, and a resend gets the id."""

    class Speechless(Client):
        cut = 0

        def respond(self, pdu: SubmitMultiResp, reason: str) -> None:
            raise RuntimeError("ours")

        def abort(self) -> None:
            self.cut += 1

    async def ask() -> Desk:
        desk = Desk(MemoryStore())
        await desk.store.open()
        desk.client = client
        pdu = SubmitMulti(sequence_number=9, dest_addresses=[number(one) for one in GOOD], short_message=b"hello")
        desk.station.asked(cast(Link, client), pdu, encode(pdu))
        await asyncio.wait_for(desk.station.drain(), 10)
        return desk

    client = Speechless()
    desk = asyncio.run(ask())
    assert (client.cut, client.errors) == (1, [])
    assert [message.destination for message in desk.outlet.offered] == GOOD
    assert desk.account.pending == 0


def test_what_the_store_did_not_keep_costs_nothing() -> None:
    desk = asked(Failing(0, StoreFailed("a failed fsync")), *GOOD, LEFT_OUT)
    assert desk.counted == 0


def test_only_what_is_accepted_costs() -> None:
    desk = asked(MemoryStore(), *GOOD, *BAD[:10])
    assert desk.counted == 2
    assert [message.destination for message in desk.outlet.offered] == GOOD
    assert (desk.account.accepted, desk.account.refused) == (2, {"ESME_RSUBMITFAIL": 10})


def test_a_part_of_a_long_message_is_refused_and_worth_nothing() -> None:
    """Where a long message counts once, only its first part is paid for."""

    async def road() -> None:
        desk = Desk(MemoryStore(), parts_count="once")
        await desk.store.open()
        desk.account.admit(NOW, 5)
        for part in range(1, 4):
            await desk.submit([number(GOOD[0])], esm_class=0x40, short_message=bytes((5, 0, 3, 9, 4, part)) + b"text")
            [(status, _)] = desk.client.errors
            assert status == CommandStatus.ESME_RSUBMITFAIL
            desk.client.errors.clear()
        assert desk.counted == 5

    asyncio.run(road())


def test_what_has_no_room_in_the_response_ends_as_rejected() -> None:
    desk = asked(MemoryStore(), *GOOD, LEFT_OUT)
    [answer] = desk.client.answers
    assert [one.destination_addr for one in answer.unsuccess_smes] == BAD[:255]
    messages = asyncio.run(desk.store.find_all(int(answer.message_id)))
    assert [message.destination for message in messages] == [*GOOD, *BAD[255:]]
    ended = [message for message in messages if message.progress.stage is Stage.FINAL]
    assert [message.destination for message in ended] == BAD[255:]
    assert {message.progress.state for message in ended} == {MessageState.REJECTED}
    assert {message.known_as for message in messages} == {int(answer.message_id)}
    assert len(desk.applied) == len(ended)
    # The dispatcher never sees them.
    assert [message.destination for message in desk.outlet.offered] == GOOD


def test_no_receipt_is_there_before_the_response() -> None:
    """Whoever delivers finds it on disk the moment it is stored."""

    class Watched(MemoryStore):
        async def apply(self, changes: Sequence[Change], now: Millis) -> Sequence[Applied]:
            answered.append(len(desk.client.answers))
            return await super().apply(changes, now)

    async def road() -> None:
        await desk.store.open()
        await desk.submit([number(GOOD[0]), LEFT_OUT])

    answered: list[int] = []
    desk = Desk(Watched())
    asyncio.run(road())
    assert answered == [1]


def test_where_nobody_is_sent_to_nothing_is_kept_for_the_rest() -> None:
    desk = asked(MemoryStore(), LEFT_OUT)
    [answer] = desk.client.answers
    assert (answer.command_status, answer.message_id) == (CommandStatus.ESME_RSUBMITFAIL, "")
    assert len(answer.unsuccess_smes) == 255
    assert asyncio.run(desk.store.list(Filter())) == []
    assert desk.counted == 0


def test_a_store_that_fails_for_the_rest_takes_nothing_back() -> None:
    with capture_logs() as lines:
        desk = asked(Failing(1, StoreFailed("disk full", temporary=True)), *GOOD, LEFT_OUT)
    [answer] = desk.client.answers
    assert (answer.command_status, len(answer.unsuccess_smes)) == (CommandStatus.ESME_ROK, 255)
    assert [message.destination for message in desk.outlet.offered] == GOOD
    [line] = lines
    assert (line["event"], line["count"]) == ("destinations without an answer", 45)


@given(st.lists(st.sampled_from([*GOOD, "+79990000001", "nobody", "12", "3123456"]), min_size=1, max_size=12))
def test_every_destination_is_either_sent_to_or_named(numbers: list[str]) -> None:
    desk = asked(MemoryStore(), *numbers)
    [answer] = desk.client.answers
    sent = [bare(message.destination) for message in desk.outlet.offered]
    left = [bare(one.destination_addr) for one in answer.unsuccess_smes]
    assert sorted(sent + left) == sorted(set(map(bare, numbers)))
    assert bool(answer.command_status) is not bool(sent)
    assert bool(answer.message_id) is bool(sent)
    assert desk.counted == len(sent)
