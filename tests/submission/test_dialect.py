"""What a client's dialect puts otherwise, put as SMPP has it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdu import Segment, SubmitSm, Tag, encode, gsm0338, segment_header, segment_of, split_text, tlv, user_data
from pdu.concatenation import payload_of
from smppbridge.config import AccountConfig, Dialect
from smppbridge.store.memory import MemoryStore
from smppbridge.submission.account import AccountState
from smppbridge.submission.fields import decoded
from smppbridge.submission.mending import Mender, mender_for

UDHI = 0x40
PART = segment_header(Segment(7, 2, 1))
LAST = segment_header(Segment(7, 2, 2))
WIDE = segment_header(Segment(700, 2, 1), wide_reference=True)
PORTS = bytes.fromhex("060504158a0000")


def mended(data: bytes, *, payload: bool = False, esm_class: int = 0, data_coding: int = 0, **said: Any) -> SubmitSm:
    """After mending; with `payload`, the text stands in message_payload."""
    pdu = SubmitSm(esm_class=esm_class, data_coding=data_coding)
    if payload:
        pdu.tlvs = [tlv(Tag.USER_MESSAGE_REFERENCE, 1), tlv(Tag.MESSAGE_PAYLOAD, data)]
    else:
        pdu.short_message = data
    Mender(Dialect.model_validate(said))(pdu)
    encode(pdu)
    assert (not pdu.short_message) or not payload
    assert not payload or pdu.option(Tag.USER_MESSAGE_REFERENCE) == 1
    return pdu


@pytest.mark.parametrize("name", ["smsc.ru", "kannel", "jasmin", "spec"])
def test_the_profiles_have_nothing_to_mend(name: str) -> None:
    assert mender_for(Dialect.model_validate(name)) is None
    account = AccountState(
        "demo", AccountConfig.model_validate({"allowed_networks": [], "dialect": name}), MemoryStore()
    )
    assert account.mend is None


# Headers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [False, True])
@pytest.mark.parametrize(
    ("data", "said", "meant"),
    [
        # It says that there is a header, and none can be read.
        (b"Hello", UDHI, 0),
        (b"", UDHI, 0),
        (b"\x05\x00\x03\x07", UDHI, 0),
        # UCS2 begins like a header in which nothing stands, or nothing but empty elements; so does "@" of GSM 03.38.
        ("__HLR__".encode("utf-16-be"), UDHI, 0),
        ("В 24 часа".encode("utf-16-be"), UDHI, 0),
        (b"\0home", UDHI, 0),
        # It says so rightly.
        (PART + b"Hello", UDHI, UDHI),
        (PORTS + b"data", UDHI, UDHI),
        # It says nothing of one.
        (PART + b"Hello", 0, UDHI),
        (WIDE + b"Hello", 0, UDHI),
        (b"Hello", 0, 0),
        (b"", 0, 0),
        # Of no part, of part 3 of 2, of part 0: no clear header.
        (PART, 0, 0),
        (b"\x05\x00\x03\x07\x02\x03Hello", 0, 0),
        (b"\x05\x00\x03\x07\x02\x00Hello", 0, 0),
        (PORTS + b"data", 0, 0),
        # The other bits are what they are.
        (PART + b"Hello", 0x83, UDHI | 0x83),
        (b"Hello", UDHI | 0x03, 0x03),
    ],
)
def test_a_lenient_dialect_believes_the_octets(data: bytes, said: int, meant: int, payload: bool) -> None:
    pdu = mended(data, esm_class=said, headers="lenient", payload=payload)
    assert pdu.esm_class == meant
    assert payload_of(pdu) == data


@pytest.mark.parametrize(("data", "esm_class"), [(b"Hello", UDHI), (PART + b"Hello", 0)])
def test_a_strict_one_believes_what_is_said(data: bytes, esm_class: int) -> None:
    assert mended(data, esm_class=esm_class, nul_terminated=True).esm_class == esm_class


# C strings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [False, True])
@pytest.mark.parametrize(
    ("data_coding", "data", "meant"),
    [
        (0, b"Hello\0", b"Hello"),
        (0, b"Hello", b"Hello"),
        # "Hello@" as a C string.
        (0, b"Hello\0\0", b"Hello\0"),
        (1, b"Hello\0\0", b"Hello"),
        (3, b"Hello\0", b"Hello"),
        (8, b"\x04\x1f\0\0", b"\x04\x1f"),
        (8, b"\x04\x1f\0\0\0\0", b"\x04\x1f"),
        (8, b"\x04\x1f\0", b"\x04\x1f"),
        # U+0100 ends with a NUL of its own.
        (8, b"\x01\x00", b"\x01\x00"),
        (8, b"\x01\x00\0", b"\x01\x00"),
        (8, b"\x01\x00\0\0", b"\x01\x00"),
        # Text in eight bits, and data that has a NUL.
        (4, b"Hello\0", b"Hello"),
        (4, b"\x01\x02\0", b"\x01\x02\0"),
        (2, b"Hello\0", b"Hello\0"),
        (0xF5, b"Hello\0", b"Hello\0"),
        (0x10, b"Hello\0", b"Hello"),
    ],
)
def test_the_nul_of_a_c_string_is_no_text(data_coding: int, data: bytes, meant: bytes, payload: bool) -> None:
    pdu = mended(data, data_coding=data_coding, nul_terminated=True, payload=payload)
    assert payload_of(pdu) == meant


@pytest.mark.parametrize(
    ("said", "data", "meant"), [("gsm", b"x\0\0", b"x\0"), ("utf8", b"x\0\0", b"x"), ("binary", b"x\0", b"x\0")]
)
def test_what_ends_a_text_depends_on_what_the_data_coding_means(said: str, data: bytes, meant: bytes) -> None:
    assert mended(data, data_coding=5, nul_terminated=True, data_codings={"5": said}).short_message == meant


def test_only_the_last_part_has_an_end() -> None:
    assert mended(PART + b"x\0", esm_class=UDHI, nul_terminated=True).short_message == PART + b"x\0"
    assert mended(LAST + b"x\0", esm_class=UDHI, nul_terminated=True).short_message == LAST + b"x"


def test_data_for_the_handset_keeps_its_nul() -> None:
    assert mended(PORTS + b"x\0", esm_class=UDHI, nul_terminated=True).short_message == PORTS + b"x\0"


# Packed septets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [False, True])
@pytest.mark.parametrize(
    ("front", "septets"),
    [
        (b"", b"hello"),
        # Eight septets fill seven octets; of seven, seven bits are left over.
        (b"", b"12345678"),
        (b"", b"1234567"),
        (PART, b"hello"),
        (WIDE, b"1234567"),
    ],
)
def test_packed_septets_are_unpacked(front: bytes, septets: bytes, payload: bool) -> None:
    fill = gsm0338.fill_bits(len(front)) if front else 0
    for counted in (False, True):
        data = front + gsm0338.pack(septets, fill, counted=counted)
        esm_class = UDHI if front else 0
        pdu = mended(data, esm_class=esm_class, data_codings={"0": "gsm_packed"}, payload=payload)
        assert payload_of(pdu) == front + septets


def test_a_header_for_the_handset_leaves_its_data_as_it_is() -> None:
    data = PORTS + gsm0338.pack(b"hello", 1)
    assert mended(data, esm_class=UDHI, data_codings={"0": "gsm_packed"}).short_message == data


def test_other_data_codings_are_left_alone() -> None:
    assert mended(b"hello", data_coding=1, data_codings={"0": "gsm_packed"}).short_message == b"hello"


TEXTS = st.text(st.sampled_from("abc @$€[]{}\n_~Ä"), min_size=1, max_size=500).filter(
    lambda text: text[-1] not in "@\r"
)


@given(TEXTS, st.booleans())
def test_a_long_text_in_packed_parts_is_the_text(text: str, counted: bool) -> None:
    """Each part begins on its own septet boundary; the whole is what the client wrote."""
    account = AccountState(
        "demo",
        AccountConfig.model_validate({"allowed_networks": [], "dialect": {"data_codings": {"1": "gsm_packed"}}}),
        MemoryStore(),
    )
    whole = b""
    parts = split_text(text, reference=7)
    for _, data in parts:
        header = data[0] + 1 if len(parts) > 1 else 0
        packed = gsm0338.pack(data[header:], gsm0338.fill_bits(header) if header else 0, counted=counted)
        frame = encode(SubmitSm(esm_class=UDHI if header else 0, data_coding=1, short_message=data[:header] + packed))
        pdu = decoded(frame, account)
        assert (segment_of(pdu) is None) == (len(parts) == 1)
        whole += user_data(pdu)[1]
    # A part that ends with "@" on an octet is the one thing that cannot be told.
    if not any(data.endswith((b"\0", b"\r")) for _, data in parts):
        assert gsm0338.decode(whole) == text


@given(st.binary(max_size=140), st.integers(0, 255), st.integers(0, 255))
def test_whatever_comes_is_mended_without_a_word(data: bytes, esm_class: int, data_coding: int) -> None:
    codings = dict.fromkeys(map(str, range(16)), "gsm_packed")
    mended(data, esm_class=esm_class, data_coding=data_coding, headers="lenient", nul_terminated=True)
    mended(data, esm_class=esm_class, data_coding=data_coding, data_codings=codings, nul_terminated=True)
