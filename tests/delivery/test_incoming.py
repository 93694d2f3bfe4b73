"""Messages from subscribers: whose they are, and what a client reads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdu import Alphabet, DeliverSm, Segment, Tag, VendorTag, body_of, decode, decode_text, encode, join, segment_of
from smppbridge.config import AccountConfig, IncomingRoute
from smppbridge.delivery.incoming import account_for, deliver_sms
from smppbridge.model import Incoming

GSM, ISO = Alphabet.GSM, Alphabet.ISO


def wrote(text: str = "STOP", **fields: Any) -> Incoming:
    return Incoming(
        **{"provider": "iba", "ref": "5094", "source": "+79991234567", "destination": "7401", **fields}, text=text
    )


def account(**fields: Any) -> AccountConfig:
    return AccountConfig(password="x", allowed_networks=(), **fields)


def read(pdus: list[DeliverSm], alphabet: Alphabet = GSM) -> str:
    """As a client does: off the wire, joined, decoded."""
    pdus = [decode(encode(pdu)) for pdu in pdus]  # type: ignore[misc]
    segments = [segment_of(pdu) or Segment(0, 1, 1) for pdu in pdus]
    data = join((segment, body_of(pdu)) for segment, pdu in zip(segments, pdus, strict=True))
    return decode_text(data, pdus[0].data_coding, alphabet)


ROUTES = [
    IncomingRoute(provider="iba", prefix=("Taxi",), account="taxi"),
    IncomingRoute(provider="naimar", destination=("7401",), account="game"),
    IncomingRoute(destination=("+38050*", "7402"), account="shop"),
    IncomingRoute(provider="viber", account="chat"),
]


@pytest.mark.parametrize(
    ("incoming", "whose"),
    [
        (wrote("taxi to the station"), "taxi"),
        (wrote("TAXI"), "taxi"),
        (wrote("taxis"), ""),
        (wrote("", prefix="TAXI"), "taxi"),
        # What the provider names counts, not what the text begins with.
        (wrote("taxi", prefix="other"), ""),
        (wrote(""), ""),
        (wrote(provider="naimar"), "game"),
        (wrote(provider="naimar", destination="+7401"), "game"),
        (wrote(provider="naimar", destination="74011"), ""),
        (wrote(destination="380501234567"), "shop"),
        (wrote(destination="+7402"), "shop"),
        (wrote(provider="viber", destination=""), "chat"),
        (wrote(provider="other", destination=""), ""),
    ],
)
def test_whose_it_is(incoming: Incoming, whose: str) -> None:
    assert account_for(incoming, ROUTES) == whose


def test_a_short_one_is_a_plain_deliver_sm() -> None:
    [pdu] = deliver_sms(wrote("Stop @ £"), 7, account(), GSM, 0x34)
    assert (pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr) == (1, 1, "79991234567")
    assert (pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr) == (0, 1, "7401")
    assert (pdu.esm_class, pdu.data_coding, pdu.short_message) == (0, 0, b"Stop \0 \x01")
    assert pdu.option(VendorTag.INCOMING_ID) == "5094"


@pytest.mark.parametrize(
    ("text", "settings", "alphabet", "coding", "data"),
    [
        ("ä@", {}, GSM, 0, b"\x7b\0"),
        ("ä@", {}, ISO, 0, b"\xe4@"),
        ("так", {}, GSM, 8, "так".encode("utf-16-be")),
        ("так", {}, ISO, 8, "так".encode("utf-16-be")),
        ("ä@", {"incoming_coding": "latin1"}, GSM, 3, b"\xe4@"),
        ("€", {"incoming_coding": "latin1"}, GSM, 8, b"\x20\xac"),
        ("a", {"incoming_coding": "ucs2"}, GSM, 8, b"\0a"),
        # Half a surrogate pair has no octets in any coding.
        ("a\ud83d", {}, GSM, 0, b"a?"),
        ("\ud83d\ude00", {}, GSM, 8, "😀".encode("utf-16-be")),
        ("\ufffd", {}, GSM, 8, b"\xff\xfd"),
        ("", {}, GSM, 0, b""),
    ],
)
def test_in_the_coding_that_the_account_reads(
    text: str, settings: dict[str, Any], alphabet: Alphabet, coding: int, data: bytes
) -> None:
    [pdu] = deliver_sms(wrote(text), 7, account(**settings), alphabet, 0x34)
    assert (pdu.data_coding, pdu.short_message) == (coding, data)


@pytest.mark.parametrize("version", [0x33, 0x34, 0x50])
@pytest.mark.parametrize("way", ["parts", "sar", "payload"])
@pytest.mark.parametrize("text", ["a" * 160, "a" * 161, "€" * 400, "я" * 70, "я" * 71, "😀" * 100, "я" * 3000])
def test_long_ones_as_the_account_reads_them(text: str, way: str, version: int) -> None:
    pdus = deliver_sms(wrote(text), 300, account(incoming_long=way), GSM, version)
    assert read(pdus) == text
    long = text not in ("a" * 160, "я" * 70)
    if not long or (way == "payload" and version > 0x33):
        assert len(pdus) == 1
        assert (pdus[0].tlv(Tag.MESSAGE_PAYLOAD) is not None) == long
        assert pdus[0].esm_class == 0
    else:
        assert len(pdus) > 1
        sar = way == "sar" and version > 0x33
        assert all((pdu.tlv(Tag.SAR_MSG_REF_NUM) is not None) == sar for pdu in pdus)
        assert all(pdu.esm_class == (0 if sar else 0x40) for pdu in pdus)
    if version == 0x33:
        assert not any(pdu.tlvs for pdu in pdus)


def test_the_parts_of_one_message_are_the_same_each_time() -> None:
    first, again = (deliver_sms(wrote("я" * 200), 77, account(), GSM, 0x34) for _ in range(2))
    assert [pdu.short_message for pdu in first] == [pdu.short_message for pdu in again]
    assert {segment.reference for pdu in first if (segment := segment_of(pdu))} == {77}


def test_more_parts_than_there_can_be_go_as_payload() -> None:
    [pdu] = deliver_sms(wrote("я" * 40_000), 7, account(), GSM, 0x34)
    data = pdu.tlv(Tag.MESSAGE_PAYLOAD)
    assert data is not None
    assert len(data) == 65_000
    # Many clients read no longer PDU.
    assert len(encode(pdu)) < 65_536
    assert set(data.decode("utf-16-be")) == {"я"}


@pytest.mark.parametrize(
    ("data", "fields", "esm_class", "coding"),
    [
        (b"\x06\x05\x04\x15\x8a\0\0push", {"data_coding": 245, "has_udh": True}, 0x40, 245),
        (b"\x00\xff", {}, 0, 4),
        (bytes(300), {}, 0, 4),
    ],
)
def test_data_goes_as_it_came(data: bytes, fields: dict[str, Any], esm_class: int, coding: int) -> None:
    [pdu] = deliver_sms(wrote("", data=data, **fields), 7, account(), GSM, 0x34)
    assert (pdu.esm_class, pdu.data_coding) == (esm_class, coding)
    assert (pdu.short_message or pdu.tlv(Tag.MESSAGE_PAYLOAD)) == data


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("+380501234567", (1, 1, "380501234567")),
        ("380501234567", (1, 1, "380501234567")),
        ("7401", (0, 1, "7401")),
        ("Shop", (5, 0, "Shop")),
        ("", (0, 0, "")),
        ("Магазин", (0, 0, "")),
        ("x" * 30, (5, 0, "x" * 20)),
        ("1" * 30, (1, 1, "1" * 20)),
    ],
)
def test_addresses(address: str, written: tuple[int, int, str]) -> None:
    [pdu] = deliver_sms(wrote(source=address, destination=address), 7, account(), GSM, 0x34)
    assert (pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr) == written
    assert (pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr) == written


@pytest.mark.parametrize(
    ("ref", "version", "settings"),
    [
        ("5094", 0x33, {}),
        ("5094", 0x34, {"vendor_tlvs": False}),
        ("", 0x34, {}),
        ("x" * 65, 0x34, {}),
        ("ключ", 0x34, {}),
    ],
)
def test_no_id_where_it_cannot_stand_or_is_not_wanted(ref: str, version: int, settings: dict[str, Any]) -> None:
    [pdu] = deliver_sms(wrote(ref=ref), 7, account(**settings), GSM, version)
    assert pdu.tlv(VendorTag.INCOMING_ID) is None


@given(
    st.text(max_size=600),
    st.sampled_from(["parts", "sar", "payload"]),
    st.sampled_from([GSM, ISO]),
    st.integers(0, 2**62),
)
def test_whatever_was_written_is_read(text: str, way: str, alphabet: Alphabet, reference: int) -> None:
    assert read(deliver_sms(wrote(text), reference, account(incoming_long=way), alphabet, 0x34), alphabet) == text
