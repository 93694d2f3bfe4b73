"""TLVs: values by the type of their tag, in both directions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdu import BodyError, CommandId, CommandStatus, EncodeError, SubmitSm, Tag, Tlv, VendorTag, tlv
from pdu.tlv import MAX_VALUE, WIRE, Kind, name_of, read

# tag, value, octets on the wire
BOTH_WAYS = [
    (Tag.DEST_ADDR_SUBUNIT, 1, "01"),
    (Tag.SOURCE_TELEMATICS_ID, 8, "08"),
    (Tag.QOS_TIME_TO_LIVE, 86400, "00015180"),
    (Tag.ADDITIONAL_STATUS_INFO_TEXT, "too fast", "746f6f206661737400"),
    (Tag.RECEIPTED_MESSAGE_ID, "855469", "38353534363900"),
    (Tag.RECEIPTED_MESSAGE_ID, "", "00"),
    (Tag.SOURCE_SUBADDRESS, b"\xa0\x31", "a031"),
    (Tag.USER_MESSAGE_REFERENCE, 258, "0102"),
    (Tag.SAR_MSG_REF_NUM, 65535, "ffff"),
    (Tag.SAR_TOTAL_SEGMENTS, 3, "03"),
    (Tag.SC_INTERFACE_VERSION, 0x34, "34"),
    (Tag.CALLBACK_NUM, b"\x01\x01\x0112", "0101013132"),
    (Tag.NETWORK_ERROR_CODE, b"\x03\x00\x06", "030006"),
    (Tag.MESSAGE_PAYLOAD, b"", ""),
    (Tag.MESSAGE_STATE, 2, "02"),
    (Tag.CONGESTION_STATE, 90, "5a"),
    (Tag.BROADCAST_END_TIME, "261121120000000+", "3236313132313132303030303030302b00"),
    (Tag.ALERT_ON_MESSAGE_DELIVERY, 0, ""),
    (Tag.ALERT_ON_MESSAGE_DELIVERY, 2, "02"),
    (Tag.ITS_SESSION_INFO, b"\x01\x02", "0102"),
    (VendorTag.SMSC_COST, "1.400", "312e34303000"),
    (VendorTag.SMSC_FLAGS, 0x0121, "0121"),
    (VendorTag.SMSC_PARTS, 2, "0002"),
    (VendorTag.SMSC_2003, "2501", "3235303100"),
]


@pytest.mark.parametrize(("tag", "value", "octets"), BOTH_WAYS)
def test_both_ways(tag: int, value: int | str | bytes, octets: str) -> None:
    assert tlv(tag, value) == Tlv(tag, bytes.fromhex(octets))
    assert read(tag, bytes.fromhex(octets)) == value


def test_every_named_tag_has_a_type() -> None:
    assert set(WIRE) == {*Tag, *VendorTag}


# Where specifications and habits differ in length, both are read: (tag, octets, value).
LENIENT = [
    (Tag.RECEIPTED_MESSAGE_ID, b"855469", "855469"),  # without its NUL
    (Tag.RECEIPTED_MESSAGE_ID, b"855469\0\0\0", "855469"),
    (Tag.RECEIPTED_MESSAGE_ID, b"", ""),
    (Tag.SOURCE_TELEMATICS_ID, b"\0\x08", 8),
    (Tag.MS_VALIDITY, b"\x04\x01\x00\x05", b"\x04\x01\x00\x05"),
    (0x1501, b"\xff", b"\xff"),  # unknown
    (0xFFFF, b"", b""),
]


@pytest.mark.parametrize(("tag", "octets", "value"), LENIENT)
def test_read_is_lenient_where_nothing_is_lost(tag: int, octets: bytes, value: object) -> None:
    assert read(tag, octets) == value


WRONG_LENGTH = [
    (Tag.MESSAGE_STATE, b""),
    (Tag.MESSAGE_STATE, b"\x00\x02"),
    (Tag.USER_MESSAGE_REFERENCE, b"\x07"),
    (Tag.NETWORK_ERROR_CODE, b"\x03\x00"),
    (Tag.CALLBACK_NUM, b"123"),
    (Tag.RECEIPTED_MESSAGE_ID, b"9" * 65),
    (VendorTag.SMSC_COST, b"10.0000\0"),
]


@pytest.mark.parametrize(("tag", "octets"), WRONG_LENGTH)
def test_a_known_tlv_of_a_wrong_length_is_an_error_only_when_asked_for(tag: int, octets: bytes) -> None:
    pdu = SubmitSm(sequence_number=5, tlvs=[Tlv(tag, octets)])
    assert pdu.tlv(tag) == octets
    with pytest.raises(BodyError) as raised:
        pdu.option(tag)
    error = raised.value
    assert (error.command_status, error.command_id, error.sequence_number) == (
        CommandStatus.ESME_RINVPARLEN,
        CommandId.SUBMIT_SM,
        5,
    )
    assert name_of(tag) in error.reason


UNWRITABLE: list[tuple[int, int | str | bytes]] = [
    (Tag.MESSAGE_STATE, 256),
    (Tag.MESSAGE_STATE, -1),
    (Tag.MESSAGE_STATE, "2"),
    (Tag.MESSAGE_PAYLOAD, "text"),
    (Tag.MESSAGE_PAYLOAD, bytes(MAX_VALUE + 1)),
    (Tag.RECEIPTED_MESSAGE_ID, 855469),
    (Tag.RECEIPTED_MESSAGE_ID, "9" * 65),
    (Tag.RECEIPTED_MESSAGE_ID, "8\0"),
    (Tag.RECEIPTED_MESSAGE_ID, "й"),
    (Tag.RECEIPTED_MESSAGE_ID, b""),
    (Tag.NETWORK_ERROR_CODE, b"\x03\x00"),
    (0x1501, 1),
    (0x1501, "1"),
    (0x1501, bytes(MAX_VALUE + 1)),
    (-1, b""),
    (0x10000, b""),
]


@pytest.mark.parametrize(("tag", "value"), UNWRITABLE)
def test_what_does_not_fit_is_not_made(tag: int, value: int | str | bytes) -> None:
    with pytest.raises(EncodeError):
        tlv(tag, value)


@given(st.sampled_from(sorted(WIRE)), st.data())
def test_what_is_written_is_read_back(tag: int, data: st.DataObject) -> None:
    wire = WIRE[tag]
    value: int | str | bytes
    if wire.kind is Kind.INTEGER:
        value = data.draw(st.integers(0, 256**wire.most - 1))
    elif wire.kind is Kind.C_OCTETS:
        value = data.draw(st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=wire.most - 1))
    else:
        value = data.draw(st.binary(min_size=wire.least, max_size=min(wire.most, 80)))
    assert read(tag, tlv(tag, value).value) == value


def test_the_first_of_several_is_found_and_unknown_ones_are_bytes() -> None:
    pdu = SubmitSm(tlvs=[Tlv(0x2009, b"a"), tlv(Tag.SOURCE_PORT, 1), tlv(Tag.SOURCE_PORT, 2)])
    assert pdu.tlv(Tag.SOURCE_PORT) == b"\0\x01"
    assert pdu.option(Tag.SOURCE_PORT) == 1
    assert pdu.option(0x2009) == b"a"
    assert pdu.tlv(Tag.MESSAGE_STATE) is None
    assert pdu.option(Tag.MESSAGE_STATE) is None


def test_it_introduces_itself() -> None:
    assert repr(tlv(Tag.SOURCE_PORT, 2)) == "Tlv(SOURCE_PORT, b'\\x00\\x02')"
    assert repr(Tlv(0x2009, b"a")) == "Tlv(0x2009, b'a')"
