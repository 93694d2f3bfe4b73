"""Real sockets: our own frames, smpplib as a client, TLS, and what clients should not do but do."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from typing import Any

import pytest
import smpplib.client
import smpplib.exceptions
import structlog
import uvloop

from pdu import (
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    CommandId,
    CommandStatus,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    Framer,
    GenericNack,
    Pdu,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
    decode,
    encode,
)
from smppbridge.config import AccountConfig, Listener, SmppConfig, Tls
from smppbridge.smpp.admission import Admission, Doorkeeper
from smppbridge.smpp.events import BindRequest, Ending, How
from smppbridge.smpp.link import Link
from smppbridge.smpp.listening import ListenFailed
from smppbridge.smpp.server import SmppServer
from smppbridge.smpp.tls import Certificate

ACCOUNTS = {
    "demo": AccountConfig.model_validate({"password": "secret", "allowed_networks": ["127.0.0.0/8"], "max_binds": 2}),
    "narrow": AccountConfig.model_validate(
        {"password": "secret", "allowed_networks": ["127.0.0.0/8"], "max_binds": 2, "submit_window": 1}
    ),
    "other": AccountConfig.model_validate({"password": "secret", "allowed_networks": ["127.0.0.0/8"]}),
    "far": AccountConfig.model_validate({"password": "secret", "allowed_networks": ["192.0.2.0/24"]}),
}
LOCAL = (Listener(listen="127.0.0.1:0"),)


class Desk:
    """An application that answers at once, unless it is told to wait, and remembers what it heard."""

    def __init__(self) -> None:
        self.doorkeeper = Doorkeeper(ACCOUNTS)
        self.heard: list[Any] = []
        self.links: list[Link] = []
        self.endings: list[Ending] = []
        self.waiting: list[int] = []
        self.at_once = True
        self.change = asyncio.Event()
        self.door: Callable[[], Awaitable[None]] | None = None

    async def admit(self, request: BindRequest, peer: str, certificate: Certificate | None) -> Admission:
        if self.door:
            await self.door()
        return await self.doorkeeper.admit(request, peer, certificate)

    def neighbour(self, address: IPv4Address | IPv6Address) -> bool:
        return self.doorkeeper.neighbour(address)

    def link_up(self, link: Link) -> None:
        self.links.append(link)
        self.say("up")

    def submitted(self, link: Link, pdu: SubmitSm, frame: bytes) -> None:
        assert decode(frame) == pdu
        if pdu.short_message == b"bug":
            raise RuntimeError("a bug")
        if self.at_once:
            link.respond_submit(pdu.sequence_number, 0, str(1000 + pdu.sequence_number))
        else:
            self.waiting.append(pdu.sequence_number)
        self.say("submitted")

    def answered(self, link: Link, token: Any, status: int | None) -> None:
        self.say((token, status))

    def link_down(self, link: Link, ending: Ending) -> None:
        self.links.remove(link)
        self.endings.append(ending)
        self.say("down")

    def say(self, what: Any) -> None:
        self.heard.append(what)
        self.change.set()

    async def until(self, what: Any, count: int = 1) -> None:
        async with asyncio.timeout(5):
            while self.heard.count(what) < count:
                self.change.clear()
                await self.change.wait()


class Client:
    """Sends what it is told and nothing else."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.framer = Framer(65_536)
        self.sequence = 0

    def send(self, *pdus: Pdu | bytes) -> None:
        for pdu in pdus:
            if isinstance(pdu, Pdu) and not pdu.sequence_number:
                self.sequence += 1
                pdu.sequence_number = self.sequence
            self.writer.write(pdu if isinstance(pdu, bytes) else encode(pdu))

    async def receive(self) -> Pdu:
        async with asyncio.timeout(5):
            while (frame := self.framer.next()) is None:
                data = await self.reader.read(65_536)
                if not data:
                    raise EOFError
                self.framer.feed(data)
        return decode(frame)

    async def ask(self, pdu: Pdu) -> Any:
        self.send(pdu)
        return await self.receive()

    async def bind(self, system_id: str = "demo", password: str = "secret", kind: Any = BindTransceiver) -> int:
        answer = await self.ask(kind(system_id=system_id, password=password, interface_version=0x34))
        return int(answer.command_status)

    async def ended(self) -> bool:
        """The server has closed, or closes now."""
        try:
            await self.receive()
        except (EOFError, ConnectionError):
            return True
        return False

    async def close(self) -> None:
        self.writer.transport.abort()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def reset(self) -> None:
        """End without a word: the server gets an RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class World:
    """A server, its application, and clients that are closed at the end."""

    def __init__(self, settings: dict[str, Any]) -> None:
        #: Seconds that have passed without anybody waiting for them.
        self.passed = 0.0
        self.desk = Desk()
        self.clients: list[Client] = []
        config = SmppConfig.model_validate({"listeners": LOCAL} | settings)
        self.server = SmppServer(config, self.desk, tick=0.02, clock=lambda: time.monotonic() + self.passed)

    @property
    def port(self) -> int:
        return int(self.server.addresses[0].rpartition(":")[2])

    async def connect(self, **options: Any) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port, **options))
        self.clients.append(client)
        return client

    async def bound(self, kind: Any = BindTransceiver) -> Client:
        client = await self.connect()
        assert await client.bind(kind=kind) == 0
        return client

    async def deaf(self) -> tuple[Client, Link]:
        """A client that reads nothing any more, over kernels that keep little for it."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        client = Client(*await asyncio.open_connection(sock=sock))
        self.clients.append(client)
        assert await client.bind() == 0
        (link,) = self.desk.links
        link._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        return client, link

    async def smpplib(self, work: Callable[[Any], None], **options: Any) -> None:
        """Run a program of smpplib's in a thread; it ends by closing its socket."""

        def program() -> None:
            client = smpplib.client.Client("127.0.0.1", self.port, timeout=5, allow_unknown_opt_params=True, **options)
            client.connect()
            try:
                work(client)
            finally:
                client.disconnect()

        await asyncio.to_thread(program)


@asynccontextmanager
async def world(**settings: Any) -> AsyncIterator[World]:
    here = World(settings)
    await here.server.start()
    try:
        yield here
    finally:
        for client in here.clients:
            await client.close()
        await here.server.stop(0.2)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what only the server sees."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.005)


@pytest.fixture(params=["asyncio", "uvloop"], autouse=True)
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Run a test's coroutine, once in each loop that people use."""
    return asyncio.run if request.param == "asyncio" else uvloop.run


@pytest.fixture(autouse=True)
def log() -> Any:
    with structlog.testing.capture_logs() as lines:
        yield lines


Run = Callable[[Coroutine[Any, Any, None]], None]

# Clients that behave --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [BindTransmitter, BindReceiver, BindTransceiver])
def test_a_client_binds_and_unbinds(kind: Any, run: Run, log: Any) -> None:
    async def test() -> None:
        async with world() as here:
            client = await here.bound(kind)
            (link,) = here.desk.links
            assert (link.account, link.interface_version, link.can_receive) == (
                "demo",
                0x34,
                kind is not BindTransmitter,
            )
            assert here.server.bound.links == {link.id: link}
            assert type(await client.ask(Unbind())) is UnbindResp
            assert await client.ended()
            assert here.desk.endings == [Ending(How.UNBOUND, "unbound by the client", clean=True)]
            assert here.server.bound.ended_cleanly(link.id) is True
            assert here.server.stats.binds[link.bind_type] == 1

    run(test())
    assert [line["event"] for line in log] == ["listening", "link up", "link down"]
    assert "secret" not in str(log)


def test_smpplib_binds_in_every_way_submits_and_receives(run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            ids: list[bytes] = []
            received: list[bytes] = []

            def program(client: Any, bind: str) -> None:
                getattr(client, f"bind_{bind}")(system_id="demo", password="secret")
                client.set_message_sent_handler(lambda pdu: ids.append(pdu.message_id))
                client.set_message_received_handler(lambda pdu: received.append(pdu.short_message) and None)
                if bind != "receiver":
                    client.send_message(source_addr="X", destination_addr="79990000001", short_message=b"hello")
                    client.read_once()
                if bind != "transmitter":
                    client.read_once()
                client.unbind()

            up = here.desk.link_up

            def link_up(link: Link) -> None:
                up(link)
                link.deliver(DeliverSm(short_message=b"from us"), link.bind_type)

            here.desk.link_up = link_up  # type: ignore[method-assign]
            for bind in ("transmitter", "receiver"):
                await here.smpplib(lambda client, bind=bind: program(client, bind))
            assert here.desk.heard == ["up", "submitted", "down", "up", ("receiver", 0), "down"]
            assert (len(ids), received) == (1, [b"from us"])
            assert [ending.clean for ending in here.desk.endings] == [True, True]

    run(test())


def test_smpplib_as_transceiver_hears_what_is_wrong(run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            here.desk.at_once = False

            def refuse(link: Link, pdu: SubmitSm, frame: bytes) -> None:
                link.respond_submit(pdu.sequence_number, CommandStatus.ESME_RSUBMITFAIL, "", "a reason it cannot read")

            here.desk.submitted = refuse  # type: ignore[method-assign]

            def program(client: Any) -> None:
                client.bind_transceiver(system_id="demo", password="secret")
                client.send_message(source_addr="X", destination_addr="79990000001", short_message=b"hello")
                with pytest.raises(smpplib.exceptions.PDUError) as refused:
                    client.read_once()
                assert refused.value.args[1] == CommandStatus.ESME_RSUBMITFAIL
                client.unbind()

            await here.smpplib(program)
            await here.desk.until("down")

    run(test())


def test_answers_of_one_turn_are_written_together(run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            here.desk.at_once = False
            client = await here.bound()
            client.send(*[SubmitSm(short_message=b"x") for _ in range(5)], EnquireLink())
            # The question is answered at once, the messages when somebody has done something about them.
            assert type(await client.receive()) is EnquireLinkResp
            await here.desk.until("submitted", 5)
            (link,) = here.desk.links
            written = []
            transport = link._transport
            link._transport = _Spy(transport, written)  # type: ignore[assignment]
            for sequence in here.desk.waiting:
                link.respond_submit(sequence, 0, str(sequence))
            assert written == []
            answers = [await client.receive() for _ in range(5)]
            assert [answer.sequence_number for answer in answers] == here.desk.waiting
            assert len(written) == 1
            link._transport = transport

    run(test())


class _Spy:
    """A transport that notes what is written."""

    def __init__(self, transport: asyncio.Transport, written: list[bytes]) -> None:
        self._transport = transport
        self._written = written

    def write(self, data: bytes) -> None:
        self._written.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def test_an_unbind_waits_for_the_answers(run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            here.desk.at_once = False
            client = await here.bound()
            client.send(SubmitSm(), SubmitSm(), Unbind())
            await here.desk.until("submitted", 2)
            (link,) = here.desk.links
            for sequence in here.desk.waiting:
                link.respond_submit(sequence, 0, "1")
            assert [type(await client.receive()) for _ in range(3)] == [SubmitSmResp, SubmitSmResp, UnbindResp]
            assert await client.ended()

    run(test())


def test_who_has_closed_its_half_still_gets_its_answers(run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            here.desk.at_once = False
            client = await here.bound()
            (link,) = here.desk.links
            assert link.deliver(DeliverSm(), "a")
            client.send(SubmitSm(), SubmitSm())
            client.writer.write_eof()
            await here.desk.until(("a", None))
            await here.desk.until("submitted", 2)
            assert type(await client.receive()) is DeliverSm
            for sequence in here.desk.waiting:
                link.respond_submit(sequence, 0, str(sequence))
            answers = [await client.receive() for _ in range(2)]
            assert [answer.sequence_number for answer in answers] == here.desk.waiting
            assert await client.ended()
            await here.desk.until("down")
            assert here.desk.endings == [Ending(How.LOST, "closed by the client without UNBIND")]
            assert here.server.bound.ended_cleanly(link.id) is False

    run(test())


@pytest.mark.parametrize("account", ["demo", "narrow"])
def test_those_who_close_their_half_and_bind_again_leave_room_for_others(run: Run, account: str) -> None:
    """max_binds is 2. Nobody answers them, so each would stay for long; what they say is read of one account alone."""

    async def test() -> None:
        async with world(max_connections=8) as here:
            here.desk.at_once = False
            for _ in range(20):
                client = await here.connect()
                assert await client.bind(account) == 0
                link = here.desk.links[-1]
                client.send(SubmitSm(), SubmitSm())
                client.writer.write_eof()
                await until(lambda link=link: link.half_closed)
            other = await here.connect()
            assert await other.bind("other") == 0
            # The newest ones are still waited for.
            assert len(here.server.bound.of(account)) == 3
            assert set(here.desk.endings) == {
                Ending(How.CLOSED, "its half was closed, and there are newer binds"),
            }
            link.respond_submit(1, 0, "1")
            while type(answer := await client.receive()) is not SubmitSmResp:
                pass
            assert answer.message_id == "1"

    run(test())


def test_who_has_closed_both_halves_is_gone_with_the_first_answer(run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            here.desk.at_once = False
            client = await here.bound()
            (link,) = here.desk.links
            client.send(SubmitSm(), SubmitSm())
            client.writer.close()
            await here.desk.until("submitted", 2)
            for sequence in here.desk.waiting:
                link.respond_submit(sequence, 0, str(sequence))
                await asyncio.sleep(0)
            await here.desk.until("down")
            assert (here.desk.endings[0].how, here.desk.endings[0].clean) == (How.LOST, False)

    run(test())


def test_who_has_closed_its_half_and_reads_nothing_is_cut_off(run: Run) -> None:
    async def test() -> None:
        async with world(response_timeout=3) as here:
            here.desk.at_once = False
            client = await here.bound()
            client.send(SubmitSm())
            client.writer.write_eof()
            await here.desk.until("submitted")
            here.passed = 4
            await here.desk.until("down")
            assert here.desk.endings == [
                Ending(How.LOST, "closed by the client without UNBIND, 1 requests were not answered")
            ]
            assert await client.ended()

    run(test())


def test_who_goes_while_it_is_slowed_down_is_bound_no_longer(run: Run) -> None:
    """max_binds is 2. Half of what it said is not read, so neither is its end: the kernel tells of that."""
    unknown = bytes.fromhex("00000010 00000a0a 00000000 00000001")

    async def test() -> None:
        async with world(max_bad_pdus=1) as here:
            half, cut = [await here.bound() for _ in range(2)]
            links = list(here.desk.links)
            assert links[0].deliver(DeliverSm(), "a")
            for client in (half, cut):
                client.send(unknown * 20)
                for _ in range(20):
                    while type(await client.receive()) is not GenericNack:
                        pass
                client.send(SubmitSm())
            third = await here.connect()
            assert await third.bind() == CommandStatus.ESME_RBINDFAIL
            half.writer.write_eof()
            cut.reset()
            await here.desk.until("down")
            assert here.desk.endings == [Ending(How.LOST, "reset by the client while it was not read from")]
            for _ in range(500):
                if not links[0].half_closed:
                    await asyncio.sleep(0.01)
            assert (links[0].room, links[0].leaving, here.server.bound.count("demo")) == (0, True, 0)
            # It may be bound twice again, though the first has not been heard to the end.
            assert [await (await here.connect()).bind() for _ in range(2)] == [0, 0]
            assert ("a", None) not in here.desk.heard
            here.passed = 60
            await here.desk.until(("a", None))
            assert links[0] in here.desk.links

    run(test())


def test_deliver_sm_are_answered_or_given_back(run: Run) -> None:
    async def test() -> None:
        async with world(window=2) as here:
            client = await here.bound(BindReceiver)
            (link,) = here.desk.links
            assert [link.deliver(DeliverSm(), token) for token in "abc"] == [True, True, False]
            assert link.room == 0
            first = await client.receive()
            client.send(DeliverSmResp(sequence_number=first.sequence_number, command_status=0x64))
            await here.desk.until(("a", 0x64))
            assert link.room == 1
            client.reset()
            await here.desk.until("down")
            assert here.desk.heard == ["up", ("a", 0x64), ("b", None), "down"]
            assert here.desk.endings[0].how is How.LOST
            assert here.server.bound.ended_cleanly(link.id) is False
            assert not link.deliver(DeliverSm(), "d")

    run(test())


@pytest.mark.parametrize("size", [1, 7, 40])
def test_slow_and_split_reads(size: int, run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            client = await here.connect()
            pdus = [BindTransceiver(system_id="demo", password="secret", sequence_number=1)]
            pdus += [SubmitSm(sequence_number=number, short_message=b"text") for number in (2, 3)]
            stream = b"".join(map(encode, pdus))
            for begin in range(0, len(stream), size):
                client.send(stream[begin : begin + size])
                await client.writer.drain()
                await asyncio.sleep(0)
            answers = [await client.receive() for _ in range(3)]
            assert [answer.sequence_number for answer in answers] == [1, 2, 3]

    run(test())


def test_a_bind_takes_its_time_and_the_others_do_not_wait(run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            client = await here.bound()
            door = asyncio.Event()
            here.desk.door = door.wait  # type: ignore[assignment]
            second = await here.connect()
            # What follows the bind is kept by the kernel, and answered afterwards.
            second.send(BindTransceiver(system_id="demo", password="secret"), EnquireLink())
            assert type(await client.ask(EnquireLink())) is EnquireLinkResp
            second.send(EnquireLink())
            door.set()
            answers = [await second.receive() for _ in range(3)]
            assert [answer.command_status for answer in answers] == [0, 0, 0]
            assert [answer.sequence_number for answer in answers] == [1, 2, 3]

    run(test())


# Clients that may not come in -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system_id", "password", "status"),
    [
        ("demo", "hunter2", CommandStatus.ESME_RINVPASWD),
        ("nobody", "secret", CommandStatus.ESME_RINVSYSID),
        ("far", "secret", CommandStatus.ESME_RBINDFAIL),
    ],
)
def test_a_refused_bind(system_id: str, password: str, status: CommandStatus, run: Run, log: Any) -> None:
    async def test() -> None:
        async with world() as here:
            client = await here.connect()
            assert await client.bind(system_id, password) == status
            assert here.server.stats.binds_refused == {status.name: 1}
            assert here.desk.heard == []
            # It may try again on the same connection.
            assert await client.bind() == 0

    run(test())
    (line,) = [line for line in log if line["event"] == "bind refused"]
    assert (line["system_id"], line["status"], line["log_level"]) == (system_id, status.name, "warning")
    assert line["peer"].startswith("127.0.0.1:")
    assert password not in str(log)


def test_smpplib_hears_that_the_password_is_wrong(run: Run) -> None:
    async def test() -> None:
        async with world() as here:

            def program(client: Any) -> None:
                with pytest.raises(smpplib.exceptions.PDUError) as refused:
                    client.bind_transceiver(system_id="demo", password="wrong")
                assert refused.value.args[1] == CommandStatus.ESME_RINVPASWD

            await here.smpplib(program)

    run(test())


def test_max_binds_holds_when_two_come_at_once(run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            door = asyncio.Event()
            here.desk.door = door.wait  # type: ignore[assignment]
            clients = [await here.connect() for _ in range(5)]
            binds = [asyncio.ensure_future(client.bind()) for client in clients]
            await asyncio.sleep(0.02)
            door.set()
            assert sorted(await asyncio.gather(*binds)) == [0, 0] + [CommandStatus.ESME_RBINDFAIL] * 3
            # One that unbinds makes room at once, before its connection is gone.
            bound = next(client for client, bind in zip(clients, binds, strict=True) if bind.result() == 0)
            await bound.ask(Unbind())
            assert await (await here.connect()).bind() == 0

    run(test())


def test_who_knows_the_password_and_tries_again_and_again_fills_no_log(run: Run, log: Any) -> None:
    async def test() -> None:
        async with world() as here:
            for _ in range(2):
                assert await (await here.connect()).bind() == 0
            late = await here.connect()
            for _ in range(10):
                assert await late.bind() == CommandStatus.ESME_RBINDFAIL
            here.passed = 61
            assert await (await here.connect()).bind() == CommandStatus.ESME_RBINDFAIL
            told = [line for line in log if line["event"] == "bind refused"]
            assert [(line["reason"], line["times"]) for line in told] == [("max_binds is 2", 1), ("max_binds is 2", 10)]

    run(test())


def test_connections_beyond_the_limit_are_closed(run: Run, log: Any) -> None:
    async def test() -> None:
        async with world(max_connections=1) as here:
            await here.bound()
            assert await (await here.connect()).ended()
            assert (here.server.stats.opened, len(here.server.links)) == (2, 1)
            assert here.server.stats.refused == {"max_connections": 1}

    run(test())
    assert "connection refused" in [line["event"] for line in log]


# Clients that misbehave -----------------------------------------------------------------------------------------------


def test_a_flood_of_garbage_costs_one_connection(run: Run, log: Any) -> None:
    async def test() -> None:
        async with world() as here:
            honest = await here.bound()
            vandal = await here.connect()
            vandal.send(b"GET / HTTP/1.1\r\nHost: smpp\r\n\r\n" * 10_000)
            nack = await vandal.receive()
            assert (type(nack), nack.command_status) == (GenericNack, CommandStatus.ESME_RINVCMDLEN)
            assert await vandal.ended()
            assert type(await honest.ask(EnquireLink())) is EnquireLinkResp

    run(test())
    (line,) = [line for line in log if line["event"] == "link closed before bind"]
    assert "framing lost: command_length" in line["reason"]


def test_wrong_pdus_are_answered_and_the_link_lives(run: Run) -> None:
    async def test() -> None:
        async with world(max_bad_pdus=0) as here:
            client = await here.bound()
            for number in range(1, 200):
                client.send(b"".join(part.to_bytes(4) for part in (16, 0x200 + number, 0, number)))
            answers = [await client.receive() for _ in range(199)]
            assert {type(answer) for answer in answers} == {GenericNack}
            assert all(answer.command_status == CommandStatus.ESME_RINVCMDID for answer in answers)
            assert type(await client.ask(EnquireLink())) is EnquireLinkResp

    run(test())


def test_who_does_not_bind_in_time_is_closed(run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            client = await here.connect()
            here.passed = 29
            assert type(await client.ask(EnquireLink())) is EnquireLinkResp
            here.passed = 31
            assert await client.ended()
            assert here.desk.heard == []

    run(test())


def test_who_falls_silent_is_asked_and_then_closed(run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            client = await here.bound()
            here.passed = 46
            assert type(await client.receive()) is EnquireLink
            here.passed = 121
            assert await client.ended()
            await here.desk.until("down")
            assert here.desk.endings == [Ending(How.CLOSED, "silent for too long")]

    run(test())


def test_who_answers_our_question_stays(run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            client = await here.bound()
            for _ in range(5):
                here.passed += 46
                question = await client.receive()
                assert type(question) is EnquireLink
                client.send(EnquireLinkResp(sequence_number=question.sequence_number))
                assert type(await client.ask(EnquireLink())) is EnquireLinkResp
            assert here.desk.endings == []

    run(test())


def test_who_does_not_read_is_not_read_from_and_then_closed(run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            client, link = await here.deaf()
            submit = encode(SubmitSm(sequence_number=9, short_message=b"x")) * 1000
            async with asyncio.timeout(20):
                while link._writable:
                    if client.writer.transport.get_write_buffer_size() < 1_000_000:
                        client.send(submit)
                    await asyncio.sleep(0.001)
            assert not link._reading
            taken = link.session.submitted
            client.send(submit)
            await asyncio.sleep(0.05)
            # What it sends now stays with the kernels, and so do all its answers but a few.
            assert link.session.submitted == taken
            assert 0 < link.unwritten < 1_000_000
            here.passed = 121
            await here.desk.until("down")
            assert here.desk.endings == [Ending(How.CLOSED, "silent for too long")]

    run(test())


def test_who_leaves_answers_unread_at_the_cap_is_cut_off(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smppbridge.smpp.server._MAX_UNREAD", 1000)

    async def test() -> None:
        async with world(window=1) as here:
            _, link = await here.deaf()
            while not here.desk.endings:
                # The application sends without being asked, which the window would not let it do with DELIVER_SM.
                link.respond(SubmitSmResp(message_id="1" * 60))
                link.respond(DeliverSm(short_message=b"x" * 250))
                await asyncio.sleep(0)
            assert here.desk.endings == [Ending(How.CLOSED, "does not read its responses")]

    run(test())


def test_what_the_kernel_still_holds_is_unread(run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            client, link = await here.deaf()
            assert not here.server.bound.unread(link)
            client.send(encode(SubmitSm(sequence_number=9, short_message=b"x")) * 20_000)
            async with asyncio.timeout(5):
                while not here.server.bound.unread(link):  # noqa: ASYNC110 - the kernel sets no event
                    await asyncio.sleep(0.005)

    run(test())


def test_a_bug_in_the_application_costs_one_answer(run: Run, log: Any) -> None:
    async def test() -> None:
        async with world() as here:
            client = await here.bound()
            answer = await client.ask(SubmitSm(short_message=b"bug"))
            assert answer.command_status == CommandStatus.ESME_RSYSERR
            assert (await client.ask(SubmitSm())).command_status == 0

    run(test())
    assert [line["event"] for line in log if line["log_level"] == "error"] == ["application failed"]


@pytest.mark.parametrize("where", ["tick", "data_to_send"])
def test_a_bug_in_one_link_costs_that_link(where: str, run: Run, log: Any) -> None:
    async def test() -> None:
        async with world() as here:
            broken, whole = await here.bound(), await here.bound()
            here.desk.at_once = False
            whole.send(SubmitSm())
            await here.desk.until("submitted")
            first, second = here.desk.links
            first.session = _Broken(first.session, where)  # type: ignore[assignment]
            first.unbind()
            second.respond_submit(here.desk.waiting[0], 0, "1")
            assert type(await whole.receive()) is SubmitSmResp
            with contextlib.suppress(EOFError, ConnectionError):
                while True:
                    await broken.receive()
            await here.desk.until("down")
            here.passed = 46
            assert type(await whole.receive()) is EnquireLink

    run(test())
    assert {line["event"] for line in log if line["log_level"] == "error"} == {"link failed"}


class _Broken:
    """A session with a bug in one method."""

    def __init__(self, session: Any, where: str) -> None:
        self._session = session
        self._where = where

    def __getattr__(self, name: str) -> Any:
        if name == "wake_at":
            return 0
        if name == self._where:
            raise RuntimeError("a bug")
        return getattr(self._session, name)


def test_a_bug_at_the_door_refuses(run: Run, log: Any) -> None:
    async def test() -> None:
        async with world() as here:

            async def fail() -> None:
                raise RuntimeError("a bug")

            here.desk.door = fail
            client = await here.connect()
            assert await client.bind() == CommandStatus.ESME_RSYSERR

    run(test())
    assert [line["event"] for line in log if line["log_level"] == "error"] == ["application failed"]


def test_who_leaves_while_its_bind_is_decided_was_never_there(run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            door, asked = asyncio.Event(), asyncio.Event()

            async def wait() -> None:
                asked.set()
                await door.wait()

            here.desk.door = wait
            client = await here.connect()
            client.send(BindTransceiver(system_id="demo", password="secret"))
            await asked.wait()
            (link,) = here.server.links.values()
            link.close("test")
            door.set()
            assert await client.ended()
            assert here.desk.heard == []
            assert here.server.bound.links == {}

    run(test())


# Listeners ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A self-signed certificate for 127.0.0.1."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl program to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    tls = Tls(certificate=folder / "cert.pem", key=folder / "key.pem")
    made = subprocess.run(
        [
            openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", str(tls.key), "-out", str(tls.certificate),
        ],
        capture_output=True,
        check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"openssl made no certificate: {made.stderr.decode().strip()[-200:]}")
    return tls


def trusting(tls: Tls) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(tls.certificate))


def test_tls_from_the_first_byte(certificate: Tls, run: Run) -> None:
    async def test() -> None:
        async with world(listeners=(Listener(listen="127.0.0.1:0", tls=certificate), *LOCAL)) as here:
            client = await here.connect(ssl=trusting(certificate))
            assert await client.bind() == 0
            assert client.writer.get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")
            assert (await client.ask(SubmitSm())).message_id == "1002"
            assert type(await client.ask(Unbind())) is UnbindResp
            assert await client.ended()
            assert here.desk.endings[0].clean
            # The plain listener beside it serves at the same time.
            plain = Client(*await asyncio.open_connection(*here.server.addresses[1].split(":")))
            here.clients.append(plain)
            assert await plain.bind() == 0

    run(test())


def test_who_ends_tls_is_closed_and_what_was_not_answered_is_not_clean(certificate: Tls, run: Run, log: Any) -> None:
    async def test() -> None:
        async with world(listeners=(Listener(listen="127.0.0.1:0", tls=certificate),)) as here:
            here.desk.at_once = False

            def program() -> None:
                """Sends close_notify, as `shutdown` of one half does in TLS, and waits for ours."""
                with (
                    socket.create_connection(("127.0.0.1", here.port), 5) as plain,
                    trusting(certificate).wrap_socket(plain, server_hostname="127.0.0.1") as client,
                ):
                    client.sendall(encode(BindTransceiver(system_id="demo", password="secret", sequence_number=1)))
                    client.recv(100)
                    client.sendall(encode(SubmitSm(sequence_number=2)))
                    client.unwrap()

            await asyncio.gather(asyncio.to_thread(program), here.desk.until("down"))
            assert here.desk.heard == ["up", "submitted", "down"]
            assert here.desk.endings == [Ending(How.LOST, "closed by the client without UNBIND", clean=False)]

    run(test())
    assert [line["event"] for line in log if line["log_level"] in ("warning", "error")] == []


def test_smpplib_over_tls(certificate: Tls, run: Run) -> None:
    async def test() -> None:
        async with world(listeners=(Listener(listen="127.0.0.1:0", tls=certificate),)) as here:
            context = trusting(certificate)
            context.check_hostname = False

            def program(client: Any) -> None:
                client.bind_transceiver(system_id="demo", password="secret")
                client.unbind()

            await here.smpplib(program, ssl_context=context)
            await here.desk.until("down")

    run(test())


def test_old_tls_and_no_tls_are_not_let_in(certificate: Tls, run: Run) -> None:
    async def test() -> None:
        async with world(listeners=(Listener(listen="127.0.0.1:0", tls=certificate),)) as here:
            old = trusting(certificate)
            old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            with pytest.warns(DeprecationWarning, match="TLSVersion"):
                old.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await here.connect(ssl=old)
            plain = await here.connect()
            plain.send(BindTransceiver(system_id="demo", password="secret"))
            assert await plain.ended()
            assert here.desk.heard == []

    run(test())


def test_a_new_certificate_is_taken_without_a_restart(certificate: Tls, tmp_path: Path, run: Run) -> None:
    async def test() -> None:
        async with world(listeners=(Listener(listen="127.0.0.1:0", tls=certificate),)) as here:
            here.server.reload(here.server.config)
            assert await (await here.connect(ssl=trusting(certificate))).bind() == 0
            broken = certificate.certificate.read_bytes()
            certificate.certificate.write_bytes(b"nonsense")
            try:
                with pytest.raises(ValueError, match="cannot be used"):
                    here.server.reload(here.server.config)
            finally:
                certificate.certificate.write_bytes(broken)

    run(test())


def test_a_certificate_that_is_missing_is_named(tmp_path: Path, run: Run) -> None:
    async def test() -> None:
        tls = Tls(certificate=tmp_path / "none.pem", key=tmp_path / "none.key")
        with pytest.raises(ValueError, match=r"none\.pem"):
            await SmppServer(SmppConfig(listeners=(Listener(listen="127.0.0.1:0", tls=tls),)), Desk()).start()

    run(test())


def test_an_address_that_is_taken_is_named_and_nothing_stays_open(run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            taken = here.server.addresses[0]
            second = SmppServer(SmppConfig(listeners=(*LOCAL, Listener(listen=taken))), Desk())
            with pytest.raises(ListenFailed, match=re.escape(f"{taken}: Address already in use; stop the program")):
                await second.start()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*second.addresses[0].split(":"))

    run(test())


def test_new_settings_hold_for_new_links(run: Run) -> None:
    async def test() -> None:
        async with world(window=5) as here:
            await here.bound()
            here.server.reload(SmppConfig(listeners=LOCAL, window=1))
            await here.bound()
            assert [link.room for link in here.desk.links] == [5, 1]

    run(test())


# The end --------------------------------------------------------------------------------------------------------------


def test_stopping_unbinds_everybody_and_answers_what_came(run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            polite, deaf, waiting = await here.bound(), await here.bound(), await here.connect()
            here.desk.at_once = False
            polite.send(SubmitSm())
            await here.desk.until("submitted")
            stopping = asyncio.ensure_future(here.server.stop(0.25))
            unbind = await polite.receive()
            assert type(unbind) is Unbind
            # It has not read our answer when it answers our UNBIND, but gets it before the end.
            polite.send(UnbindResp(sequence_number=unbind.sequence_number))
            await asyncio.sleep(0.02)
            here.desk.links[0].respond_submit(here.desk.waiting[0], 0, "77")
            assert (await polite.receive()).message_id == "77"
            assert await polite.ended()
            assert await waiting.ended()
            assert type(await deaf.receive()) is Unbind
            with pytest.raises(ConnectionRefusedError):
                await here.connect()
            await stopping
            assert await deaf.ended()
            assert (here.server.links, here.server.bound.links) == ({}, {})
            assert [(ending.how, ending.reason, ending.clean) for ending in here.desk.endings] == [
                (How.CLOSED, "unbound by us", False),
                (How.CLOSED, "shutting down", False),
            ]

    run(test())


def test_no_bind_while_stopping(run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            client = await here.connect()
            here.server.stop_listening()
            assert await client.bind() == CommandStatus.ESME_RBINDFAIL

    run(test())


def test_ids_of_links_are_unique_and_fit() -> None:
    servers = [SmppServer(SmppConfig(listeners=LOCAL), None, node=node) for node in (0, 255)]  # type: ignore[arg-type]
    ids = [server.next_id() for server in servers for _ in range(3)]
    assert len(set(ids)) == 6
    assert all(0 < number < 1 << 63 for number in ids)


def test_a_server_that_starts_again_at_once_gives_no_old_id(run: Run) -> None:
    async def test() -> None:
        servers = [SmppServer(SmppConfig(listeners=LOCAL), None) for _ in range(2)]  # type: ignore[arg-type]
        old = servers[0].next_id()
        await asyncio.sleep(0.002)
        assert servers[1].next_id() > old

    run(test())


def test_a_link_introduces_itself(run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            client = await here.bound()
            await client.ask(SubmitSm())
            (link,) = here.desk.links
            assert repr(link) == (f"<Link {link.id} {link.peer} demo BOUND_TRX submitted=1 answered=1 delivered=0>")
            assert repr(here.server) == f"<SmppServer {here.server.addresses[0]}: 1 links, 1 bound>"

    run(test())


def test_counting(run: Run) -> None:
    async def test() -> None:
        async with world() as here:
            client = await here.bound()
            await client.ask(SubmitSm())
            await client.ask(EnquireLink())
            counters = here.server.stats.pdus
            assert counters.received[CommandId.SUBMIT_SM] == counters.sent[CommandId.SUBMIT_SM_RESP] == 1
            assert counters.received[CommandId.BIND_TRANSCEIVER] == 1
            assert counters.sent[CommandId.ENQUIRE_LINK_RESP] == 1
            assert counters.octets_in > counters.octets_out > 0

    run(test())


# Before the bind: balancers -------------------------------------------------------------------------------------------

BEHIND = (Listener.model_validate({"listen": "127.0.0.1:0", "proxy_from": ["127.0.0.0/8"]}),)
FAR = b"PROXY TCP4 192.0.2.9 192.0.2.1 40123 2775\r\n"
SIGNATURE = bytes.fromhex("0D0A0D0A000D0A515549540A")
FAR_2 = SIGNATURE + bytes.fromhex("2111000C C0000209C0000201 9CBB0AD7")
LOCAL_2 = SIGNATURE + bytes.fromhex("20000000")


@pytest.mark.parametrize("header", [FAR, FAR_2])
@pytest.mark.parametrize("whole", [True, False])
def test_behind_a_balancer_the_client_is_the_peer(header: bytes, whole: bool, run: Run, log: Any) -> None:
    async def test() -> None:
        async with world(listeners=BEHIND) as here:
            client = await here.connect()
            for octets in [header] if whole else [bytes([one]) for one in header]:
                client.send(octets)
                await asyncio.sleep(0)
            assert await client.bind("far") == 0
            (link,) = here.desk.links
            assert link.peer == "192.0.2.9:40123"
            assert link.via.startswith("127.0.0.1:")
            assert list(here.server.guard.visitors) == ["127.0.0.1", "192.0.2.9"]
            assert repr(here.server.guard) == "<Guard 1 connections, 0 unbound, 2 addresses>"
            near = await here.connect()
            near.send(header)
            assert await near.bind("demo") == CommandStatus.ESME_RBINDFAIL

    run(test())
    (up,) = [line for line in log if line["event"] == "link up"]
    assert (up["peer"], up["via"][:10]) == ("192.0.2.9:40123", "127.0.0.1:")


def test_a_balancer_that_speaks_for_itself_is_the_peer(run: Run) -> None:
    async def test() -> None:
        async with world(listeners=BEHIND) as here:
            client = await here.connect()
            client.send(LOCAL_2)
            assert await client.bind("demo") == 0
            (link,) = here.desk.links
            assert link.peer.startswith("127.0.0.1:")
            assert link.via == ""

    run(test())


def test_a_client_that_the_balancer_cannot_name_is_nobody(run: Run) -> None:
    async def test() -> None:
        async with world(listeners=BEHIND) as here:
            client = await here.connect()
            client.send(b"PROXY UNKNOWN\r\n")
            assert isinstance(await client.ask(EnquireLink()), EnquireLinkResp)
            for account in ACCOUNTS:
                assert await client.bind(account) == CommandStatus.ESME_RBINDFAIL

    run(test())


@pytest.mark.parametrize(
    "octets", [encode(BindTransceiver(system_id="demo", sequence_number=1)), b"PROXY TCP9 \r\n    "]
)
def test_a_balancer_without_a_header_is_closed_and_told_of_once(octets: bytes, run: Run, log: Any) -> None:
    async def test() -> None:
        async with world(listeners=BEHIND) as here:
            for _ in range(3):
                client = await here.connect()
                client.send(octets)
                assert await client.ended()
            assert here.server.stats.refused == {"proxy": 3}
            assert here.server.guard.connections == 0
            assert here.desk.heard == []

    run(test())
    (line,) = [line for line in log if line["event"] == "proxy header refused"]
    assert line["log_level"] == "warning"
    assert line["reason"]


def test_a_header_that_does_not_come_is_not_waited_for(run: Run, log: Any) -> None:
    async def test() -> None:
        async with world(listeners=BEHIND, session_init_timeout="100ms") as here:
            client = await here.connect()
            client.send(FAR[:20])
            assert await client.ended()
            assert here.server.guard.connections == 0

    run(test())
    (line,) = [line for line in log if line["event"] == "proxy header refused"]
    assert line["reason"] == "no whole header in time"


def test_who_is_no_balancer_writes_no_header(run: Run) -> None:
    async def test() -> None:
        elsewhere = Listener.model_validate({"listen": "127.0.0.1:0", "proxy_from": ["192.0.2.0/24"]})
        async with world(listeners=(elsewhere,)) as here:
            assert await (await here.connect()).bind("demo") == 0
            liar = await here.connect()
            liar.send(FAR)
            assert isinstance(await liar.receive(), GenericNack)
            assert await liar.ended()

    run(test())


def test_a_balancer_that_only_looks_is_not_worth_a_warning(run: Run, log: Any) -> None:
    async def test() -> None:
        async with world(listeners=BEHIND) as here:
            client = await here.connect()
            client.writer.write_eof()
            assert await client.ended()
            assert here.server.guard.connections == 0

    run(test())
    (line,) = [line for line in log if line["event"] == "link closed before bind"]
    assert line["log_level"] == "debug"


def test_one_client_does_not_spend_the_limit_of_others_behind_the_balancer(run: Run) -> None:
    async def test() -> None:
        async with world(listeners=BEHIND, max_connections_per_address=2) as here:
            for host in (7, 7, 8, 8, 7):
                client = await here.connect()
                client.send(FAR.replace(b"192.0.2.9", b"192.0.2.%d" % host))
                bound = here.server.guard.visitors.get("192.0.2.7")
                if bound is None or bound.connections < 2 or host == 8:
                    assert await client.bind("far") == 0
                else:
                    assert await client.ended()
            assert here.server.stats.refused == {"max_connections_per_address": 1}

    run(test())


# Before the bind: TLS and certificates of clients ---------------------------------------------------------------------


class Trust:
    """Who signs what here."""

    def __init__(self, authority: Callable[[str], Any]) -> None:
        public = authority("public")
        self.known = authority("known")
        self.public = public.file
        self.own = public.sign("gateway.example", dns=("localhost",))

    def listener(self, clients: str = "required", **keys: Any) -> Listener:
        tls = {
            "certificate": self.own.certificate,
            "key": self.own.key,
            "clients": clients,
            "clients_ca": self.known.file,
        }
        return Listener.model_validate({"listen": "127.0.0.1:0", "tls": tls} | keys)


@pytest.fixture
def trust(authority: Callable[[str], Any]) -> Trust:
    return Trust(authority)


def asking(desk: Desk, *wanted: str) -> None:
    """The account demo is bound to these certificates now."""
    demo = ACCOUNTS["demo"].model_copy(update={"client_certificates": wanted})
    desk.doorkeeper = Doorkeeper(ACCOUNTS | {"demo": demo})


def test_an_account_is_bound_to_a_certificate(trust: Trust, run: Run, log: Any) -> None:
    right = trust.known.sign("gateway.client.example")
    wrong = trust.known.sign("other.example")

    async def test() -> None:
        async with world(listeners=(trust.listener("optional"),)) as here:
            asking(here.desk, "gateway.client.example")
            assert await (await here.connect(ssl=right.client(trust.public))).bind() == 0
            (link,) = here.desk.links
            assert link.certificate is not None
            other = await here.connect(ssl=wrong.client(trust.public))
            assert await other.bind() == CommandStatus.ESME_RBINDFAIL
            plain = ssl.create_default_context(cafile=trust.public)
            none = await here.connect(ssl=plain, server_hostname="localhost")
            assert await none.bind() == CommandStatus.ESME_RBINDFAIL
            asking(here.desk, f"sha256:{wrong.fingerprint}")
            assert await other.bind() == 0

    run(test())
    ups = [line["certificate"] for line in log if line["event"] == "link up"]
    assert ups == ["gateway.client.example", "other.example"]
    reasons = [line["reason"] for line in log if line["event"] == "bind refused"]
    assert reasons[0].startswith('the certificate "other.example" (sha256:')
    assert reasons[1] == "no certificate of the client: it is not on TLS, or shows none"


def test_a_handshake_that_fails_is_told_with_its_reason_once_a_minute(trust: Trust, run: Run, log: Any) -> None:
    async def test() -> None:
        async with world(listeners=(trust.listener(),)) as here:
            for _ in range(3):
                plain = await here.connect()
                plain.send(b"GET / HTTP/1.1\r\n\r\n")
                assert await plain.ended()
            here.passed += 60
            plain = await here.connect()
            plain.send(encode(BindTransceiver(system_id="demo", password="secret", sequence_number=1)))
            assert await plain.ended()
            assert here.server.stats.refused == {"tls": 4}
            assert here.server.guard.connections == 0
            assert here.desk.heard == []

    run(test())
    lines = [(line["reason"], line["times"]) for line in log if line["event"] == "tls handshake failed"]
    assert lines == [("HTTP_REQUEST", 1), ("WRONG_VERSION_NUMBER", 3)]


def test_a_client_without_the_certificate_that_is_required_is_told(trust: Trust, run: Run, log: Any) -> None:
    async def test() -> None:
        async with world(listeners=(trust.listener(),)) as here:
            context = ssl.create_default_context(cafile=trust.public)
            with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
                await (await here.connect(ssl=context, server_hostname="localhost")).bind()

    run(test())
    (line,) = [line for line in log if line["event"] == "tls handshake failed"]
    assert line["reason"] == "PEER_DID_NOT_RETURN_A_CERTIFICATE"


def test_a_client_that_is_silent_within_its_handshake_counts_and_is_closed(trust: Trust, run: Run, log: Any) -> None:
    async def test() -> None:
        settings = {"session_init_timeout": "300ms", "max_unbound_per_address": 1}
        async with world(listeners=(trust.listener(),), **settings) as here:
            silent = await here.connect()
            assert await (await here.connect()).ended()
            assert here.server.stats.refused["max_unbound_per_address"] == 1
            assert await silent.ended()
            await until(lambda: not here.server.guard.connections)
            slow = await here.connect()
            slow.send(bytes.fromhex("1603010200"))
            assert await slow.ended()
            await until(lambda: not here.server.guard.connections)

    run(test())
    (line,) = [line for line in log if line["event"] == "tls handshake failed"]
    assert line["reason"] == "not a word in time"


def test_new_certificates_key_and_authorities_drop_no_bind(
    trust: Trust, authority: Callable[[str], Any], run: Run
) -> None:
    async def test() -> None:
        old = trust.known.sign("old.example")
        async with world(listeners=(trust.listener(),)) as here:
            bound = await here.connect(ssl=old.client(trust.public))
            assert await bound.bind() == 0
            # Everything is another one now, in the same files.
            public, known = authority("public2"), authority("known2")
            signed = public.sign("gateway.example")
            for there, new in (
                (trust.own.certificate, signed.certificate),
                (trust.own.key, signed.key),
                (trust.known.file, known.file),
            ):
                there.write_bytes(new.read_bytes())
            here.server.reload(here.server.config)
            assert isinstance(await bound.ask(EnquireLink()), EnquireLinkResp)
            with pytest.raises(ssl.SSLCertVerificationError):
                await here.connect(ssl=old.client(trust.public))
            with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
                await (await here.connect(ssl=old.client(public.file))).bind()
            new = known.sign("new.example")
            assert await (await here.connect(ssl=new.client(public.file))).bind() == 0
            assert isinstance(await bound.ask(SubmitSm()), SubmitSmResp)
            assert len(here.desk.links) == 2

    run(test())


def test_tls_begins_after_the_header(trust: Trust, run: Run) -> None:
    right = trust.known.sign("client.example")

    async def test() -> None:
        async with world(listeners=(trust.listener(proxy_from=["127.0.0.0/8"]),)) as here:
            client = await here.connect()
            client.send(FAR_2)
            await client.writer.start_tls(right.client(trust.public), server_hostname="localhost")
            assert await client.bind("far") == 0
            (link,) = here.desk.links
            assert (link.peer, str(link.certificate)) == ("192.0.2.9:40123", "client.example")

    run(test())


def test_stopping_does_not_wait_for_who_is_not_there_yet(trust: Trust, run: Run) -> None:
    async def test() -> None:
        listener = trust.listener(proxy_from=["127.0.0.0/8"])
        async with world(listeners=(listener,)) as here:
            early, late = await here.connect(), await here.connect()
            late.send(FAR)
            await until(lambda: here.server.guard.connections == 2)
            here.server.stop_listening()
            assert await early.ended()
            assert await late.ended()
            assert here.server.guard.connections == 0

    run(test())


# Before the bind: limits and guessing --------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["max_unbound", "max_unbound_per_address"])
def test_who_has_not_bound_takes_a_place_until_he_binds_or_goes(limit: str, run: Run, log: Any) -> None:
    async def test() -> None:
        async with world(**{limit: 2}) as here:
            first, second = await here.connect(), await here.connect()
            assert await (await here.connect()).ended()
            assert await first.bind() == 0
            third = await here.connect()
            assert isinstance(await third.ask(EnquireLink()), EnquireLinkResp)
            assert await (await here.connect()).ended()
            await second.close()
            await until(lambda: here.server.guard.unbound == 1)
            assert await (await here.connect()).bind() == 0
            assert here.server.stats.refused == {limit: 2}
            assert repr(here.server.guard) == "<Guard 3 connections, 1 unbound, 1 addresses>"

    run(test())
    (line,) = [line for line in log if line["event"] == "connection refused"]
    assert (line["reason"], line["times"]) == (limit, 1)


def test_strangers_leave_places_for_those_who_may_bind(run: Run) -> None:
    async def test() -> None:
        async with world(max_unbound=4) as here:
            here.desk.doorkeeper = Doorkeeper(
                {"demo": ACCOUNTS["demo"].model_copy(update={"allowed_networks": (ip_network("127.0.0.1"),)})}
            )
            for _ in range(4):
                await here.connect(local_addr=("127.0.0.2", 0))
            await until(lambda: here.server.stats.refused["max_unbound"] == 2)
            assert await (await here.connect()).bind() == 0

    run(test())


def test_who_never_binds_is_told_of_once_a_minute(run: Run, log: Any) -> None:
    async def test() -> None:
        async with world() as here:
            for _ in range(5):
                stranger = await here.connect()
                stranger.send(b"GET / HTTP/1.1\r\n\r\n")
                assert isinstance(await stranger.receive(), GenericNack)
                assert await stranger.ended()

    run(test())
    (line,) = [line for line in log if line["event"] == "link closed before bind"]
    assert (line["how"], line["times"]) == ("closed", 1)


def test_after_failed_binds_an_address_waits_before_it_is_looked_at(run: Run) -> None:
    async def test() -> None:
        async with world(bind_failures=2, bind_delay_max="1h") as here:
            looked_at = 0

            async def door() -> None:
                nonlocal looked_at
                looked_at += 1

            here.desk.door = door
            guesser = await here.connect()
            for _ in range(2):
                assert await guesser.bind(password="guess") == CommandStatus.ESME_RINVPASWD
            here.server.guard.visitors["127.0.0.1"].failures["demo"] = 12
            for password in ("guess", "secret"):
                waiting = await here.connect()
                waiting.send(BindTransceiver(system_id="demo", password=password, sequence_number=1))
            await until(lambda: here.server.stats.binds_delayed == 2)
            assert looked_at == 2
            # Another address does not.
            assert await (await here.connect(local_addr=("127.0.0.2", 0))).bind() == 0
            assert looked_at == 3

    run(test())


def test_the_right_password_is_answered_after_its_wait_and_forgives(run: Run) -> None:
    async def test() -> None:
        async with world(bind_failures=1, bind_delay_max="50ms") as here:
            guesser = await here.connect()
            for _ in range(3):
                assert await guesser.bind(password="guess") == CommandStatus.ESME_RINVPASWD
            assert here.server.stats.binds_delayed == 2
            assert await (await here.connect()).bind() == 0
            assert here.server.stats.binds_delayed == 3
            assert await (await here.connect()).bind() == 0
            assert here.server.stats.binds_delayed == 3

    run(test())


def test_what_is_refused_for_another_reason_is_no_guess(run: Run) -> None:
    async def test() -> None:
        async with world(bind_failures=1, bind_delay_max="1h") as here:
            await here.bound()
            await here.bound()
            for _ in range(3):
                assert await (await here.connect()).bind() == CommandStatus.ESME_RBINDFAIL
            assert here.server.stats.binds_delayed == 0

    run(test())


def test_guessing_is_told_once_a_minute_without_passwords(run: Run, log: Any) -> None:
    async def test() -> None:
        async with world(bind_failures=2, bind_delay_max="1ms") as here:
            guesser = await here.connect()
            for number in range(6):
                await guesser.bind(f"name{number}", password=f"guess{number}")
            # Sooner than who has not bound is sent away.
            here.passed += 20
            await guesser.bind("name6", password="guess6")
            await guesser.close()
            here.passed += 41
            guesser = await here.connect()
            for _ in range(4):
                await guesser.bind("name7", password="guess7")
            assert here.server.stats.binds_refused == {"ESME_RINVSYSID": 11}

    run(test())
    told = [line for line in log if line["event"] == "bind guessing"]
    assert [line["times"] for line in told] == [1, 5]
    assert told[1]["system_ids"] == ["name3", "name4", "name5", "name6", "name7"]
    assert told[0]["address"] == "127.0.0.1"
    assert len([line for line in log if line["event"] == "bind refused"]) < 6
    assert "guess" not in re.sub("bind guessing", "", repr(log))
