"""Clients as sloppy and as hostile as hypothesis can make them, over real sockets, against one gateway.

Whatever they do, in whatever order:

* every request on a link that lives is answered exactly once, under its sequence_number, and nothing else is;
* no receipt comes before its response, none for a refusal, none twice that was answered;
* what was acknowledged is not lost: its receipt comes, to whoever receives for the account in the end.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    rule,
    run_state_machine_as_test,
)

from bench.fuzz import frames
from pdu import (
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    BodyError,
    CommandId,
    DataSm,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    Framer,
    GenericNack,
    Pdu,
    QuerySm,
    SmeAddress,
    SubmitMulti,
    SubmitSm,
    Tag,
    Tlv,
    Unbind,
    decode,
    encode,
)

#: `EXAMPLES=1000 python -m pytest tests/conformance` plays longer, and other games each time.
EXAMPLES = int(os.environ.get("EXAMPLES", "40"))
KINDS = {"transmitter": BindTransmitter, "receiver": BindReceiver, "transceiver": BindTransceiver}
RESPONSE = 0x80000000
#: Destinations of the sandbox: delivered, at once, absent, rejected, early, twice.
NUMBERS = ("79991234567", "79990000001", "79990000004", "79990000003", "79990000011", "79990000015")
#: Rubbish that is the same in every run; without UNBIND and binds, which would end what a link stands for.
RUBBISH = [
    frame
    for _, frame in zip(range(3000), frames(7), strict=False)
    if int.from_bytes(frame[:4]) == len(frame)
    and int.from_bytes(frame[4:8]) not in (1, 2, 6, 9)
    and not frame[4] & 0x80
    and int.from_bytes(frame[4:8]) in (3, 5, 7, 8, 0x0B, 0x102, 0x200, 0x7FFF)
]


class Client:
    """One link, and all that went over it."""

    def __init__(self, port: int, kind: str, version: int) -> None:
        self.kind = kind
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.framer = Framer(1 << 20)
        self.sequence = 0
        #: Requests that wait for their answer, by sequence_number.
        self.asked: dict[int, Pdu | bytes] = {}
        #: Deliveries that wait for ours.
        self.deliveries: list[DeliverSm] = []
        self.open = True
        self.leaving = False
        self.ask(KINDS[kind](system_id="demo", password="demo", interface_version=version))

    def ask(self, pdu: Pdu) -> None:
        self.sequence += 1
        pdu.sequence_number = self.sequence
        self.asked[self.sequence] = pdu
        self.write(encode(pdu))

    def write(self, octets: bytes) -> None:
        if self.open:
            try:
                self.socket.sendall(octets)
            except OSError:
                self.close()

    def close(self) -> None:
        self.open = False
        self.socket.close()


class Clients(RuleBasedStateMachine):
    """The account's clients, and what must hold for all of them together."""

    port: ClassVar[int]
    links = Bundle("links")
    examples: ClassVar[Iterator[int]]

    @initialize()
    def begin(self) -> None:
        self.clients: list[Client] = []
        #: No two messages of all examples are identical unless a rule wants it.
        self.example = next(self.examples)
        self.texts = 0
        #: Acknowledged ids that asked for a receipt, and how many receipts each is owed.
        self.owed: Counter[str] = Counter()
        #: Ids that were acknowledged at all.
        self.known: set[str] = set()
        #: Receipts that we answered with status 0, and all that came.
        self.told: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.parts: dict[bytes, set[str]] = {}

    # What clients do -------------------------------------------------------------------------------------------------

    @rule(target=links, kind=st.sampled_from(sorted(KINDS)), version=st.sampled_from((0x33, 0x34, 0x50)))
    def bind(self, kind: str, version: int) -> Client:
        client = Client(self.port, kind, version)
        self.clients.append(client)
        self.settle(client)
        return client

    @rule(
        client=links,
        count=st.integers(1, 40),
        number=st.sampled_from(NUMBERS),
        registered=st.sampled_from((0, 1, 2)),
    )
    def submit(self, client: Client, count: int, number: str, registered: int) -> None:
        for _ in range(count):
            client.ask(self.message(number, registered))

    @rule(client=links, number=st.sampled_from(NUMBERS))
    def submit_the_same_twice(self, client: Client, number: str) -> None:
        one = self.message(number, 1)
        for _ in range(2):
            same = {name: getattr(one, name) for name in ("source_addr", "destination_addr", "short_message")}
            client.ask(SubmitSm(**same))

    @rule(client=links, number=st.sampled_from(NUMBERS), order=st.permutations((1, 2, 3)), twice=st.booleans())
    def submit_in_parts(self, client: Client, number: str, order: list[int], twice: bool) -> None:
        self.texts += 1
        for part in order * (1 + twice):
            header = bytes((6, 8, 4, self.texts >> 8 & 255, self.texts & 255, 3, part))
            text = header + f"{self.example} part {part} ".encode()
            client.ask(
                SubmitSm(
                    source_addr=f"E{self.example}",
                    destination_addr=number,
                    registered_delivery=1,
                    esm_class=0x40,
                    short_message=text,
                )
            )

    @rule(client=links, numbers=st.lists(st.sampled_from((*NUMBERS, "nobody")), min_size=1, max_size=6))
    def submit_to_many(self, client: Client, numbers: list[str]) -> None:
        one = self.message("", 1)
        addresses = [SmeAddress(destination_addr=number) for number in numbers]
        client.ask(
            SubmitMulti(
                source_addr=one.source_addr,
                registered_delivery=1,
                short_message=one.short_message,
                dest_addresses=addresses,
            )
        )

    @rule(client=links, number=st.sampled_from(NUMBERS))
    def send_data(self, client: Client, number: str) -> None:
        one = self.message(number, 1)
        payload = Tlv(Tag.MESSAGE_PAYLOAD, one.short_message)
        client.ask(DataSm(source_addr=one.source_addr, destination_addr=number, registered_delivery=1, tlvs=[payload]))

    @rule(client=links, id=st.integers(0, 99))
    def ask_about_nothing(self, client: Client, id: int) -> None:
        client.ask(QuerySm(message_id=str(id)))

    @rule(client=links)
    def say_that_it_is_there(self, client: Client) -> None:
        client.ask(EnquireLink())

    @rule(client=links, which=st.integers(0, len(RUBBISH) - 6), count=st.integers(1, 5))
    def send_rubbish(self, client: Client, which: int, count: int) -> None:
        for frame in RUBBISH[which : which + count]:
            client.sequence += 1
            octets = frame[:12] + client.sequence.to_bytes(4) + frame[16:]
            client.asked[client.sequence] = octets
            client.write(octets)

    @rule(client=links, sequence=st.integers(0, 0xFFFFFFFF), status=st.integers(0, 0xFFFFFFFF))
    def answer_what_nobody_asked(self, client: Client, sequence: int, status: int) -> None:
        waiting = {delivery.sequence_number for delivery in client.deliveries}
        if sequence not in waiting:
            client.write(encode(GenericNack(sequence_number=sequence, command_status=status)))

    @rule(client=links)
    def read(self, client: Client) -> None:
        self.take(client)

    @rule(status=st.sampled_from((0, 0, 0, 8, 0x58)), count=st.integers(1, 100))
    def answer_deliveries(self, status: int, count: int) -> None:
        for client in self.clients:
            for delivery in client.deliveries[:count]:
                self.answer(client, delivery, status)
            del client.deliveries[:count]

    @rule(client=consumes(links))
    def unbind(self, client: Client) -> None:
        client.leaving = True
        client.ask(Unbind())

    @rule(client=consumes(links))
    def vanish(self, client: Client) -> None:
        self.take(client)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.forget(client)

    @rule(client=consumes(links))
    def hang_up_half(self, client: Client) -> None:
        """The last word is said, the answers are still read."""
        if client.open:
            try:
                client.socket.shutdown(socket.SHUT_WR)
            except OSError:
                client.close()
            client.leaving = True

    # What comes back -------------------------------------------------------------------------------------------------

    def message(self, number: str, registered: int) -> SubmitSm:
        self.texts += 1
        return SubmitSm(
            source_addr=f"E{self.example}",
            destination_addr=number,
            registered_delivery=registered,
            short_message=f"{self.example} {self.texts}".encode(),
        )

    def take(self, client: Client, wait: float = 0.0) -> bool:
        """Read what has come; whether anything had."""
        if not client.open or not select.select([client.socket], [], [], wait)[0]:
            return False
        try:
            data = client.socket.recv(1 << 20)
        except OSError:
            data = b""
        if not data:
            self.ended(client)
            return False
        client.framer.feed(data)
        while (frame := client.framer.next()) is not None:
            self.came(client, frame)
        return True

    def came(self, client: Client, frame: bytes) -> None:
        command, sequence = int.from_bytes(frame[4:8]), int.from_bytes(frame[12:16])
        if command == CommandId.DELIVER_SM:
            pdu = decode(frame)
            assert isinstance(pdu, DeliverSm)
            assert client.kind != "transmitter"
            id = pdu.short_message.split()[0].removeprefix(b"id:").decode()
            self.seen[id] += 1
            alone = len(self.clients) == 1
            assert id in self.known or not alone, "a receipt before its response"
            client.deliveries.append(pdu)
        elif command == CommandId.ENQUIRE_LINK:
            client.write(bytes.fromhex("0000001080000015") + bytes(4) + frame[12:16])
        elif command & RESPONSE:
            asked = client.asked.pop(sequence, None)
            assert asked is not None, f"an answer {command:08X} to {sequence}, which nobody asked or which was answered"
            self.answered(asked, command, frame)
        else:
            pytest.fail(f"{command:08X} from the gateway")

    def answered(self, asked: Pdu | bytes, command: int, frame: bytes) -> None:
        if isinstance(asked, bytes):
            return
        assert command in (asked.command_id | RESPONSE, CommandId.GENERIC_NACK)
        try:
            answer: Any = decode(frame)
        except BodyError as broken:
            pytest.fail(f"an answer that cannot be read: {broken.reason}")
        if answer.command_status == 0 and isinstance(asked, SubmitSm | DataSm | SubmitMulti):
            id = answer.message_id
            assert id.isdigit()
            if id not in self.known and asked.registered_delivery & 1:
                self.owe(asked, answer, id)
            self.known.add(id)

    def owe(self, asked: SubmitSm | DataSm | SubmitMulti, answer: Any, id: str) -> None:
        if isinstance(asked, SubmitMulti):
            numbers = {one.destination_addr for one in asked.dest_addresses}
            self.owed[id] += len(numbers) - len({one.destination_addr for one in answer.unsuccess_smes})
        elif asked.esm_class & 0x40 and isinstance(asked, SubmitSm):
            # Parts of a set that never becomes whole wait for an hour: those of a whole one count.
            parts = self.parts.setdefault(asked.short_message[:6], set())
            parts.add(id)
            if len(parts) == 3:
                self.owed.update(parts)
        else:
            self.owed[id] += 1

    def answer(self, client: Client, delivery: DeliverSm, status: int) -> None:
        if client.open and not client.leaving:
            client.write(encode(DeliverSmResp(sequence_number=delivery.sequence_number, command_status=status)))
            if not status:
                self.told[delivery.short_message.split()[0].removeprefix(b"id:").decode()] += 1

    def ended(self, client: Client) -> None:
        """The gateway has closed: after an UNBIND or an end of ours, and with every request answered."""
        assert client.leaving, "the gateway closed a link that did nothing to deserve it"
        left = [asked for asked in client.asked.values() if not isinstance(asked, bytes)]
        assert not left, f"not answered: {left[:3]}"
        client.close()

    def forget(self, client: Client) -> None:
        """What it did not read may have been acknowledged: its receipts come, or not."""
        client.asked.clear()
        client.close()

    def settle(self, client: Client, seconds: float = 20.0) -> None:
        """Until everything that it asked for is answered."""
        end = time.monotonic() + seconds
        while client.open and client.asked:
            self.take(client, 0.5)
            assert time.monotonic() < end, f"never answered: {list(client.asked.values())[:3]}"

    def teardown(self) -> None:
        if not hasattr(self, "clients"):
            return
        for client in self.clients:
            self.settle(client)
        last = Client(self.port, "transceiver", 0x34)
        self.clients.append(last)
        self.settle(last)
        for client in self.clients[:-1]:
            if client.open:
                # What these hold unanswered goes to the last one.
                self.forget(client)
        end = time.monotonic() + 30
        while any(self.told[id] < owed for id, owed in self.owed.items()):
            self.take(last, 0.2)
            for delivery in last.deliveries:
                self.answer(last, delivery, 0)
            last.deliveries.clear()
            lost = {id for id, owed in self.owed.items() if self.told[id] < owed}
            assert time.monotonic() < end, f"lost: {lost}"
        last.leaving = True
        last.ask(Unbind())
        self.settle(last)
        for client in self.clients:
            client.close()


@pytest.mark.journey
def test_clients_of_any_kind(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Clients that refuse a receipt get it again after a pause, which need not be as long here.
    monkeypatch.setattr("smppbridge.delivery.outbox._FIRST_PAUSE", 50)
    networks = 'allowed_networks = ["127.0.0.0/8"]'
    smpp = "[smpp]\nmax_bad_pdus = 0\nwindow = 20"
    gateway = start(**{networks: f"{networks}\nmax_binds = 1000", "[smpp]": smpp, '"20ms"': '"1ms"'})
    Clients.port = gateway.port
    Clients.examples = iter(range(1, 1_000_000))
    run_state_machine_as_test(
        Clients,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize="EXAMPLES" not in os.environ,
            # A game that is lost is told as it was played: playing it shorter takes as long as losing does.
            phases=(Phase.generate,),
        ),
    )
