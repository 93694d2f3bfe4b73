"""What the data_codings of one client mean, held against how such a client reads and writes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdu import Alphabet, Undecodable, decode_text, encode_text, gsm0338, segment_of, split_text, user_data
from pdu.declaration import DeliverSm
from smppbridge.charset import Writing, specified
from smppbridge.config import AccountConfig
from smppbridge.config.dialects import Meaning
from smppbridge.delivery.incoming import deliver_sms
from smppbridge.model import Incoming


def client_reads(data: bytes, data_coding: int, codings: Mapping[int, str], alphabet: Alphabet, header: int = 0) -> str:
    """As the client would: Python's own codecs, and nothing of ours but GSM 03.38 and the specification's numbers."""
    match codings.get(data_coding):
        case None:
            return decode_text(data, data_coding, alphabet)
        case "gsm":
            return gsm0338.decode(data)
        case "gsm_packed":
            return gsm0338.decode(gsm0338.unpack(data, fill=gsm0338.fill_bits(header) if header else 0))
        case "ascii":
            return data.decode("ascii")
        case "latin1" | "eight_bit":
            return data.decode("latin-1")
        case "ucs2":
            return data.decode("utf-16-be")
        case "ucs2_le":
            return data.decode("utf-16-le")
        case "utf8":
            return data.decode("utf-8")
    raise AssertionError("no text")


MEANINGS: list[Meaning] = ["gsm", "gsm_packed", "ascii", "latin1", "ucs2", "ucs2_le", "utf8", "eight_bit", "binary"]
# One that the client can read Unicode under is always there: without it nobody could tell it everything.
CODINGS = st.dictionaries(st.sampled_from([0, 1, 3, 4, 5, 0xF0]), st.sampled_from(MEANINGS)).flatmap(
    lambda codings: st.sampled_from([codings, {**codings, 8: "ucs2_le"}, {**codings, 8: "utf8"}])
)
TEXTS = st.text(st.sampled_from("abc @$_~€[\\éñÄЖ😀\n"), min_size=1, max_size=400)


@given(CODINGS, TEXTS, st.sampled_from(list(Alphabet)), st.sampled_from([None, 0, 1, 3, 8]))
def test_the_client_reads_what_is_written(
    codings: dict[int, Meaning], text: str, alphabet: Alphabet, prefer: int | None
) -> None:
    writing = Writing(codings, alphabet, prefer)
    data_coding, data = encode_text(text, alphabet=writing.alphabet, prefer=writing.data_coding)
    label, octets = writing.told(data_coding, data)
    assert client_reads(octets, label, codings, alphabet) == text


@given(CODINGS, TEXTS, st.sampled_from(list(Alphabet)))
def test_it_reads_every_part_of_a_long_message(codings: dict[int, Meaning], text: str, alphabet: Alphabet) -> None:
    account = AccountConfig.model_validate(
        {"allowed_networks": [], "dialect": {"data_codings": {str(key): value for key, value in codings.items()}}}
    )
    incoming = Incoming(provider="p", ref="1", source="79991234567", destination="7401", text=text, at=0)
    found = ""
    pdus = deliver_sms(incoming, 7, account, alphabet, 0x34)
    for number, pdu in enumerate(pdus, 1):
        _, body = user_data(pdu)
        segment = segment_of(pdu)
        assert (segment is None and len(pdus) == 1) or segment == (7, len(pdus), number)
        header = len(pdu.short_message) - len(body)
        found += client_reads(body, pdu.data_coding, codings, alphabet, header)
    assert found == text


def test_a_client_that_means_what_smpp_means_is_written_as_ever() -> None:
    assert Writing({}, Alphabet.GSM).told(0, b"hi") == (0, b"hi")
    assert Writing({}, Alphabet.ISO, 3).data_coding == 3


@pytest.mark.parametrize(
    ("codings", "label", "octets"),
    [
        ({0: "gsm"}, 0, b"hi"),
        ({0: "gsm_packed"}, 0, b"\xe8\x34"),
        ({0: "utf8"}, 0, b"hi"),
        ({0: "ucs2_le"}, 0, b"h\0i\0"),
        ({0: "binary"}, 8, b"\0h\0i"),
        ({0: "binary", 8: "latin1", 9: "utf8"}, 9, b"hi"),
        ({1: "gsm"}, 0, b"hi"),
    ],
)
def test_under_which_number(codings: dict[int, Meaning], label: int, octets: bytes) -> None:
    writing = Writing(codings, Alphabet.GSM)
    assert writing.told(*encode_text("hi", alphabet=writing.alphabet, prefer=writing.data_coding)) == (label, octets)


@pytest.mark.parametrize("meaning", ["gsm", "gsm_packed", "ascii", "latin1", "eight_bit", "binary"])
@pytest.mark.parametrize("long", ["parts", "sar", "payload"])
def test_where_no_number_means_unicode_a_text_is_told_as_smpp_has_it(meaning: Meaning, long: str) -> None:
    account = AccountConfig.model_validate(
        {"allowed_networks": [], "incoming_long": long, "dialect": {"data_codings": {"8": meaning}}}
    )
    incoming = Incoming(provider="p", ref="1", source="79991234567", destination="7401", text="Ж€", at=0)
    [pdu] = deliver_sms(incoming, 7, account, Alphabet.GSM, 0x34)
    assert (pdu.data_coding, pdu.short_message) == (8, "Ж€".encode("utf-16-be"))


@pytest.mark.parametrize(
    ("meaning", "data", "expected"),
    [
        ("gsm", b"\x00", (0, b"\x00", Alphabet.GSM)),
        ("latin1", b"\xe9", (3, b"\xe9", Alphabet.ISO)),
        ("ucs2_le", b"a\0b", (8, b"\0ab", Alphabet.ISO)),
        ("utf8", "é".encode(), (8, b"\x00\xe9", Alphabet.ISO)),
        ("binary", b"\x00", (2, b"\x00", Alphabet.ISO)),
    ],
)
def test_what_came_as_the_specification_has_it(
    meaning: Meaning, data: bytes, expected: tuple[int, bytes, Alphabet]
) -> None:
    assert specified(meaning, data, Alphabet.ISO) == expected


def test_what_is_no_utf_8() -> None:
    with pytest.raises(Undecodable, match="octet 3 of 4 is not UTF-8"):
        specified("utf8", b"caf\xe9", Alphabet.GSM)


@given(st.binary(max_size=200), st.sampled_from([0, 6, 7]), st.booleans())
def test_septets_that_nobody_counts(octets: bytes, header: int, counted: bool) -> None:
    """Packed, with the filling that knows about it or without, and unpacked: the same, but for what cannot be told."""
    septets = bytes(octet & 0x7F for octet in octets)
    fill = gsm0338.fill_bits(header) if header else 0
    found = gsm0338.unpack_uncounted(gsm0338.pack(septets, fill, counted=counted), header)
    if septets.endswith((b"\0", b"\r")):
        assert septets.startswith(found)
        assert set(septets[len(found) :]) <= {0x00, 0x0D}
    else:
        assert found == septets


def test_a_long_text_has_parts_of_septets() -> None:
    """One fill bit after a header of six octets, as a handset would have it (3GPP TS 23.040 §9.2.3.24)."""
    writing = Writing({0: "gsm_packed"}, Alphabet.GSM)
    text, found = "0123456789 {[~]} " * 30, ""
    for data_coding, data in split_text(text, reference=1):
        label, octets = writing.told(data_coding, data, 6)
        assert label == 0
        assert len(octets) <= 140
        header, body = user_data(DeliverSm(esm_class=0x40, short_message=octets))
        assert header == b""
        bits = int.from_bytes(body, "little") >> 1
        septets = bytes(bits >> at & 0x7F for at in range(0, len(body) * 8 - 7, 7))
        found += gsm0338.decode(septets)
    # A part that ends before an escape has room for one more, and a carriage return there.
    assert found.replace("\r", "") == text
