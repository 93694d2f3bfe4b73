"""The running server, octet by octet: every PDU in every state, and what is wrong with each field of it.

The PDUs are written here by hand, from SMPP 3.4 (and 5.0 where it says so), and not by the program's own codec: so a
mistake in the codec cannot hide itself. docs/smpp-support.md shows the same tables; print them with
`python tests/conformance/test_conformance.py`.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "smpp-support.md"

# SMPP 3.4 §5.1.2.1 ---------------------------------------------------------------------------------------------------

COMMANDS = {
    "bind_receiver": 0x01,
    "bind_transmitter": 0x02,
    "query_sm": 0x03,
    "submit_sm": 0x04,
    "deliver_sm": 0x05,
    "unbind": 0x06,
    "replace_sm": 0x07,
    "cancel_sm": 0x08,
    "bind_transceiver": 0x09,
    "outbind": 0x0B,
    "enquire_link": 0x15,
    "submit_multi": 0x21,
    "alert_notification": 0x102,
    "data_sm": 0x103,
}
GENERIC_NACK = 0x80000000
RESPONSE = 0x80000000

# SMPP 3.4 §5.1.3, those that are expected here -----------------------------------------------------------------------

STATUS = {
    "ESME_ROK": 0x00,
    "ESME_RINVMSGLEN": 0x01,
    "ESME_RINVCMDLEN": 0x02,
    "ESME_RINVCMDID": 0x03,
    "ESME_RINVBNDSTS": 0x04,
    "ESME_RALYBND": 0x05,
    "ESME_RINVPRTFLG": 0x06,
    "ESME_RINVSRCADR": 0x0A,
    "ESME_RINVDSTADR": 0x0B,
    "ESME_RINVMSGID": 0x0C,
    "ESME_RBINDFAIL": 0x0D,
    "ESME_RINVPASWD": 0x0E,
    "ESME_RINVSYSID": 0x0F,
    "ESME_RCANCELFAIL": 0x11,
    "ESME_RREPLACEFAIL": 0x13,
    "ESME_RINVSERTYP": 0x15,
    "ESME_RINVNUMDESTS": 0x33,
    "ESME_RINVDLNAME": 0x34,
    "ESME_RINVDESTFLAG": 0x40,
    "ESME_RSUBMITFAIL": 0x45,
    "ESME_RINVSYSTYP": 0x53,
    "ESME_RINVSCHED": 0x61,
    "ESME_RINVEXPIRY": 0x62,
    "ESME_RINVDFTMSGID": 0x63,
    "ESME_RQUERYFAIL": 0x67,
    "ESME_RINVOPTPARSTREAM": 0xC0,
    "ESME_RINVPARLEN": 0xC2,
    "ESME_RINVOPTPARAMVAL": 0xC4,
}

# Octets --------------------------------------------------------------------------------------------------------------


def c(text: str) -> bytes:
    """A C-octet string."""
    return text.encode("latin-1") + b"\0"


def o(value: int) -> bytes:
    """One octet."""
    return bytes([value])


def tlv(tag: int, value: bytes) -> bytes:
    return struct.pack(">HH", tag, len(value)) + value


def frame(command: int, body: bytes = b"", sequence: int = 77, status: int = 0) -> bytes:
    return struct.pack(">IIII", 16 + len(body), command, status, sequence) + body


#: The mandatory fields of each request in their order (SMPP 3.4 §4), as something that is taken.
FIELDS: dict[str, dict[str, bytes]] = {
    "submit_sm": {
        "service_type": c(""),
        "source_addr_ton": o(5),
        "source_addr_npi": o(0),
        "source_addr": c("TEST"),
        "dest_addr_ton": o(1),
        "dest_addr_npi": o(1),
        "destination_addr": c("79991234567"),
        "esm_class": o(0),
        "protocol_id": o(0),
        "priority_flag": o(0),
        "schedule_delivery_time": c(""),
        "validity_period": c(""),
        "registered_delivery": o(0),
        "replace_if_present_flag": o(0),
        "data_coding": o(0),
        "sm_default_msg_id": o(0),
        "short_message": o(5) + b"Hello",
    },
    "data_sm": {
        "service_type": c(""),
        "source_addr_ton": o(5),
        "source_addr_npi": o(0),
        "source_addr": c("TEST"),
        "dest_addr_ton": o(1),
        "dest_addr_npi": o(1),
        "destination_addr": c("79991234567"),
        "esm_class": o(0),
        "registered_delivery": o(0),
        "data_coding": o(0),
    },
    "query_sm": {"message_id": c("123"), "source_addr_ton": o(0), "source_addr_npi": o(0), "source_addr": c("TEST")},
    "cancel_sm": {
        "service_type": c(""),
        "message_id": c("123"),
        "source_addr_ton": o(0),
        "source_addr_npi": o(0),
        "source_addr": c("TEST"),
        "dest_addr_ton": o(0),
        "dest_addr_npi": o(0),
        "destination_addr": c(""),
    },
    "replace_sm": {
        "message_id": c("123"),
        "source_addr_ton": o(0),
        "source_addr_npi": o(0),
        "source_addr": c("TEST"),
        "schedule_delivery_time": c(""),
        "validity_period": c(""),
        "registered_delivery": o(0),
        "sm_default_msg_id": o(0),
        "short_message": o(5) + b"Hello",
    },
}
FIELDS["deliver_sm"] = FIELDS["submit_sm"]
FIELDS["submit_multi"] = {
    **{
        name: FIELDS["submit_sm"][name]
        for name in ("service_type", "source_addr_ton", "source_addr_npi", "source_addr")
    },
    "dest_addresses": o(1) + o(1) + o(1) + o(1) + c("79991234567"),
    **dict(list(FIELDS["submit_sm"].items())[7:]),
}
_BIND = {
    "system_id": c("demo"),
    "password": c("demo"),
    "system_type": c(""),
    "interface_version": o(0x34),
    "addr_ton": o(0),
    "addr_npi": o(0),
    "address_range": c(""),
}
for _name in ("bind_receiver", "bind_transmitter", "bind_transceiver"):
    FIELDS[_name] = _BIND
FIELDS["outbind"] = {"system_id": c("demo"), "password": c("demo")}
FIELDS["alert_notification"] = {
    "source_addr_ton": o(1),
    "source_addr_npi": o(1),
    "source_addr": c("79991234567"),
    "esme_addr_ton": o(0),
    "esme_addr_npi": o(0),
    "esme_addr": c("TEST"),
}

#: Behind the fields of a request that is taken.
_TLVS = {"data_sm": tlv(0x0424, b"Hello")}


def request(name: str, tlvs: bytes | None = None, **fields: bytes) -> bytes:
    """A request that is taken as it stands, with some fields put otherwise."""
    known = FIELDS.get(name, {})
    assert fields.keys() <= known.keys(), fields
    body = b"".join({**known, **fields}.values())
    return frame(COMMANDS[name], body + (_TLVS.get(name, b"") if tlvs is None else tlvs))


# What is expected ----------------------------------------------------------------------------------------------------

STATES = ("OPEN", "BOUND_TX", "BOUND_RX", "BOUND_TRX")
_BINDS = {"BOUND_TX": "bind_transmitter", "BOUND_RX": "bind_receiver", "BOUND_TRX": "bind_transceiver"}

#: SMPP 3.4 §2.3, Table 2-1, and §5.1.3 for what is not in it: the status in each state, in the PDU's own response or
#: (the second column) in GENERIC_NACK. The message that QUERY_SM, CANCEL_SM and REPLACE_SM name is not there, and 5.0
#: §2.4 allows ENQUIRE_LINK everywhere.
MATRIX = """
bind_transmitter    own  ESME_ROK         ESME_RALYBND       ESME_RALYBND     ESME_RALYBND
bind_receiver       own  ESME_ROK         ESME_RALYBND       ESME_RALYBND     ESME_RALYBND
bind_transceiver    own  ESME_ROK         ESME_RALYBND       ESME_RALYBND     ESME_RALYBND
unbind              own  ESME_RINVBNDSTS  ESME_ROK           ESME_ROK         ESME_ROK
enquire_link        own  ESME_ROK         ESME_ROK           ESME_ROK         ESME_ROK
submit_sm           own  ESME_RINVBNDSTS  ESME_ROK           ESME_RINVBNDSTS  ESME_ROK
submit_multi        own  ESME_RINVBNDSTS  ESME_ROK           ESME_RINVBNDSTS  ESME_ROK
data_sm             own  ESME_RINVBNDSTS  ESME_ROK           ESME_ROK         ESME_ROK
query_sm            own  ESME_RINVBNDSTS  ESME_RQUERYFAIL    ESME_RINVBNDSTS  ESME_RQUERYFAIL
cancel_sm           own  ESME_RINVBNDSTS  ESME_RCANCELFAIL   ESME_RINVBNDSTS  ESME_RCANCELFAIL
replace_sm          own  ESME_RINVBNDSTS  ESME_RREPLACEFAIL  ESME_RINVBNDSTS  ESME_RREPLACEFAIL
deliver_sm          own  ESME_RINVCMDID   ESME_RINVCMDID     ESME_RINVCMDID   ESME_RINVCMDID
outbind             nack ESME_RINVCMDID   ESME_RINVCMDID     ESME_RINVCMDID   ESME_RINVCMDID
alert_notification  nack ESME_RINVCMDID   ESME_RINVCMDID     ESME_RINVCMDID   ESME_RINVCMDID
"""
MATRIX_ROWS = [line.split() for line in MATRIX.strip().splitlines()]
MATRIX_CASES = [
    (name, state, own == "own", status)
    for name, own, *statuses in MATRIX_ROWS
    for state, status in zip(STATES, statuses, strict=True)
]

#: Responses that nobody asked for, and a command that nobody knows, in every state.
NEVER_ANSWERED = (
    0x80000000,
    *(command | RESPONSE for command in COMMANDS.values()),
    *(0x80000111, 0x80000112, 0x80000113, 0x80000999),
)
UNKNOWN = (0x00, 0x0A, 0x10, 0x111, 0x112, 0x113, 0x200, 0x7FFFFFFF)


class Wrong(NamedTuple):
    """One thing that is wrong with a request, and what is answered in its own response."""

    request: str
    what: str
    status: str
    octets: bytes
    #: Section of SMPP 3.4 that names the field or the status.
    section: str = "5.1.3"


def _wrong_fields() -> Iterator[Wrong]:
    long_addresses = ("data_sm",)
    for name in ("bind_receiver", "bind_transmitter", "bind_transceiver"):
        yield Wrong(name, "system_id of 16 characters", "ESME_RINVSYSID", request(name, system_id=c("x" * 16)), "5.2.1")
        yield Wrong(name, "system_id nobody has", "ESME_RINVSYSID", request(name, system_id=c("nobody")), "5.2.1")
        yield Wrong(name, "password of 9 characters", "ESME_RINVPASWD", request(name, password=c("x" * 9)), "5.2.2")
        yield Wrong(name, "wrong password", "ESME_RINVPASWD", request(name, password=c("wrong")), "5.2.2")
        yield Wrong(
            name, "system_type of 13 characters", "ESME_RINVSYSTYP", request(name, system_type=c("x" * 13)), "5.2.3"
        )
        yield Wrong(
            name, "address_range of 41 characters", "ESME_RBINDFAIL", request(name, address_range=c("9" * 41)), "5.2.7"
        )
        yield Wrong(name, "cut off", "ESME_RINVCMDLEN", frame(COMMANDS[name], c("demo") + c("demo")))
    for name in ("submit_sm", "submit_multi", "data_sm"):
        limit = 65 if name in long_addresses else 21
        yield Wrong(
            name, "service_type of 6 characters", "ESME_RINVSERTYP", request(name, service_type=c("abcdef")), "5.2.11"
        )
        yield Wrong(
            name,
            f"source_addr of {limit} characters",
            "ESME_RINVSRCADR",
            request(name, source_addr=c("9" * limit)),
            "5.2.8",
        )
        yield Wrong(name, "cut off", "ESME_RINVCMDLEN", frame(COMMANDS[name], c("") + o(1)))
        yield Wrong(
            name,
            "a TLV cut off in its head",
            "ESME_RINVOPTPARSTREAM",
            request(name, _TLVS.get(name, b"") + b"\x04\x24\x00"),
            "3.2.4",
        )
        yield Wrong(
            name,
            "a TLV longer than the PDU",
            "ESME_RINVOPTPARSTREAM",
            request(name, _TLVS.get(name, b"") + b"\x14\x00\x00\x09abc"),
            "3.2.4",
        )
        yield Wrong(
            name,
            "sar_total_segments of two octets",
            "ESME_RINVPARLEN",
            request(name, _TLVS.get(name, b"") + tlv(0x20C, b"\0\1") + tlv(0x20E, b"\0\2") + tlv(0x20F, b"\1")),
            "5.3.2.23",
        )
        sar = tlv(0x20C, b"\0\1") + tlv(0x20E, b"\2") + tlv(0x20F, b"\0")
        part_0 = request(name, _TLVS.get(name, b"") + sar)
        yield Wrong(name, "sar_segment_seqnum 0", "ESME_RINVOPTPARAMVAL", part_0, "5.3.2.24")
        yield Wrong(
            name,
            "UDHI without a header that can be read",
            "ESME_RSUBMITFAIL",
            request(name, tlv(0x424, b"\xffHello"), esm_class=o(0x40))
            if name == "data_sm"
            else request(name, esm_class=o(0x40), short_message=o(6) + b"\xffHello"),
            "5.2.12",
        )
    for name in ("submit_sm", "data_sm"):
        limit = 65 if name in long_addresses else 21
        yield Wrong(
            name,
            f"destination_addr of {limit} characters",
            "ESME_RINVDSTADR",
            request(name, destination_addr=c("9" * limit)),
            "5.2.9",
        )
        yield Wrong(name, "no destination_addr", "ESME_RINVDSTADR", request(name, destination_addr=c("")), "5.2.9")
        yield Wrong(
            name,
            "destination_addr that is no number",
            "ESME_RINVDSTADR",
            request(name, destination_addr=c("abc")),
            "5.2.9",
        )
    for name in ("submit_sm", "submit_multi"):
        yield Wrong(name, "no text at all", "ESME_RINVMSGLEN", request(name, short_message=o(0)), "5.2.21")
        yield Wrong(
            name,
            "sm_length beyond the end of the PDU",
            "ESME_RINVMSGLEN",
            request(name, short_message=o(200) + b"Hello"),
            "5.2.21",
        )
        yield Wrong(
            name,
            "short_message and message_payload",
            "ESME_RSUBMITFAIL",
            request(name, tlv(0x424, b"more")),
            "5.3.2.32",
        )
        yield Wrong(name, "priority_flag 5", "ESME_RINVPRTFLG", request(name, priority_flag=o(5)), "5.2.14")
        yield Wrong(
            name,
            "replace_if_present_flag 1",
            "ESME_RREPLACEFAIL",
            request(name, replace_if_present_flag=o(1)),
            "5.2.18",
        )
        yield Wrong(
            name,
            "sm_default_msg_id without a text",
            "ESME_RINVDFTMSGID",
            request(name, sm_default_msg_id=o(1), short_message=o(0)),
            "5.2.20",
        )
    for name in ("submit_sm", "submit_multi", "replace_sm"):
        for field, status, section in (
            ("schedule_delivery_time", "ESME_RINVSCHED", "5.2.15"),
            ("validity_period", "ESME_RINVEXPIRY", "5.2.16"),
        ):
            yield Wrong(name, f"{field} of 5 characters", status, request(name, **{field: c("12345")}), section)
            yield Wrong(
                name, f"{field} of 17 characters", status, request(name, **{field: c("26112212345678912")}), section
            )
            if name != "replace_sm":
                text = "261399000000000+"
                yield Wrong(name, f"{field} that is no time", status, request(name, **{field: c(text)}), section)
    yield Wrong(
        "submit_sm",
        "validity_period that is over",
        "ESME_RINVEXPIRY",
        request("submit_sm", validity_period=c("200101000000000+")),
        "5.2.16",
    )
    yield Wrong("data_sm", "no message_payload", "ESME_RINVMSGLEN", request("data_sm", b""), "4.7.1")
    yield Wrong(
        "submit_multi", "number_of_dests 0", "ESME_RINVNUMDESTS", request("submit_multi", dest_addresses=o(0)), "5.2.24"
    )
    yield Wrong(
        "submit_multi",
        "dest_flag 3",
        "ESME_RINVDESTFLAG",
        request("submit_multi", dest_addresses=o(1) + o(3) + c("79991234567")),
        "5.2.25",
    )
    yield Wrong(
        "submit_multi",
        "dl_name of 21 characters",
        "ESME_RINVDLNAME",
        request("submit_multi", dest_addresses=o(1) + o(2) + c("x" * 21)),
        "5.2.27",
    )
    yield Wrong(
        "submit_multi",
        "a list that is not there",
        "ESME_RINVDLNAME",
        request("submit_multi", dest_addresses=o(1) + o(2) + c("nobody")),
        "5.2.27",
    )
    for name, failed in (
        ("query_sm", "ESME_RQUERYFAIL"),
        ("cancel_sm", "ESME_RCANCELFAIL"),
        ("replace_sm", "ESME_RREPLACEFAIL"),
    ):
        yield Wrong(
            name, "message_id of 65 characters", "ESME_RINVMSGID", request(name, message_id=c("9" * 65)), "5.2.23"
        )
        yield Wrong(name, "message_id that is no id", "ESME_RINVMSGID", request(name, message_id=c("no id")), "5.2.23")
        yield Wrong(name, "a message that is not there", failed, request(name), "5.1.3")
        yield Wrong(
            name, "source_addr of 21 characters", "ESME_RINVSRCADR", request(name, source_addr=c("9" * 21)), "5.2.8"
        )
        yield Wrong(name, "cut off", "ESME_RINVCMDLEN", frame(COMMANDS[name], c("1")))
    yield Wrong("query_sm", "no message_id", "ESME_RINVMSGID", request("query_sm", message_id=c("")), "5.2.23")
    yield Wrong("replace_sm", "no message_id", "ESME_RINVMSGID", request("replace_sm", message_id=c("")), "5.2.23")
    yield Wrong(
        "cancel_sm",
        "destination_addr of 21 characters",
        "ESME_RINVDSTADR",
        request("cancel_sm", destination_addr=c("9" * 21)),
        "5.2.9",
    )


WRONG = list(_wrong_fields())


def _submit(text: str, tlvs: bytes | None = None, **fields: bytes) -> bytes:
    return request("submit_sm", tlvs, short_message=o(len(text)) + text.encode(), **fields)


#: What is not as the specification says and is taken all the same, because clients do it.
TAKEN: list[tuple[str, str, bytes]] = [
    ("submit_sm", "short_message of 255 octets (5.0; 3.4 has 254)", _submit("a" * 255)),
    ("submit_sm", "the whole text in message_payload", _submit("", tlv(0x424, b"payload"))),
    ("submit_sm", "priority_flag 4 (5.0)", _submit("five", priority_flag=o(4))),
    ("submit_sm", "an unknown TLV", _submit("tlv", tlv(0x1999, b"?"))),
    ("submit_sm", "the same TLV twice", _submit("twice", tlv(0x1999, b"?") * 2)),
    ("submit_sm", "esm_class 3 (store and forward)", _submit("esm", esm_class=o(3))),
    ("submit_sm", "a schedule in the past", _submit("past", schedule_delivery_time=c("200101000000000+"))),
    ("submit_sm", "no source_addr", _submit("none", source_addr=c(""))),
    ("submit_sm", "a plus before the number", _submit("plus", destination_addr=c("+79991234567"))),
    (
        "submit_sm",
        "any service_type and protocol_id",
        _submit("any", service_type=c("WAP"), protocol_id=o(127)),
    ),
    ("submit_sm", "registered_delivery with every bit", _submit("all", registered_delivery=o(0xFF))),
    ("submit_sm", "a sequence_number of 0", frame(0x04, _submit("zero")[16:], 0)),
    ("submit_sm", "a sequence_number above 0x7FFFFFFF", frame(0x04, _submit("high")[16:], 0xFFFFFFFE)),
    ("submit_sm", "a command_status that is not 0", frame(0x04, _submit("status")[16:], status=9)),
    ("data_sm", "on a receiver (allowed by 3.4 §2.3)", request("data_sm", tlv(0x424, b"by a receiver"))),
    ("enquire_link", "with a body", frame(0x15, b"body")),
    ("unbind", "with a body", frame(0x06, b"body")),
]

#: A command_length that cannot be: nobody knows where the next PDU begins.
LOST = {
    "command_length 15": struct.pack(">IIII", 15, 0x15, 0, 1),
    "command_length 0": struct.pack(">IIII", 0, 0x15, 0, 1),
    "command_length above max_pdu": struct.pack(">IIII", 0x7FFFFFFF, 0x04, 0, 1),
    "TLS on a plain port": bytes.fromhex("16030100f8010000f40303" + "00" * 8),
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
}


# The running server --------------------------------------------------------------------------------------------------


class Answer(NamedTuple):
    command: int
    status: int
    sequence: int
    body: bytes


class Wire:
    """A socket, and PDUs cut out of what comes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.buffer = b""

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def receive(self) -> Answer:
        while len(self.buffer) < 16 or len(self.buffer) < int.from_bytes(self.buffer[:4]):
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self.buffer += data
        length, command, status, sequence = struct.unpack(">IIII", self.buffer[:16])
        body, self.buffer = self.buffer[16:length], self.buffer[length:]
        return Answer(command, status, sequence, body)

    def ask(self, octets: bytes) -> Answer:
        self.send(octets)
        return self.receive()

    def alive(self) -> bool:
        """Whether the link still answers, and nothing else came before."""
        return self.ask(frame(0x15, sequence=4242))[:3] == (0x80000015, 0, 4242)

    def closed(self) -> bool:
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
def link(start: Any) -> Iterator[Callable[[str], Wire]]:
    """Links to one gateway, each in a state."""
    networks = 'allowed_networks = ["127.0.0.0/8"]'
    gateway = start(**{networks: f"{networks}\nmax_binds = 1000"})
    wires: list[Wire] = []

    def link(state: str = "BOUND_TRX", version: int = 0x34, **fields: bytes) -> Wire:
        wire = Wire(gateway.port)
        wires.append(wire)
        if state != "OPEN":
            name = _BINDS[state]
            answer = wire.ask(request(name, interface_version=o(version), **fields))
            assert answer[:3] == (COMMANDS[name] | RESPONSE, 0, 77)
        return wire

    yield link
    for wire in wires:
        wire.socket.close()


# Every PDU in every state --------------------------------------------------------------------------------------------


@pytest.mark.journey
@pytest.mark.parametrize("state", STATES)
def test_every_pdu_in_every_state(link: Callable[..., Wire], state: str) -> None:
    for name, in_state, own, status in MATRIX_CASES:
        if in_state != state:
            continue
        wire = link(state)
        answer = wire.ask(request(name))
        command = COMMANDS[name] | RESPONSE if own else GENERIC_NACK
        assert answer[:3] == (command, STATUS[status], 77), name
        if name != "unbind" or status != "ESME_ROK":
            assert wire.alive(), name
        else:
            assert wire.closed()


@pytest.mark.journey
@pytest.mark.parametrize("state", STATES)
def test_what_nobody_knows_is_nacked_and_what_nobody_asked_for_is_ignored(
    link: Callable[..., Wire], state: str
) -> None:
    wire = link(state)
    for command in UNKNOWN:
        assert wire.ask(frame(command, b"whatever")) == (GENERIC_NACK, STATUS["ESME_RINVCMDID"], 77, b"")
    for command in NEVER_ANSWERED:
        wire.send(frame(command))
        wire.send(frame(command, b"\xff" * 20, status=0x12345678))
    assert wire.alive()


@pytest.mark.journey
@pytest.mark.parametrize("name", [name for name, own, *_ in MATRIX_ROWS if own == "own"])
def test_between_unbind_and_its_answer_nothing_more_is_asked_for(link: Callable[..., Wire], name: str) -> None:
    """SMPP 3.4 §2.2, 5.0 §2.3.6: whoever has unbound has nothing more to ask for; its UNBIND is answered."""
    wire = link("BOUND_TRX")
    wire.send(request("submit_sm") + frame(0x06, sequence=78) + frame(COMMANDS[name], request(name)[16:], 79))
    answers = {}
    try:
        while True:
            answer = wire.receive()
            answers[answer.command, answer.sequence] = answer.status
    except EOFError:
        pass
    assert answers[0x80000004, 77] == 0
    assert answers[0x80000006, 78] == 0
    assert answers.get((COMMANDS[name] | RESPONSE, 79), 0) == (0 if name == "enquire_link" else 4)


# Every field ---------------------------------------------------------------------------------------------------------


@pytest.mark.journey
def test_what_is_wrong_is_answered_with_the_status_that_says_it(link: Callable[..., Wire]) -> None:
    bound, found = link("BOUND_TRX"), {}
    for wrong in WRONG:
        wire = link("OPEN") if wrong.request.startswith("bind") else bound
        answer = wire.ask(wrong.octets)
        assert (answer.command, answer.sequence) == (COMMANDS[wrong.request] | RESPONSE, 77), wrong[:2]
        found[wrong[:2]] = next((name for name, value in STATUS.items() if value == answer.status), hex(answer.status))
        assert wire.alive(), wrong[:2]
    assert found == {wrong[:2]: wrong.status for wrong in WRONG}


@pytest.mark.journey
@pytest.mark.parametrize(("name", "what", "octets"), TAKEN, ids=[what for _, what, _ in TAKEN])
def test_what_clients_do_is_taken(link: Callable[..., Wire], name: str, what: str, octets: bytes) -> None:
    wire = link("BOUND_RX" if "receiver" in what else "BOUND_TRX")
    answer = wire.ask(octets)
    assert answer[:3] == (COMMANDS[name] | RESPONSE, 0, int.from_bytes(octets[12:16]))


@pytest.mark.journey
@pytest.mark.parametrize("what", LOST)
@pytest.mark.parametrize("state", ["OPEN", "BOUND_TRX"])
def test_only_a_lost_framing_ends_a_link(link: Callable[..., Wire], what: str, state: str) -> None:
    """SMPP 3.4 §4.3.1: an invalid command_length is answered with GENERIC_NACK; then there is nothing to read."""
    wire = link(state)
    answer = wire.ask(LOST[what])
    assert answer[:2] == (GENERIC_NACK, STATUS["ESME_RINVCMDLEN"])
    assert wire.closed()


@pytest.mark.journey
def test_while_we_stop_every_operation_is_answered_as_a_failure_of_ours(start: Any) -> None:
    """SMPP 3.4 §5.1.3: ESME_RSYSERR, which clients take as temporary; the link stays until it is unbound."""
    gateway = start()
    wire = Wire(gateway.port)
    with wire.socket:
        assert wire.ask(request("bind_transceiver")).status == 0
        gateway.call(gateway.gateway.submission.drain())
        for name in ("submit_sm", "submit_multi", "data_sm", "query_sm", "cancel_sm", "replace_sm"):
            assert wire.ask(request(name))[:3] == (COMMANDS[name] | RESPONSE, 0x08, 77), name
        assert wire.alive()


HOUR = 3_600_000
DAY = 24 * HOUR


def absolute(after: int, quarters: int = 0) -> bytes:
    """SMPP 3.4 §7.1.1.1: so many milliseconds from now, to the tenth of a second, in a zone so many quarters of an hour
    east of UTC."""
    moment = datetime.now(UTC) + timedelta(milliseconds=after, minutes=15 * quarters)
    tenths = moment.microsecond // 100_000
    return c(f"{moment:%y%m%d%H%M%S}{tenths}{abs(quarters):02d}{'-' if quarters < 0 else '+'}")


@pytest.mark.journey
@pytest.mark.parametrize(
    ("schedule", "validity", "due", "lives"),
    [
        (lambda: c(""), lambda: c(""), 0, DAY),
        (lambda: c("000000020000000R"), lambda: c(""), 2 * HOUR, 2 * HOUR + DAY),
        (lambda: absolute(2 * HOUR), lambda: c(""), 2 * HOUR, 2 * HOUR + DAY),
        (lambda: absolute(2 * HOUR, 23), lambda: absolute(3 * HOUR, -14), 2 * HOUR, 3 * HOUR),
        (lambda: c("200101000000000+"), lambda: c("000000003000000R"), 0, HOUR // 2),
        # A relative validity counts from now, whenever it is due.
        (lambda: c("000000020000000R"), lambda: c("000000030000000R"), 2 * HOUR, 3 * HOUR),
        # Longer than max_validity, a week.
        (lambda: c(""), lambda: c("000020000000000R"), 0, 7 * DAY),
    ],
)
def test_times_are_meant_as_the_specification_writes_them(
    start: Any, schedule: Callable[[], bytes], validity: Callable[[], bytes], due: int, lives: int
) -> None:
    """SMPP 3.4 §7.1.1; `default_validity` counts from when it is due."""
    gateway = start()
    wire = Wire(gateway.port)
    with wire.socket:
        assert wire.ask(request("bind_transmitter")).status == 0
        times = {"schedule_delivery_time": schedule(), "validity_period": validity()}
        answer = wire.ask(request("submit_sm", **times))
        message = gateway.call(gateway.gateway.store.find(int(answer.body[:-1])))
    assert (message.progress.stage.name == "WAITING") is (due > 0)
    # All that differs here differs by half an hour at least.
    assert abs(message.expires - message.accepted_at - lives) < 60_000
    if due:
        assert abs(message.progress.due - message.accepted_at - due) < 60_000


# What is kept and not used -------------------------------------------------------------------------------------------

#: The TLVs that nobody reads in a SUBMIT_SM, as SMPP 3.4 §5.3.2 and 5.0 §4.8.4 write them.
UNUSED_TLVS: dict[str, tuple[int, bytes]] = {
    "dest_addr_subunit": (0x0005, b"\1"),
    "dest_network_type": (0x0006, b"\1"),
    "dest_bearer_type": (0x0007, b"\1"),
    "dest_telematics_id": (0x0008, b"\0\1"),
    "source_addr_subunit": (0x000D, b"\1"),
    "source_network_type": (0x000E, b"\1"),
    "source_bearer_type": (0x000F, b"\1"),
    "source_telematics_id": (0x0010, b"\1"),
    "qos_time_to_live": (0x0017, b"\0\0\0\x3c"),
    "payload_type": (0x0019, b"\1"),
    "additional_status_info_text": (0x001D, b"why\0"),
    "receipted_message_id": (0x001E, b"1\0"),
    "ms_msg_wait_facilities": (0x0030, b"\x81"),
    "privacy_indicator": (0x0201, b"\3"),
    "source_subaddress": (0x0202, b"\x80\1"),
    "dest_subaddress": (0x0203, b"\x80\1"),
    "user_message_reference": (0x0204, b"\0\7"),
    "user_response_code": (0x0205, b"\1"),
    "source_port": (0x020A, b"\0\x50"),
    "destination_port": (0x020B, b"\x23\xf0"),
    "language_indicator": (0x020D, b"\1"),
    "sc_interface_version": (0x0210, b"\x34"),
    "callback_num_pres_ind": (0x0302, b"\1"),
    "callback_num_atag": (0x0303, b"\0Call us"),
    "number_of_messages": (0x0304, b"\x63"),
    "callback_num": (0x0381, b"\1\1\x0179991234567"),
    "dpf_result": (0x0420, b"\1"),
    "set_dpf": (0x0421, b"\0"),
    "ms_availability_status": (0x0422, b"\2"),
    "network_error_code": (0x0423, b"\3\0\1"),
    "delivery_failure_reason": (0x0425, b"\1"),
    "more_messages_to_send": (0x0426, b"\1"),
    "message_state": (0x0427, b"\5"),
    "congestion_state": (0x0428, b"\x63"),
    "ussd_service_op": (0x0501, b"\2"),
    "broadcast_channel_indicator": (0x0600, b"\1"),
    "broadcast_content_type": (0x0601, b"\0\0\1"),
    "broadcast_content_type_info": (0x0602, b"info"),
    "broadcast_message_class": (0x0603, b"\1"),
    "broadcast_rep_num": (0x0604, b"\0\3"),
    "broadcast_frequency_interval": (0x0605, b"\x09\0\1"),
    "broadcast_area_identifier": (0x0606, b"\0Town"),
    "broadcast_error_status": (0x0607, b"\0\0\0\1"),
    "broadcast_area_success": (0x0608, b"\x32"),
    "broadcast_end_time": (0x0609, b"261122120000000+\0"),
    "broadcast_service_group": (0x060A, b"all"),
    "billing_identification": (0x060B, b"\0bill"),
    "source_network_id": (0x060D, b"1250\0"),
    "dest_network_id": (0x060E, b"1250\0"),
    "source_node_id": (0x060F, b"123456"),
    "dest_node_id": (0x0610, b"123456"),
    "dest_addr_np_resolution": (0x0611, b"\2"),
    "dest_addr_np_information": (0x0612, b"79991"),
    "dest_addr_np_country": (0x0613, b"\7"),
    "display_time": (0x1201, b"\0"),
    "sms_signal": (0x1203, b"\0\1"),
    "ms_validity": (0x1204, b"\3"),
    "alert_on_message_delivery": (0x130C, b""),
    "its_reply_type": (0x1380, b"\1"),
    "its_session_info": (0x1383, b"\1\2"),
}

#: Values of fields that nobody looks at.
UNUSED_FIELDS: dict[str, dict[str, bytes]] = {
    "service_type": {"service_type": c("WAP")},
    "protocol_id": {"protocol_id": o(0x41)},
    "source_addr_ton and _npi": {"source_addr_ton": o(2), "source_addr_npi": o(8)},
    "dest_addr_ton and _npi": {"dest_addr_ton": o(5), "dest_addr_npi": o(9)},
    "esm_class, datagram": {"esm_class": o(0x01)},
    "esm_class, transaction": {"esm_class": o(0x02)},
    "esm_class, acknowledgement by the subscriber": {"esm_class": o(0x10)},
    "esm_class, reply path": {"esm_class": o(0x80)},
    "registered_delivery, acknowledgements of the subscriber": {"registered_delivery": o(0x0C)},
    "sm_default_msg_id beside a text": {"sm_default_msg_id": o(3)},
}


@pytest.mark.journey
def test_what_is_not_used_is_kept_as_it_came_and_changes_nothing(start: Any) -> None:
    """SMPP 3.4 §3.3: a parameter that is not supported is ignored; so one that nobody reads has no wrong length."""
    gateway = start()
    cases: list[tuple[str, bytes, dict[str, bytes]]] = [(name, b"", fields) for name, fields in UNUSED_FIELDS.items()]
    for name, (tag, value) in UNUSED_TLVS.items():
        cases += [(name, tlv(tag, value), {}), (f"{name} of a wrong length", tlv(tag, value + bytes(300)), {})]

    wire = Wire(gateway.port)

    def accepted(text: str, tlvs: bytes, fields: dict[str, bytes]) -> Any:
        octets = request("submit_sm", tlvs, **{**fields, "short_message": o(len(text)) + text.encode()})
        answer = wire.ask(octets)
        assert answer[:3] == (0x80000004, 0, 77), text
        message = gateway.call(gateway.gateway.store.find(int(answer.body[:-1])))
        assert message.pdu == octets, text
        assert message.command.text == text
        return message

    def meaning(message: Any) -> tuple[Any, ...]:
        lives = message.expires - message.accepted_at
        return message.kind, message.source, message.destination, message.priority, message.notify, lives

    with wire.socket:
        assert wire.ask(request("bind_transmitter")).status == 0
        plain = meaning(accepted("plain", b"", {}))
        for name, tlvs, fields in cases:
            # An underscore is another character in GSM 03.38.
            assert meaning(accepted(name.replace("_", " "), tlvs, fields)) == plain, name


# What we say ---------------------------------------------------------------------------------------------------------


@pytest.mark.journey
@pytest.mark.parametrize("version", [0x33, 0x34, 0x50])
def test_a_receipt_octet_by_octet(link: Callable[..., Wire], version: int) -> None:
    """SMPP 3.4 §4.6.1, §5.2.12, §5.3.2.12, 31 and 35, Appendix B; 3.3 has no TLVs. The receiver's address_range
    (§5.2.7) would keep it away if it were used."""
    sends = link("BOUND_TX", version)
    reads = link("BOUND_RX", version, addr_ton=o(1), addr_npi=o(1), address_range=c("^8"))
    id = sends.ask(request("submit_sm", registered_delivery=o(1))).body
    receipt = reads.receive()
    assert (receipt.command, receipt.status) == (0x05, 0)
    # service_type, the subscriber, the client, esm_class 4, protocol, priority, two times, four flags.
    head = c("") + o(1) + o(1) + c("79991234567") + o(5) + o(0) + c("TEST") + o(4) + bytes(2) + c("") * 2 + bytes(4)
    assert receipt.body.startswith(head)
    length = receipt.body[len(head)]
    text, tlvs = receipt.body[len(head) + 1 :][:length], receipt.body[len(head) + 1 + length :]
    line = rb"id:%b sub:001 dlvrd:001 submit date:(\d{10}) done date:(\d{10}) stat:DELIVRD err:000 text:Hello" % id[:-1]
    assert re.fullmatch(line, text)
    if version < 0x34:
        assert tlvs == b""
    else:
        assert tlvs.startswith(tlv(0x1E, id) + tlv(0x427, o(2)) + tlv(0x423, b"\3\0\0"))
    reads.send(frame(0x80000005, c(""), receipt.sequence))
    assert reads.alive()


# Versions ------------------------------------------------------------------------------------------------------------


@pytest.mark.journey
@pytest.mark.parametrize(
    ("version", "said"), [(0x33, b""), (0x34, tlv(0x210, b"\x34")), (0x50, tlv(0x210, b"\x50")), (0x00, b"")]
)
@pytest.mark.parametrize("name", ["bind_receiver", "bind_transmitter", "bind_transceiver"])
def test_a_bind_is_answered_in_the_clients_version(
    link: Callable[..., Wire], name: str, version: int, said: bytes
) -> None:
    """SMPP 3.4 §4.1.2, §5.2.4: sc_interface_version to those who know TLVs; 5.0 §4.1.1.5: the version both speak."""
    answer = link("OPEN").ask(request(name, interface_version=o(version)))
    assert answer == (COMMANDS[name] | RESPONSE, 0, 77, c("smppbridge") + said)


@pytest.mark.journey
@pytest.mark.parametrize("version", [0x33, 0x34])
def test_a_refusal_says_nothing_that_the_version_does_not_have(link: Callable[..., Wire], version: int) -> None:
    wire = link("BOUND_TRX", version)
    for name in ("submit_sm", "submit_multi", "data_sm", "query_sm", "cancel_sm", "replace_sm"):
        for wrong in WRONG:
            if wrong.request == name:
                answer = wire.ask(wrong.octets)
                assert answer.status < 0x100, wrong[:2]
                # No TLV behind the body: an empty message_id at most, or that of a query with its empty fields.
                assert len(answer.body) <= {"query_sm": 69, "submit_multi": 512}.get(name, 1), wrong[:2]


# The page ------------------------------------------------------------------------------------------------------------


def table() -> str:
    """What docs/smpp-support.md shows, in Markdown."""
    rule = "|---" * (len(STATES) + 2) + "|"
    lines = ["| PDU | " + " | ".join(STATES) + " | answered by |", rule]
    for name, own, *statuses in MATRIX_ROWS:
        cells = ["taken" if status == "ESME_ROK" else f"`{status}`" for status in statuses]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {name + '_resp' if own == 'own' else 'generic_nack'} |")
    lines += ["", "| PDU | what is wrong with it | answered with | SMPP 3.4 |", "|---|---|---|---|"]
    rows: dict[tuple[str, str, str], list[str]] = {}
    for wrong in WRONG:
        rows.setdefault((wrong.what, wrong.status, wrong.section), []).append(wrong.request)
    for (what, status, section), names in rows.items():
        lines.append(f"| {', '.join(names)} | {what} | `{status}` | {section} |")
    lines += ["", "| PDU | taken, though it is unusual |", "|---|---|"]
    lines += [f"| {name} | {what} |" for name, what, _ in TAKEN]
    return "\n".join(lines) + "\n"


def test_the_documentation_shows_the_tables() -> None:
    assert table() in PAGE.read_text(encoding="utf-8"), f"print it with `python {Path(__file__).name}`"


if __name__ == "__main__":
    print(table(), end="")
