"""A link between a session and a wire that does what the test says: turns, pauses, and both ends of a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import structlog
import uvloop

from pdu import (
    BindTransceiver,
    CommandId,
    CommandStatus,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    Framer,
    Pdu,
    QuerySm,
    SubmitSm,
    SubmitSmResp,
    Tag,
    Unbind,
    UnbindResp,
    decode,
    encode,
    tlv,
)
from smppbridge.config import SmppConfig
from smppbridge.smpp.admission import Admission
from smppbridge.smpp.events import BindRequest, Ending, How
from smppbridge.smpp.guard import Visitor
from smppbridge.smpp.link import Link
from smppbridge.smpp.server import SmppServer
from smppbridge.smpp.session import TURN


class Wire(asyncio.Transport):
    """Keeps what is written. With a `link` nobody reads at the other end, and that one has to wait."""

    HIGH_WATER = 65_536

    def __init__(self) -> None:
        super().__init__()
        self.link: Link | None = None
        self.octets = b""
        self.reads = True
        self.said: list[str] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.octets += data
        if self.link is not None and len(self.octets) > self.HIGH_WATER and self.link._writable:
            self.link.pause_writing()

    def pause_reading(self) -> None:
        assert self.reads
        self.reads = False

    def resume_reading(self) -> None:
        assert not self.reads
        self.reads = True

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.said.append("eof")

    def close(self) -> None:
        self.closed = True
        self.said.append("closed")

    def abort(self) -> None:
        self.closed = True
        self.said.append("aborted")

    def pdus(self) -> list[Pdu]:
        """What was written since the last time."""
        framer, found = Framer(65_536), []
        framer.feed(self.octets)
        self.octets = b""
        while (frame := framer.next()) is not None:
            found.append(decode(frame))
        return found


class Desk:
    """Lets everybody in, notes every operation, and answers when it is told to."""

    def __init__(self, **admission: Any) -> None:
        self.admission = Admission(account="demo", max_binds=1000, **admission)
        self.asked_of: list[Link] = []
        self.open: list[tuple[Link, int]] = []
        self.ends: list[tuple[Any, int | None]] = []
        self.endings: list[Ending] = []

    async def admit(self, request: BindRequest, peer: str, certificate: Any = None) -> Admission:
        return self.admission

    def link_up(self, link: Link) -> None:
        pass

    def submitted(self, link: Link, pdu: SubmitSm, frame: bytes) -> None:
        self.asked(link, pdu, frame)

    def asked(self, link: Link, pdu: Any, frame: bytes) -> None:
        self.asked_of.append(link)
        self.open.append((link, pdu.sequence_number))

    def answered(self, link: Link, token: Any, status: int | None) -> None:
        self.ends.append((token, status))

    def link_down(self, link: Link, ending: Ending) -> None:
        self.endings.append(ending)

    def answer(self, count: int = 1_000_000) -> None:
        """So many of the oldest."""
        now, self.open = self.open[:count], self.open[count:]
        for link, sequence in now:
            link.respond_submit(sequence, 0, "1")


class World:
    """A server without a listener, whose clock stands still unless it is moved."""

    def __init__(self, desk: Desk, **settings: Any) -> None:
        self.desk = desk
        self.now = 1_000.0
        self.server = SmppServer(SmppConfig.model_validate(settings), desk, clock=lambda: self.now)

    async def link(self) -> tuple[Link, Wire]:
        """A client that is bound as transceiver."""
        link, wire = Link(self.server), Wire()
        link.connection_made(wire)
        link.visitor = self.server.guard.visitors.setdefault("203.0.113.7", Visitor("203.0.113.7"))
        link.data_received(encode(BindTransceiver(system_id="demo", interface_version=0x34, sequence_number=1)))
        await turns(5)
        (bound,) = wire.pdus()
        assert bound.command_status == 0
        assert wire.reads
        return link, wire


async def turns(count: int) -> None:
    """Let the loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


def submits(count: int) -> bytes:
    return b"".join(encode(SubmitSm(sequence_number=number, short_message=b"hi")) for number in range(1, count + 1))


@pytest.fixture(params=["asyncio", "uvloop"], autouse=True)
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    return asyncio.run if request.param == "asyncio" else uvloop.run


Run = Callable[[Coroutine[Any, Any, None]], None]

# Fair turns ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pdu", [SubmitSm(), EnquireLink(), QuerySm(message_id="1"), DeliverSmResp(sequence_number=7)])
def test_a_flood_on_ten_links_lets_another_one_have_its_turn(pdu: Pdu, run: Run) -> None:
    async def test() -> None:
        here = World(Desk(submit_window=10_000), max_bad_pdus=0, max_refused_rate=0)
        flooding = [await here.link() for _ in range(10)]
        patient, wire = await here.link()
        for link, _ in flooding:
            link.data_received(encode(pdu) * 40 * TURN)
        before = [link.session.taken for link, _ in flooding]
        assert before == [1 + TURN] * 10
        # It comes when every one of them has 39 turns left.
        asyncio.get_running_loop().call_soon(patient.data_received, encode(EnquireLink(sequence_number=5)))
        while not wire.octets:
            await turns(1)
        assert [type(answer) for answer in wire.pdus()] == [EnquireLinkResp]
        # Meanwhile each of the others had one more, or two.
        assert all(link.session.taken <= 1 + 3 * TURN for link, _ in flooding)
        await turns(60)
        assert [link.session.taken for link, _ in flooding] == [1 + 40 * TURN] * 10
        assert all(flooder.reads for _, flooder in flooding)

    run(test())


def test_links_that_flood_take_turns(run: Run) -> None:
    async def test() -> None:
        here = World(Desk())
        links = [(await here.link())[0] for _ in range(3)]
        for link in links:
            link.data_received(submits(4 * TURN))
        await turns(10)
        each = [link for _ in range(4) for link in links for _ in range(TURN)]
        assert here.desk.asked_of == each

    run(test())


def test_nothing_more_is_read_before_what_was_read_is_taken(run: Run) -> None:
    async def test() -> None:
        here = World(Desk())
        link, wire = await here.link()
        link.data_received(submits(3 * TURN))
        while link.session.submitted < 3 * TURN:
            assert not wire.reads
            await turns(1)
        await turns(2)
        assert wire.reads

    run(test())


def test_a_bug_in_a_turn_costs_that_link(run: Run) -> None:
    async def test() -> None:
        here = World(Desk())
        link, wire = await here.link()
        link.data_received(submits(2 * TURN))

        def fail(now: int) -> Any:
            raise RuntimeError("a bug")

        link.session = _Failing(link.session, fail)  # type: ignore[assignment]
        with structlog.testing.capture_logs() as log:
            await turns(3)
        assert [line["event"] for line in log] == ["link failed"]
        assert wire.said == ["aborted"]

    run(test())


class _Failing:
    """A session with a bug in `proceed`."""

    def __init__(self, session: Any, fail: Callable[[int], Any]) -> None:
        self._session = session
        self.proceed = fail

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


# The window of requests ----------------------------------------------------------------------------------------------


def test_a_full_window_stops_reading_until_something_is_answered(run: Run) -> None:
    async def test() -> None:
        here = World(Desk(submit_window=10))
        link, wire = await here.link()
        link.data_received(submits(25) + encode(EnquireLink(sequence_number=99)))
        await turns(5)
        assert (link.session.submitted, wire.reads) == (10, False)
        here.desk.answer(3)
        await turns(5)
        assert (link.session.submitted, wire.reads) == (13, False)
        assert [type(pdu) for pdu in wire.pdus()] == [SubmitSmResp] * 3
        here.desk.answer()
        await turns(5)
        here.desk.answer()
        await turns(5)
        assert (link.session.submitted, wire.reads) == (25, True)
        assert wire.pdus()[-1].sequence_number == 99
        assert here.server.stats.pdus.full > 0

    run(test())


def test_an_application_that_answers_at_once_never_fills_a_window(run: Run) -> None:
    class Quick(Desk):
        def submitted(self, link: Link, pdu: SubmitSm, frame: bytes) -> None:
            link.respond_submit(pdu.sequence_number, 0, "1")

    async def test() -> None:
        here = World(Quick(submit_window=1))
        link, wire = await here.link()
        link.data_received(submits(50))
        await turns(60)
        assert [pdu.sequence_number for pdu in wire.pdus()] == list(range(1, 51))
        assert wire.reads

    run(test())


def test_what_one_client_can_make_us_hold_is_bounded(run: Run) -> None:
    """A client that never reads and never stops: its window of requests and its window of deliveries are full, and what
    it sends stays with the kernels."""

    async def test() -> None:
        here = World(Desk(submit_window=5), window=3)
        link, wire = await here.link()
        delivered = [link.deliver(DeliverSm(short_message=b"x"), token) for token in range(5)]
        assert delivered == [True, True, True, False, False]
        while wire.reads:
            link.data_received(submits(TURN))
            await turns(1)
        assert link.session.submitted == 5
        # Our answers do not wait for what it has not said, and fill what it does not read.
        here.desk.answer()
        link.pause_writing()
        await turns(5)
        taken = link.session.submitted
        here.desk.answer()
        await turns(5)
        assert (link.session.submitted, wire.reads, link.room) == (taken, False, 0)
        assert not link.session.deliver(DeliverSm(), "more", 0)
        # It reads again, and answers what it was sent.
        link.resume_writing()
        for _ in range(2 * TURN):
            here.desk.answer()
            await turns(1)
        assert link.session.submitted == TURN
        assert wire.reads
        for pdu in wire.pdus():
            if isinstance(pdu, DeliverSm):
                link.data_received(encode(DeliverSmResp(sequence_number=pdu.sequence_number)))
        assert here.desk.ends == [(0, 0), (1, 0), (2, 0)]
        assert link.room == 3

    run(test())


GARBAGE = {
    "ENQUIRE_LINK": encode(EnquireLink()),
    "an unknown command": bytes.fromhex("00000010 00000a0a 00000000 00000001"),
    "a SUBMIT_SM that cannot be read": bytes.fromhex("00000012 00000004 00000000 00000001 ffff"),
    "a response nobody asked for": encode(DeliverSmResp(sequence_number=7)),
    "a bind": encode(BindTransceiver(system_id="demo")),
    "a DELIVER_SM": encode(DeliverSm()),
}


@pytest.mark.parametrize("octets", GARBAGE.values(), ids=GARBAGE.keys())
def test_a_flood_from_who_does_not_read_leaves_little_behind(octets: bytes, run: Run) -> None:
    """It fills what may wait for it, once, and then nothing more is read: whatever it sends, and however much."""

    async def test() -> None:
        here = World(Desk(), max_bad_pdus=0, max_refused_rate=0)
        link, wire = await here.link()
        wire.link = link
        read = octets * (65_536 // len(octets))
        reads = 0
        while wire.reads and reads < 10:
            link.data_received(read)
            await turns(len(read) // len(octets) // TURN + 2)
            reads += 1
        # Answers are of 16 to 64 octets, and a turn of them is written at once.
        assert len(wire.octets) <= Wire.HIGH_WATER + 64 * TURN
        assert len(link.session._framer.rest) <= len(read)
        assert link.session.ending is None

    run(test())


def test_who_does_not_read_is_given_nothing_to_read(run: Run) -> None:
    async def test() -> None:
        here = World(Desk(), window=3)
        link, _ = await here.link()
        link.pause_writing()
        # Another receiver of the account may have room.
        assert link.room == 0
        link.resume_writing()
        assert link.room == 3
        assert here.server.stats.paused == {"unread": 1}

    run(test())


# Clients that say too much -------------------------------------------------------------------------------------------


def test_bad_pdus_beyond_the_limit_cost_a_second_each(run: Run) -> None:
    async def test() -> None:
        here = World(Desk(), max_bad_pdus=3)
        link, wire = await here.link()
        other, other_wire = await here.link()
        unknown = bytes.fromhex("00000010 00000a0a 00000000 00000001")
        link.data_received(unknown * 3)
        assert wire.reads
        with structlog.testing.capture_logs() as log:
            link.data_received(unknown * 2 + submits(1))
        # Nothing that it said is lost, and nothing is refused for it.
        assert [pdu.command_id for pdu in wire.pdus()] == [CommandId.GENERIC_NACK] * 5
        assert (link.session.submitted, wire.reads) == (1, False)
        assert link.session.wait(int(here.now * 1000)) == 2_000
        assert here.server.stats.paused == {"max_bad_pdus": 1}
        (line,) = [line for line in log if line["log_level"] != "debug"]
        assert line == {
            "event": "client slowed down",
            "log_level": "warning",
            "peer": "",
            "account": "demo",
            "reason": "max_bad_pdus",
            "seconds": 2.0,
            "times": 1,
        }
        # The others of its address go on.
        other.data_received(encode(EnquireLink()))
        assert other_wire.reads
        here.now += 2
        link._go_on()
        assert wire.reads
        with structlog.testing.capture_logs() as log:
            link.data_received(unknown)
        # A line a minute for an address.
        assert [line["event"] for line in log] == ["pdu not taken"]
        assert not wire.reads

    run(test())


def test_a_client_that_is_too_fast_is_read_from_more_slowly(run: Run) -> None:
    async def test() -> None:
        here = World(Desk(), max_pdu_rate=10)
        link, wire = await here.link()
        link.data_received(submits(9))
        assert wire.reads
        link.data_received(submits(5))
        assert (link.session.submitted, wire.reads) == (14, False)
        assert link.session.wait(int(here.now * 1000)) == 500
        assert here.server.stats.paused == {"max_pdu_rate": 1}

    run(test())


class Refusing(Desk):
    """Refuses every operation at once."""

    def asked(self, link: Link, pdu: Any, frame: bytes) -> None:
        link.respond_error(pdu.command_id, pdu.sequence_number, CommandStatus.ESME_RTHROTTLED, "too many")


def test_a_client_that_is_refused_again_and_again_is_read_from_more_slowly(run: Run) -> None:
    async def test() -> None:
        here = World(Refusing(), max_refused_rate=100)
        link, wire = await here.link()
        other, other_wire = await here.link()
        with structlog.testing.capture_logs() as log:
            link.data_received(submits(10 * TURN))
            await turns(30)
        # A second's worth, and the rest of the turn in which that was over; each is answered.
        assert (link.session.submitted, wire.reads) == (2 * TURN, False)
        assert [pdu.command_status for pdu in wire.pdus()] == [CommandStatus.ESME_RTHROTTLED] * 2 * TURN
        assert link.session.wait(int(here.now * 1000)) == (2 * TURN - 100) * 10
        assert here.server.stats.paused == {"max_refused_rate": 1}
        assert [(line["event"], line["account"], line["reason"]) for line in log] == [
            ("client slowed down", "demo", "max_refused_rate")
        ]
        # Another bind of the account is answered at once, and waits for its own part alone.
        other.data_received(encode(EnquireLink()))
        assert [type(pdu) for pdu in other_wire.pdus()] == [EnquireLinkResp]
        assert other.session.wait(int(here.now * 1000)) <= 20
        here.now += 0.28
        link._go_on()
        await turns(30)
        # It goes on with what it had said, no more of which is lost than of any other.
        assert link.session.submitted == 3 * TURN

    run(test())


def test_a_long_request_that_is_refused_counts_as_many_however_it_is_cut(run: Run) -> None:
    async def test() -> None:
        here = World(Refusing(), max_refused_rate=100)
        link, wire = await here.link()
        text = encode(SubmitSm(tlvs=[tlv(Tag.MESSAGE_PAYLOAD, b"." * 60_000)]))
        sent = text * 13
        for at in range(0, len(sent), 30_000):
            assert wire.reads
            link.data_received(sent[at : at + 30_000])
            await turns(3)
        # 13 times 8 are 4 more than may come at once.
        assert (link.session.submitted, wire.reads) == (13, False)
        assert link.session.wait(int(here.now * 1000)) == 40

    run(test())


def test_what_is_accepted_is_never_slowed_down(run: Run) -> None:
    async def test() -> None:
        here = World(Desk(submit_window=10_000), max_refused_rate=1)
        link, wire = await here.link()
        link.data_received(submits(20 * TURN))
        await turns(30)
        here.desk.answer()
        assert (link.session.submitted, wire.reads) == (20 * TURN, True)
        assert here.server.stats.paused == {}

    run(test())


# The other end goes --------------------------------------------------------------------------------------------------


def test_who_has_closed_its_half_gets_its_answers_and_is_then_closed(run: Run) -> None:
    async def test() -> None:
        here = World(Desk())
        link, wire = await here.link()
        assert link.deliver(DeliverSm(), "a")
        link.data_received(submits(2))
        assert link.eof_received()
        assert here.desk.ends == [("a", None)]
        await turns(2)
        assert wire.said == []
        here.desk.answer()
        await turns(2)
        assert [type(pdu) for pdu in wire.pdus()] == [DeliverSm, SubmitSmResp, SubmitSmResp]
        assert wire.said == ["closed"]
        assert here.desk.endings == [Ending(How.LOST, "closed by the client without UNBIND")]
        assert here.server.bound.ended_cleanly(link.id) is False
        link.connection_lost(None)
        assert len(here.desk.endings) == 1
        assert here.server.links == {}

    run(test())


def test_who_has_closed_its_half_has_what_it_sent_before_taken_in_turns(run: Run) -> None:
    async def test() -> None:
        here = World(Desk(submit_window=TURN))
        link, wire = await here.link()
        link.data_received(submits(3 * TURN))
        link.eof_received()
        while not wire.said:
            here.desk.answer(7)
            await turns(1)
            # Nothing comes any more.
            assert not wire.reads
        assert len(wire.pdus()) == 3 * TURN
        assert wire.said == ["closed"]

    run(test())


def test_who_has_closed_its_half_is_not_waited_for_for_ever(run: Run) -> None:
    async def test() -> None:
        here = World(Desk(), response_timeout=60)
        link, wire = await here.link()
        link.data_received(submits(1))
        link.eof_received()
        here.now += 61
        link.tick(int(here.now * 1000))
        assert wire.said == ["closed"]
        (ending,) = here.desk.endings
        assert (ending.how, ending.clean) == (How.LOST, False)

    run(test())


@pytest.mark.parametrize("last", [encode(Unbind()), bytes(16)], ids=["an UNBIND", "a lost framing"])
def test_who_closes_after_our_last_word_is_waited_for_no_longer(last: bytes, run: Run) -> None:
    async def test() -> None:
        here = World(Desk())
        link, wire = await here.link()
        link.data_received(last)
        assert wire.said == ["eof"]
        # So the transport closes, and need not wait until we cut the connection.
        assert not link.eof_received()
        assert len(here.desk.endings) == 1

    run(test())


def test_an_unbind_and_then_an_end_of_file(run: Run) -> None:
    async def test() -> None:
        here = World(Desk())
        link, wire = await here.link()
        link.data_received(submits(1) + encode(Unbind(sequence_number=9)))
        link.eof_received()
        here.desk.answer()
        await turns(2)
        assert [type(pdu) for pdu in wire.pdus()] == [SubmitSmResp, UnbindResp]
        assert wire.said == ["closed"]
        assert here.desk.endings[0].how is How.UNBOUND

    run(test())


def test_a_link_that_is_lost_takes_no_further_turn(run: Run) -> None:
    async def test() -> None:
        here = World(Desk())
        link, _ = await here.link()
        link.data_received(submits(3 * TURN))
        link.connection_lost(ConnectionResetError("gone"))
        await turns(5)
        assert link.session.submitted == TURN
        assert here.desk.endings == [Ending(How.LOST, "gone")]

    run(test())
