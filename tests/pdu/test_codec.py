"""Octets to PDU and back: what the wire looks like, what is refused and how, and that both readers agree."""

from __future__ import annotations

import inspect
import struct
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pdu import (
    PDUS,
    AlertNotification,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
    BodyError,
    CancelSm,
    CancelSmResp,
    CommandId,
    CommandStatus,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    DistributionList,
    EncodeError,
    EnquireLink,
    EnquireLinkResp,
    FramingError,
    GenericNack,
    Outbind,
    Pdu,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    ReplaceSmResp,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    SubmitSmResp,
    Tag,
    Tlv,
    Unbind,
    UnbindResp,
    UnsuccessSme,
    VendorTag,
    codec,
    decode,
    encode,
    recast,
    reference,
    tlv,
)
from pdu.wire import COctetString, Elements, OctetString, layout

Status = CommandStatus


def frame(command_id: int, body: bytes = b"", command_status: int = 0, sequence_number: int = 1) -> bytes:
    return struct.pack(">4L", 16 + len(body), command_id, command_status, sequence_number) + body


def octets(text: str) -> bytes:
    """Octets in hexadecimal, and text in double quotes."""
    parts = text.split('"')
    return b"".join(part.encode() if quoted % 2 else bytes.fromhex(part) for quoted, part in enumerate(parts))


# What the wire looks like. --------------------------------------------------------------------------------------------

WIRE: list[tuple[str, Pdu]] = [
    # What the client library of smsc.ru sends: the text in message_payload, sm_length 0.
    (
        '00000022 00000002 00000000 00000001 "login"00 "secret"00 00 34 05 01 00',
        BindTransmitter(sequence_number=1, system_id="login", password="secret", addr_ton=5, addr_npi=1),
    ),
    (
        '00000068 00000004 00000000 00000002 00 05 01 "SENDER"00 01 01 "79991234567"00 00 00 03 00'
        '"000000030000000R"00 00 00 08 00 00'
        "0424 0022 005f005f00560049004200450052005f005f003a0020041f04400438043204350442",
        SubmitSm(
            sequence_number=2,
            source_addr_ton=5,
            source_addr_npi=1,
            source_addr="SENDER",
            dest_addr_ton=1,
            dest_addr_npi=1,
            destination_addr="79991234567",
            priority_flag=3,
            validity_period="000000030000000R",
            data_coding=8,
            tlvs=[tlv(Tag.MESSAGE_PAYLOAD, "__VIBER__: Привет".encode("utf-16-be"))],
        ),
    ),
    ('00000017 80000004 00000000 00000002 "855469"00', SubmitSmResp(sequence_number=2, message_id="855469")),
    # Session management.
    (
        '00000025 80000009 00000000 00000001 "smppbridge"00 0210 0001 34 0428 0001 0a',
        BindTransceiverResp(
            sequence_number=1,
            system_id="smppbridge",
            tlvs=[tlv(Tag.SC_INTERFACE_VERSION, 0x34), tlv(Tag.CONGESTION_STATE, 10)],
        ),
    ),
    (
        '0000002c 00000001 00000000 00000001 "rx"00 "pw"00 "ISO"00 33 00 00 "^4477[0-9]{5}$"00',
        BindReceiver(
            sequence_number=1,
            system_id="rx",
            password="pw",
            system_type="ISO",
            interface_version=0x33,
            address_range="^4477[0-9]{5}$",
        ),
    ),
    (
        "00000017 00000009 00000000 ffffffff 00 00 00 50 00 00 00",
        BindTransceiver(sequence_number=0xFFFFFFFF, interface_version=0x50),
    ),
    ("00000011 80000001 0000000e 00000001 00", BindReceiverResp(command_status=14, sequence_number=1)),
    ("00000011 80000002 0000000d 00000001 00", BindTransmitterResp(command_status=13, sequence_number=1)),
    (
        '00000019 0000000b 00000000 00000001 "smsc"00 "pw2"00',
        Outbind(sequence_number=1, system_id="smsc", password="pw2"),
    ),
    ("00000010 00000006 00000000 0000000a", Unbind(sequence_number=10)),
    ("00000010 80000006 00000000 0000000a", UnbindResp(sequence_number=10)),
    ("00000010 80000000 00000003 00000000", GenericNack(command_status=3)),
    ("00000010 00000015 00000000 0000000b", EnquireLink(sequence_number=11)),
    ("00000010 80000015 00000000 0000000b", EnquireLinkResp(sequence_number=11)),
    (
        '00000023 00000102 00000000 00000001 01 01 "4477"00 00 00 "esme"00 0422 0001 00',
        AlertNotification(
            sequence_number=1,
            source_addr_ton=1,
            source_addr_npi=1,
            source_addr="4477",
            esme_addr="esme",
            tlvs=[tlv(Tag.MS_AVAILABILITY_STATUS, 0)],
        ),
    ),
    # Messages.
    (
        '0000003b 00000004 00000000 00000003 "CMT"00 00 00 00 01 01 "421903"00 40 7f 02 "261121120000004+"00 00'
        " 11 01 f5 09 01 05",
        SubmitSm(
            sequence_number=3,
            service_type="CMT",
            dest_addr_ton=1,
            dest_addr_npi=1,
            destination_addr="421903",
            esm_class=0x40,
            protocol_id=0x7F,
            priority_flag=2,
            schedule_delivery_time="261121120000004+",
            registered_delivery=0x11,
            replace_if_present_flag=1,
            data_coding=0xF5,
            sm_default_msg_id=9,
            short_message=b"\x05",
        ),
    ),
    (
        "00000011 80000004 00000058 00000003 00",
        SubmitSmResp(command_status=Status.ESME_RTHROTTLED, sequence_number=3),
    ),
    (
        '00000025 80000004 00000045 00000003 00 001d 0009 "repeated"00 1501 0003 ffffff',
        SubmitSmResp(
            command_status=Status.ESME_RSUBMITFAIL,
            sequence_number=3,
            tlvs=[tlv(Tag.ADDITIONAL_STATUS_INFO_TEXT, "repeated"), Tlv(0x1501, b"\xff\xff\xff")],
        ),
    ),
    # A receipt as smsc.ru sends it, vendor's TLVs and all; one of them twice.
    (
        '0000006d 00000005 00000000 00000004 00 01 01 "79991234567"00 05 00 "SENDER"00 04 00 00 00 00 00 00 00 00'
        '09 "id:855469" 001e 0007 "855469"00 0427 0001 02 0423 0003 030000 2000 0005 "1.40"00 2001 0002 0000'
        " 2002 0002 0001 2002 0002 0002",
        DeliverSm(
            sequence_number=4,
            source_addr_ton=1,
            source_addr_npi=1,
            source_addr="79991234567",
            dest_addr_ton=5,
            destination_addr="SENDER",
            esm_class=4,
            short_message=b"id:855469",
            tlvs=[
                tlv(Tag.RECEIPTED_MESSAGE_ID, "855469"),
                tlv(Tag.MESSAGE_STATE, 2),
                tlv(Tag.NETWORK_ERROR_CODE, b"\x03\0\0"),
                tlv(VendorTag.SMSC_COST, "1.40"),
                tlv(VendorTag.SMSC_FLAGS, 0),
                tlv(VendorTag.SMSC_PARTS, 1),
                tlv(VendorTag.SMSC_PARTS, 2),
            ],
        ),
    ),
    ("00000011 80000005 00000000 00000004 00", DeliverSmResp(sequence_number=4)),
    (
        '00000042 00000021 00000000 00000005 00 00 00 "src"00 03 01 01 01 "4477"00 02 "friends"00 01 00 00 00'
        ' 00 00 00 00 00 01 00 00 00 05 "hello" 0204 0002 0001',
        SubmitMulti(
            sequence_number=5,
            source_addr="src",
            dest_addresses=[
                SmeAddress(dest_addr_ton=1, dest_addr_npi=1, destination_addr="4477"),
                DistributionList(dl_name="friends"),
                SmeAddress(),
            ],
            registered_delivery=1,
            short_message=b"hello",
            tlvs=[tlv(Tag.USER_MESSAGE_REFERENCE, 1)],
        ),
    ),
    (
        '00000024 80000021 00000000 00000005 "77"00 02 01 01 "44"00 0000000b 00 00 00 00000058',
        SubmitMultiResp(
            sequence_number=5,
            message_id="77",
            unsuccess_smes=[
                UnsuccessSme(dest_addr_ton=1, dest_addr_npi=1, destination_addr="44", error_status_code=11),
                UnsuccessSme(error_status_code=0x58),
            ],
        ),
    ),
    (
        '00000029 00000103 00000000 00000006 00 00 00 "src"00 01 01 "4477"00 00 01 08 0424 0004 04100411',
        DataSm(
            sequence_number=6,
            source_addr="src",
            dest_addr_ton=1,
            dest_addr_npi=1,
            destination_addr="4477",
            registered_delivery=1,
            data_coding=8,
            tlvs=[tlv(Tag.MESSAGE_PAYLOAD, b"\x04\x10\x04\x11")],
        ),
    ),
    (
        '00000017 80000103 000000fe 00000006 "1"00 0425 0001 01',
        DataSmResp(
            command_status=Status.ESME_RDELIVERYFAILURE,
            sequence_number=6,
            message_id="1",
            tlvs=[tlv(Tag.DELIVERY_FAILURE_REASON, 1)],
        ),
    ),
    # Afterwards.
    (
        '0000001b 00000003 00000000 00000007 "855469"00 05 01 "S"00',
        QuerySm(sequence_number=7, message_id="855469", source_addr_ton=5, source_addr_npi=1, source_addr="S"),
    ),
    (
        '0000002a 80000003 00000000 00000007 "855469"00 "261121120100000+"00 02 00',
        QuerySmResp(sequence_number=7, message_id="855469", final_date="261121120100000+", message_state=2),
    ),
    (
        '0000001a 80000003 00000000 00000007 "855469"00 00 07 fe',
        QuerySmResp(sequence_number=7, message_id="855469", message_state=7, error_code=254),
    ),
    (
        '00000021 00000008 00000000 00000008 00 "855469"00 05 01 "S"00 01 01 "77"00',
        CancelSm(
            sequence_number=8,
            message_id="855469",
            source_addr_ton=5,
            source_addr_npi=1,
            source_addr="S",
            dest_addr_ton=1,
            dest_addr_npi=1,
            destination_addr="77",
        ),
    ),
    ("00000010 80000008 00000011 00000008", CancelSmResp(command_status=Status.ESME_RCANCELFAIL, sequence_number=8)),
    (
        '00000033 00000007 00000000 00000009 "855469"00 05 01 "S"00 00 "000001000000000R"00 01 00 03 "new"',
        ReplaceSm(
            sequence_number=9,
            message_id="855469",
            source_addr_ton=5,
            source_addr_npi=1,
            source_addr="S",
            validity_period="000001000000000R",
            registered_delivery=1,
            short_message=b"new",
        ),
    ),
    ("00000010 80000007 00000000 00000009", ReplaceSmResp(sequence_number=9)),
]


def test_the_table_has_every_pdu() -> None:
    assert {type(pdu) for _, pdu in WIRE} == set(PDUS.values())


@pytest.mark.parametrize(("text", "pdu"), WIRE, ids=lambda case: type(case).__name__ if isinstance(case, Pdu) else "")
def test_both_ways(text: str, pdu: Pdu) -> None:
    wire = octets(text)
    assert encode(pdu) == wire
    assert decode(wire) == pdu


# What is well-formed enough: octets nobody of ours writes, and what they say. -----------------------------------------

QUIRKS: list[tuple[str, bytes, Pdu]] = [
    (
        "an error without a body",
        frame(CommandId.SUBMIT_SM_RESP, command_status=0x58),
        SubmitSmResp(command_status=0x58, sequence_number=1),
    ),
    (
        "a refused bind without a body",
        frame(CommandId.BIND_TRANSCEIVER_RESP, command_status=0x0D),
        BindTransceiverResp(command_status=0x0D, sequence_number=1),
    ),
    (
        "an error without its list",
        frame(CommandId.SUBMIT_MULTI_RESP, command_status=0x33),
        SubmitMultiResp(command_status=0x33, sequence_number=1),
    ),
    ("a message_id left out", frame(CommandId.DELIVER_SM_RESP), DeliverSmResp(sequence_number=1)),
    (
        "a message_id where none is",
        frame(CommandId.DELIVER_SM_RESP, b"7\0"),
        DeliverSmResp(sequence_number=1, message_id="7"),
    ),
    (
        "TLVs where 3.4 has none",
        frame(CommandId.UNBIND_RESP, b"\x04\x28\0\x01\x05"),
        UnbindResp(sequence_number=1, tlvs=[tlv(Tag.CONGESTION_STATE, 5)]),
    ),
    (
        "a status in a request",
        frame(CommandId.ENQUIRE_LINK, command_status=7),
        EnquireLink(command_status=7, sequence_number=1),
    ),
    (
        "255 octets of text, one more than 3.4 has",
        frame(CommandId.SUBMIT_SM, bytes(16) + b"\xff" + b"x" * 255),
        SubmitSm(sequence_number=1, short_message=b"x" * 255),
    ),
    (
        "times of lengths no time has",
        frame(CommandId.SUBMIT_SM, bytes(10) + b"26\0" + b"1\0" + bytes(5)),
        SubmitSm(sequence_number=1, schedule_delivery_time="26", validity_period="1"),
    ),
    (
        "ISO-8859-1 in an id",
        frame(CommandId.DELIVER_SM_RESP, b"\xe9\0"),
        DeliverSmResp(sequence_number=1, message_id="é"),
    ),
]


@pytest.mark.parametrize(("what", "wire", "pdu"), QUIRKS, ids=[what for what, _, _ in QUIRKS])
def test_quirks_are_read(what: str, wire: bytes, pdu: Pdu) -> None:
    assert decode(wire) == pdu
    assert reference.decode(wire) == pdu


# What is refused, and how. --------------------------------------------------------------------------------------------

SUBMIT = bytes(17)
BROKEN: list[tuple[str, int, bytes, Status]] = [
    ("no body at all", CommandId.SUBMIT_SM, b"", Status.ESME_RINVCMDLEN),
    ("one octet too few", CommandId.SUBMIT_SM, bytes(16), Status.ESME_RINVCMDLEN),
    ("a string without its end", CommandId.BIND_RECEIVER, b"login", Status.ESME_RINVCMDLEN),
    ("success without a body", CommandId.SUBMIT_SM_RESP, b"", Status.ESME_RINVCMDLEN),
    ("a bind accepted without a body", CommandId.BIND_RECEIVER_RESP, b"", Status.ESME_RINVCMDLEN),
    ("less text than sm_length says", CommandId.SUBMIT_SM, bytes(16) + b"\x05text", Status.ESME_RINVMSGLEN),
    ("more text than sm_length says", CommandId.SUBMIT_SM, bytes(16) + b"\x03texts", Status.ESME_RINVOPTPARSTREAM),
    ("half a tag", CommandId.SUBMIT_SM, SUBMIT + b"\x04", Status.ESME_RINVOPTPARSTREAM),
    ("a TLV without its value", CommandId.SUBMIT_SM, SUBMIT + b"\x04\x24\0\x02x", Status.ESME_RINVOPTPARSTREAM),
    ("half a TLV behind a good one", CommandId.UNBIND, b"\x04\x28\0\x01\x05\0", Status.ESME_RINVOPTPARSTREAM),
    ("something behind an enquire_link", CommandId.ENQUIRE_LINK, b"\0", Status.ESME_RINVOPTPARSTREAM),
    ("a destination of no kind", CommandId.SUBMIT_MULTI, bytes(4) + b"\x01\x03" + SUBMIT, Status.ESME_RINVDESTFLAG),
    ("fewer destinations than said", CommandId.SUBMIT_MULTI, bytes(4) + b"\x02\x02a\0", Status.ESME_RINVCMDLEN),
    (
        "a distribution list with too long a name",
        CommandId.SUBMIT_MULTI,
        bytes(4) + b"\x01\x02" + b"l" * 21 + SUBMIT,
        Status.ESME_RINVDLNAME,
    ),
    ("an unknown command", 0x0000000A, b"", Status.ESME_RINVCMDID),
    ("an unknown response", 0x8000000A, b"", Status.ESME_RINVCMDID),
    ("a command known by name only", CommandId.BROADCAST_SM, b"", Status.ESME_RINVCMDID),
]


@pytest.mark.parametrize(("what", "command_id", "body", "status"), BROKEN, ids=[case[0] for case in BROKEN])
def test_what_is_broken_is_answered(what: str, command_id: int, body: bytes, status: Status) -> None:
    for read in (decode, reference.decode):
        with pytest.raises(BodyError) as raised:
            read(frame(command_id, body, sequence_number=77))
        error = raised.value
        assert (error.command_status, error.command_id, error.sequence_number) == (status, command_id, 77)


def test_an_unknown_command_is_called_by_its_name_if_it_has_one() -> None:
    with pytest.raises(BodyError, match=r"^query_broadcast_sm cannot be read here"):
        decode(frame(CommandId.QUERY_BROADCAST_SM))
    with pytest.raises(BodyError, match=r"^command 0x0000000A cannot be read here"):
        decode(frame(10))


# C-octet strings at their limit and one over it: size in octets with NUL, and the answer.
SIZES: list[tuple[type[Pdu], str, int, Status]] = [
    (BindTransmitter, "system_id", 16, Status.ESME_RINVSYSID),
    (BindTransmitter, "password", 9, Status.ESME_RINVPASWD),
    (BindTransceiver, "system_type", 13, Status.ESME_RINVSYSTYP),
    (BindReceiver, "address_range", 41, Status.ESME_RBINDFAIL),
    (BindReceiverResp, "system_id", 16, Status.ESME_RINVSYSID),
    (Outbind, "system_id", 16, Status.ESME_RINVSYSID),
    (Outbind, "password", 9, Status.ESME_RINVPASWD),
    (AlertNotification, "source_addr", 65, Status.ESME_RINVSRCADR),
    (AlertNotification, "esme_addr", 65, Status.ESME_RINVDSTADR),
    (SubmitSm, "service_type", 6, Status.ESME_RINVSERTYP),
    (SubmitSm, "source_addr", 21, Status.ESME_RINVSRCADR),
    (SubmitSm, "destination_addr", 21, Status.ESME_RINVDSTADR),
    (SubmitSm, "schedule_delivery_time", 17, Status.ESME_RINVSCHED),
    (SubmitSm, "validity_period", 17, Status.ESME_RINVEXPIRY),
    (SubmitSmResp, "message_id", 65, Status.ESME_RINVMSGID),
    (DeliverSm, "source_addr", 21, Status.ESME_RINVSRCADR),
    (DeliverSmResp, "message_id", 65, Status.ESME_RINVMSGID),
    (SubmitMulti, "source_addr", 21, Status.ESME_RINVSRCADR),
    (SubmitMulti, "validity_period", 17, Status.ESME_RINVEXPIRY),
    (SubmitMultiResp, "message_id", 65, Status.ESME_RINVMSGID),
    (DataSm, "source_addr", 65, Status.ESME_RINVSRCADR),
    (DataSm, "destination_addr", 65, Status.ESME_RINVDSTADR),
    (DataSmResp, "message_id", 65, Status.ESME_RINVMSGID),
    (QuerySm, "message_id", 65, Status.ESME_RINVMSGID),
    (QuerySm, "source_addr", 21, Status.ESME_RINVSRCADR),
    (QuerySmResp, "final_date", 17, Status.ESME_RQUERYFAIL),
    (CancelSm, "service_type", 6, Status.ESME_RINVSERTYP),
    (CancelSm, "destination_addr", 21, Status.ESME_RINVDSTADR),
    (ReplaceSm, "message_id", 65, Status.ESME_RINVMSGID),
    (ReplaceSm, "schedule_delivery_time", 17, Status.ESME_RINVSCHED),
]


@pytest.mark.parametrize(("kind", "field", "size", "status"), SIZES)
def test_sizes(kind: type[Any], field: str, size: int, status: Status) -> None:
    longest = kind(**{field: "9" * (size - 1)})
    wire = encode(longest)
    assert decode(wire) == longest
    over = wire.replace(b"9" * (size - 1), b"9" * size)
    over = struct.pack(">L", len(over)) + over[4:]
    for read in (decode, reference.decode):
        with pytest.raises(BodyError, match=f"{field}: more than {size} octets") as raised:
            read(over)
        assert raised.value.command_status is status
    with pytest.raises(EncodeError, match=field):
        encode(kind(**{field: "9" * size}))


@pytest.mark.parametrize(
    "wire", [b"", bytes(15), frame(CommandId.UNBIND) + b"\0", frame(CommandId.SUBMIT_SM, SUBMIT)[:-1]]
)
def test_a_frame_is_exactly_one_pdu(wire: bytes) -> None:
    for read in (decode, reference.decode):
        with pytest.raises(FramingError):
            read(wire)


UNWRITABLE: list[tuple[Pdu, str]] = [
    (SubmitSm(destination_addr="79" * 11), "destination_addr"),
    (SubmitSm(source_addr="a\0b"), "source_addr"),
    (SubmitSm(source_addr="Привет"), "source_addr"),
    (SubmitSm(short_message=bytes(256)), "sm_length"),
    (SubmitSm(esm_class=256), "esm_class"),
    (SubmitSm(priority_flag=-1), "priority_flag"),
    (SubmitSm(command_status=-1), "command_status"),
    (SubmitSm(sequence_number=2**32), "sequence_number"),
    (SubmitSm(tlvs=[Tlv(0x10000, b"")]), "tag"),
    (SubmitSm(tlvs=[Tlv(0x1500, bytes(0x10000))]), "value"),
    (SubmitMulti(dest_addresses=[SmeAddress()] * 256), "number_of_dests"),
    (SubmitMulti(dest_addresses=[DistributionList(dl_name="l" * 21)]), "dl_name"),
    (SubmitMulti(dest_addresses=[UnsuccessSme()]), "dest_addresses"),  # type: ignore[list-item]
    (SubmitMultiResp(unsuccess_smes=[UnsuccessSme(error_status_code=2**32)]), "error_status_code"),
]


@pytest.mark.parametrize(("pdu", "named"), UNWRITABLE, ids=[named for _, named in UNWRITABLE])
def test_what_does_not_fit_is_not_written(pdu: Pdu, named: str) -> None:
    for write in (encode, reference.encode):
        with pytest.raises(EncodeError, match=named):
            write(pdu)


def test_neither_a_repr_nor_an_error_tells_a_password() -> None:
    bind = BindTransmitter(system_id="login", password="secret")
    assert repr(bind) == "BindTransmitter(sequence_number=0, system_id='login', password=***, interface_version=52)"
    with pytest.raises(EncodeError) as unwritten:
        encode(BindTransmitter(password="secretsecret"))
    with pytest.raises(BodyError) as unread:
        decode(frame(CommandId.BIND_TRANSMITTER, b"login\0secretsecret\0" + bytes(5)))
    for raised in (unwritten, unread):
        assert "secret" not in "".join(map(str, [raised.value, *raised.value.args]))
        assert raised.value.__cause__ is None


def test_a_generated_reader_can_be_looked_at() -> None:
    assert "pdu.short_message = frame[at:stop]" in inspect.getsource(codec.READERS[CommandId.SUBMIT_SM])
    assert 'encode("latin-1")' in inspect.getsource(codec.WRITERS[SubmitSm])


# Both readers and both writers agree. ---------------------------------------------------------------------------------

#: Twenty-seven PDUs share them.
often = settings(max_examples=500)

TLVS = st.lists(st.builds(Tlv, st.sampled_from([*Tag, 0x1501, 0xFFFF]), st.binary(max_size=12)), max_size=3)


def values_of(construct: Any) -> st.SearchStrategy[Any]:
    """Every value that fits a field."""
    match construct:
        case COctetString():
            characters = st.characters(min_codepoint=1, max_codepoint=255)
            return st.one_of(st.just(""), st.text(characters, max_size=construct.size - 1))
        case OctetString():
            return st.one_of(st.binary(max_size=20), st.just(bytes(255)))
        case Elements():
            choices = getattr(construct.subcon, "records", {0: construct.subcon}).values()
            return st.lists(st.one_of(*(objects(choice.record) for choice in choices)), max_size=4)
        case _:
            return st.integers(0, 256 ** construct.sizeof() - 1)


def objects(kind: type[Any]) -> st.SearchStrategy[Any]:
    values = {field.name: values_of(field.subcon) for field in layout(kind) if field.name in kind.__dataclass_fields__}
    if issubclass(kind, Pdu):
        words = st.integers(0, 0xFFFFFFFF)
        values |= {"command_status": st.one_of(st.just(0), words), "sequence_number": words, "tlvs": TLVS}
    return st.builds(kind, **values)


pdus = st.one_of([objects(pdu) for pdu in PDUS.values()])


def verdict(read: Callable[[bytes], Pdu], wire: bytes) -> Any:
    try:
        return read(wire)
    except BodyError as error:
        return error.command_status, error.command_id, error.sequence_number


def agree(wire: bytes) -> None:
    wire = struct.pack(">L", len(wire)) + wire[4:]
    assert verdict(decode, wire) == verdict(reference.decode, wire)


@often
@given(pdus)
def test_what_is_written_is_read_back(pdu: Pdu) -> None:
    wire = encode(pdu)
    assert reference.encode(pdu) == wire
    assert decode(wire) == pdu
    assert reference.decode(wire) == pdu
    assert int.from_bytes(wire[:4], "big") == len(wire)


@pytest.mark.parametrize("wire", [octets(text) for text, _ in WIRE])
def test_both_readers_agree_on_every_beginning(wire: bytes) -> None:
    for end in range(16, len(wire)):
        agree(wire[:end])


@often
@given(pdus, st.data())
def test_both_readers_agree_on_damage(pdu: Pdu, data: st.DataObject) -> None:
    """Cut, overwritten, or with octets put in: this makes over-long strings, lying counts and broken TLVs."""
    wire = encode(pdu)
    start = data.draw(st.integers(16, len(wire)))
    end = data.draw(st.integers(start, len(wire)))
    put_in = data.draw(st.one_of(st.binary(max_size=8), st.integers(0, 80).map(lambda count: b"9" * count)))
    agree(wire[:start] + put_in + wire[end:])


@often
@given(st.sampled_from([*CommandId, 0x0A, 0xFFFFFFFF]), st.sampled_from([0, 0x58]), st.binary(max_size=120))
@example(CommandId.DELIVER_SM_RESP, 0, b"")
@example(CommandId.QUERY_SM_RESP, 0, b"\0" + b"9" * 17 + b"\0")
def test_both_readers_agree_on_garbage(command_id: int, command_status: int, body: bytes) -> None:
    agree(frame(command_id, body, command_status))


@often
@given(st.sampled_from(list(PDUS)), st.text("\0\x01\x029", max_size=80))
def test_both_readers_agree_on_garbage_that_looks_like_fields(command_id: int, body: str) -> None:
    agree(frame(command_id, body.encode()))


@often
@given(pdus, st.data())
def test_both_writers_agree_on_what_does_not_fit(pdu: Any, data: st.DataObject) -> None:
    wrongs = {str: ["9" * 70, "a\0", "Ы"], bytes: [bytes(256)], int: [-1, 256, 2**32]}
    name = data.draw(st.sampled_from([field.name for field in fields(pdu) if type(getattr(pdu, field.name)) in wrongs]))
    wrong = wrongs[type(getattr(pdu, name))]
    setattr(pdu, name, data.draw(st.sampled_from(wrong)))
    results: list[bytes | str] = []
    for write in (encode, reference.encode):
        try:
            results.append(write(pdu))
        except EncodeError as error:
            results.append(str(error))
    assert results[0] == results[1]


def test_a_request_is_recast_as_another_kind() -> None:
    delivered = DeliverSm(
        sequence_number=7,
        source_addr_ton=1,
        source_addr="79991234567",
        destination_addr="4711",
        esm_class=4,
        data_coding=8,
        short_message=b"text",
        tlvs=[Tlv(0x1E, b"1\0")],
        command_status=9,
    )
    assert recast(delivered, DataSm, tlvs=[]) == DataSm(
        sequence_number=7,
        source_addr_ton=1,
        source_addr="79991234567",
        destination_addr="4711",
        esm_class=4,
        data_coding=8,
    )
    assert recast(SubmitMulti(priority_flag=2, short_message=b"text"), SubmitSm) == SubmitSm(
        priority_flag=2, short_message=b"text"
    )
