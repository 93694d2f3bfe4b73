"""Every field of every request, too long, unterminated or cut off, and the status that SMPP 3.4 has for it.

The table is written down from the specification and not made from the declaration, which it tests: field by field in
the order of the wire, with the size of a C-octet string in octets, its NUL included, and the status that §5.1.3 has for
what is wrong with it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import pytest

from pdu import BodyError, CommandId, CommandStatus, SubmitSm, Tag, Tlv, decode, reference
from pdu.tlv import WIRE, Kind

Status = CommandStatus


class Text(NamedTuple):
    """A C-octet string: at most so many octets with its NUL, and the answer to a longer one."""

    name: str
    size: int
    status: Status


class Octet(NamedTuple):
    """An integer of one octet, which may have any value."""

    name: str


class Count(NamedTuple):
    """An octet that says what follows."""

    name: str


class Message(NamedTuple):
    """sm_length and as many octets."""

    name: str = "short_message"


class Destinations(NamedTuple):
    """number_of_dests and a number and a list: the fields of both follow each their dest_flag."""

    name: str = "dest_address"


BIND = [
    Text("system_id", 16, Status.ESME_RINVSYSID),
    Text("password", 9, Status.ESME_RINVPASWD),
    Text("system_type", 13, Status.ESME_RINVSYSTYP),
    Octet("interface_version"),
    Octet("addr_ton"),
    Octet("addr_npi"),
    Text("address_range", 41, Status.ESME_RBINDFAIL),
]
SOURCE = [Octet("source_addr_ton"), Octet("source_addr_npi"), Text("source_addr", 21, Status.ESME_RINVSRCADR)]
DESTINATION = [Octet("dest_addr_ton"), Octet("dest_addr_npi"), Text("destination_addr", 21, Status.ESME_RINVDSTADR)]
SERVICE_TYPE = Text("service_type", 6, Status.ESME_RINVSERTYP)
MESSAGE_ID = Text("message_id", 65, Status.ESME_RINVMSGID)
TIMES = [Text("schedule_delivery_time", 17, Status.ESME_RINVSCHED), Text("validity_period", 17, Status.ESME_RINVEXPIRY)]
SENDING = [
    Octet("esm_class"),
    Octet("protocol_id"),
    Octet("priority_flag"),
    *TIMES,
    Octet("registered_delivery"),
    Octet("replace_if_present_flag"),
    Octet("data_coding"),
    Octet("sm_default_msg_id"),
    Message(),
]
LAYOUTS: dict[CommandId, list[Text | Octet | Message | Destinations]] = {
    CommandId.BIND_TRANSMITTER: [*BIND],
    CommandId.BIND_RECEIVER: [*BIND],
    CommandId.BIND_TRANSCEIVER: [*BIND],
    CommandId.SUBMIT_SM: [SERVICE_TYPE, *SOURCE, *DESTINATION, *SENDING],
    CommandId.SUBMIT_MULTI: [SERVICE_TYPE, *SOURCE, Destinations(), *SENDING],
    CommandId.DATA_SM: [
        SERVICE_TYPE,
        *SOURCE[:2],
        Text("source_addr", 65, Status.ESME_RINVSRCADR),
        *DESTINATION[:2],
        Text("destination_addr", 65, Status.ESME_RINVDSTADR),
        Octet("esm_class"),
        Octet("registered_delivery"),
        Octet("data_coding"),
    ],
    CommandId.QUERY_SM: [MESSAGE_ID, *SOURCE],
    CommandId.CANCEL_SM: [SERVICE_TYPE, MESSAGE_ID, *SOURCE, *DESTINATION],
    CommandId.REPLACE_SM: [
        MESSAGE_ID,
        *SOURCE,
        *TIMES,
        Octet("registered_delivery"),
        Octet("sm_default_msg_id"),
        Message(),
    ],
}


def pieces(command: CommandId) -> list[tuple[str, Text | Octet | Count | Message, bytes]]:
    """Name, kind and good octets of each field, those within a destination too; flags and counts are octets."""
    found: list[tuple[str, Text | Octet | Count | Message, bytes]] = []
    for field in LAYOUTS[command]:
        match field:
            case Text():
                found.append((field.name, field, b"7\0"))
            case Octet():
                found.append((field.name, field, b"\1"))
            case Message():
                found += [("sm_length", Count("sm_length"), b"\5"), (field.name, field, b"hello")]
            case Destinations():
                found += [("number_of_dests", Count("number_of_dests"), b"\2")]
                found += [("dest_flag 1", Count("dest_flag"), b"\1")]
                found += [(one.name, one, b"7\0" if isinstance(one, Text) else b"\1") for one in DESTINATION]
                found += [("dest_flag 2", Count("dest_flag"), b"\2")]
                found += [("dl_name", Text("dl_name", 21, Status.ESME_RINVDLNAME), b"list\0")]
    return found


def frame(command: CommandId, body: bytes) -> bytes:
    return struct.pack(">4L", 16 + len(body), command, 0, 77) + body


def answered(command: CommandId, body: bytes) -> Status | None:
    """How both readers would have it answered; None: it can be read."""
    statuses: list[Status | None] = []
    for read in (decode, reference.decode):
        try:
            read(frame(command, body))
        except BodyError as broken:
            statuses.append(broken.command_status)
        else:
            statuses.append(None)
    assert statuses[0] == statuses[1]
    return statuses[0]


def cases(kind: type) -> list[object]:
    """Every field of this kind in every request, with what stands before it and behind it."""
    found = []
    for command in LAYOUTS:
        fields = pieces(command)
        for place, (name, field, _) in enumerate(fields):
            if isinstance(field, kind):
                before = b"".join(piece for _, _, piece in fields[:place])
                behind = b"".join(piece for _, _, piece in fields[place + 1 :])
                case = command, field, before, behind
                found.append(pytest.param(*case, id=f"{command.name.lower()} {name}"))
    return found


@pytest.mark.parametrize("command", LAYOUTS)
def test_the_good_ones_are_read_whole(command: CommandId) -> None:
    body = b"".join(octets for _, _, octets in pieces(command))
    assert answered(command, body) is None
    assert not decode(frame(command, body)).tlvs


@pytest.mark.parametrize(("command", "field", "before", "behind"), cases(Text))
def test_a_string_that_is_too_long_is_answered_with_the_status_of_its_field(
    command: CommandId, field: Text, before: bytes, behind: bytes
) -> None:
    longest = b"7" * (field.size - 1) + b"\0"
    assert answered(command, before + longest + behind) is None
    assert answered(command, before + b"7" + longest + behind) is field.status
    # Whether its NUL is late or missing altogether makes no difference.
    assert answered(command, before + b"7" * field.size) is field.status
    assert answered(command, before + b"7" * 1000) is field.status


@pytest.mark.parametrize(("command", "field", "before", "behind"), cases(Text))
def test_a_string_that_the_end_of_the_body_cuts_off_is_a_wrong_length(
    command: CommandId, field: Text, before: bytes, behind: bytes
) -> None:
    for length in range(1, field.size):
        assert answered(command, before + b"7" * length) is Status.ESME_RINVCMDLEN


@pytest.mark.parametrize(("command", "field", "before", "behind"), [*cases(Text), *cases(Octet), *cases(Count)])
def test_a_body_that_ends_before_a_field_is_a_wrong_length(
    command: CommandId, field: Text | Octet | Count, before: bytes, behind: bytes
) -> None:
    assert answered(command, before) is Status.ESME_RINVCMDLEN


@pytest.mark.parametrize(("command", "field", "before", "behind"), cases(Octet))
def test_an_integer_of_any_value_can_be_read(command: CommandId, field: Octet, before: bytes, behind: bytes) -> None:
    for value in (0, 0x7F, 0x80, 0xFF):
        assert answered(command, before + bytes([value]) + behind) is None


@pytest.mark.parametrize(("command", "field", "before", "behind"), cases(Message))
def test_a_text_shorter_than_its_length_is_a_wrong_message_length(
    command: CommandId, field: Message, before: bytes, behind: bytes
) -> None:
    assert answered(command, before[:-1] + b"\0") is None
    for said in (1, 5, 254, 255):
        for there in (0, said - 1):
            assert answered(command, before[:-1] + bytes([said]) + b"x" * there) is Status.ESME_RINVMSGLEN
        assert answered(command, before[:-1] + bytes([said]) + b"x" * said) is None


@pytest.mark.parametrize("flag", [0, 3, 0xFF])
def test_a_destination_of_no_kind(flag: int) -> None:
    head = b"\0" + bytes(2) + b"\0"
    assert answered(CommandId.SUBMIT_MULTI, head + b"\1" + bytes([flag]) + bytes(30)) is Status.ESME_RINVDESTFLAG


@pytest.mark.parametrize("command", LAYOUTS)
@pytest.mark.parametrize(
    "broken",
    [b"\x04", b"\x04\x24", b"\x04\x24\0", b"\x04\x24\0\1", b"\x04\x24\0\5four", b"\x15\x01\xff\xffx", b"\0"],
    ids=["half a tag", "a tag", "half a length", "no value", "a value cut off", "a length of 65535", "a NUL too many"],
)
@pytest.mark.parametrize("good", [b"", b"\x02\x04\0\2\0\7"], ids=["alone", "behind a good one"])
def test_a_stream_of_tlvs_that_does_not_end_with_the_body(command: CommandId, broken: bytes, good: bytes) -> None:
    body = b"".join(octets for _, _, octets in pieces(command)) + good
    assert answered(command, body) is None
    assert answered(command, body + broken) is Status.ESME_RINVOPTPARSTREAM


@pytest.mark.parametrize("tag", WIRE, ids=lambda tag: getattr(tag, "name", str(tag)))
def test_a_tlv_of_the_wrong_length_is_an_error_of_who_asks_for_it(tag: int) -> None:
    """It can be read, because nobody need ask; who does gets ESME_RINVPARLEN."""
    wire = WIRE[tag]
    wrong = [bytes(wire.most + 1)] if wire.most < 0xFFFF else []
    if wire.least:
        wrong.append(bytes(wire.least - 1))
    if wire.kind is Kind.C_OCTETS:
        # Not every client ends one with a NUL, so that only its octets count.
        wrong = [b"7" * wire.most]
    for value in wrong:
        pdu = decode(frame(CommandId.SUBMIT_SM, bytes(17) + struct.pack(">HH", tag, len(value)) + value))
        assert isinstance(pdu, SubmitSm)
        with pytest.raises(BodyError) as raised:
            pdu.option(tag)
        assert raised.value.command_status is Status.ESME_RINVPARLEN
        assert raised.value.sequence_number == 77
    assert wrong or tag in (Tag.MESSAGE_PAYLOAD,)


def test_an_unknown_tlv_is_kept() -> None:
    pdu = decode(frame(CommandId.SUBMIT_SM, bytes(17) + b"\x3f\xff\0\2ab" + b"\x3f\xff\0\0"))
    assert pdu.tlvs == [Tlv(0x3FFF, b"ab"), Tlv(0x3FFF, b"")]
