import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdu import (
    Alphabet,
    BadHeader,
    DataSm,
    DeliverSm,
    Element,
    Header,
    Segment,
    SubmitMulti,
    SubmitSm,
    Tag,
    Tlv,
    body_of,
    decode_text,
    join,
    parse_header,
    segment_header,
    segment_of,
    split_sar,
    split_text,
    tlv,
    user_data,
)
from pdu.concatenation import payload_of

UDHI = 0x40


def part(header: str, body: bytes = b"text") -> SubmitSm:
    return SubmitSm(esm_class=UDHI, short_message=bytes.fromhex(header) + body)


def sar(reference: int, total: int, number: int) -> list[Tlv]:
    return [
        tlv(Tag.SAR_MSG_REF_NUM, reference),
        tlv(Tag.SAR_TOTAL_SEGMENTS, total),
        tlv(Tag.SAR_SEGMENT_SEQNUM, number),
    ]


# Headers -------------------------------------------------------------------------------------------------------------

# Header, its elements, the segment it names, and whether it names ports.
HEADERS = [
    ("050003cc0201", [(0x00, "cc0201")], Segment(0xCC, 2, 1), False),
    ("060804abcdff80", [(0x08, "abcdff80")], Segment(0xABCD, 255, 128), False),
    ("0605040b8423f0", [(0x05, "0b8423f0")], None, True),
    ("04040202ff", [(0x04, "02ff")], None, True),
    ("0b0003cc020105040b8423f0", [(0x00, "cc0201"), (0x05, "0b8423f0")], Segment(0xCC, 2, 1), True),
    ("022400", [(0x24, "")], None, False),
    ("03240101", [(0x24, "01")], None, False),
    # The last of several counts, in whichever form (3GPP TS 23.040 §9.2.3.24).
    ("0a00030103010003020302", [(0, "010301"), (0, "020302")], Segment(2, 3, 2), False),
    ("0b0003010301080400020302", [(0, "010301"), (8, "00020302")], Segment(2, 3, 2), False),
    ("0b0804000203020003010301", [(8, "00020302"), (0, "010301")], Segment(1, 3, 1), False),
]


@pytest.mark.parametrize(("octets", "elements", "segment", "ports"), HEADERS)
def test_headers_both_ways(octets: str, elements: list[tuple[int, str]], segment: Segment | None, ports: bool) -> None:
    header = Header(tuple(Element(id, bytes.fromhex(data)) for id, data in elements))
    assert parse_header(bytes.fromhex(octets) + b"rest") == (header, b"rest")
    assert header.encode().hex() == octets
    assert header.segment == segment
    assert header.has_ports is ports


def test_an_empty_header_is_no_header() -> None:
    assert parse_header(b"\x00rest") == (Header(()), b"rest")
    assert Header(()).encode() == b""
    assert Header(()).segment is None


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("", "no user data where a header should be"),
        ("05", "the header has 6 octets, the user data 1"),
        ("050003cc02", "the header has 6 octets, the user data 5"),
        ("0100", "element 1 is longer than the header"),
        ("040003cc02", "element 1 is longer than the header"),
        ("060003cc020105", "element 2 is longer than the header"),
        ("070003cc02010501", "element 2 is longer than the header"),
    ],
)
def test_a_malformed_header_says_why(octets: str, reason: str) -> None:
    for read in (segment_of, body_of, user_data):
        with pytest.raises(BadHeader, match=reason):
            read(SubmitSm(esm_class=UDHI, short_message=bytes.fromhex(octets)))


# PDUs ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pdu", "segment"),
    [
        (SubmitSm(short_message=b"\x05\x00\x03\x01\x02\x01"), None),
        (SubmitSm(tlvs=[tlv(Tag.MESSAGE_PAYLOAD, b"text")]), None),
        (part("050003cc0201"), Segment(0xCC, 2, 1)),
        (part("060804abcd0302"), Segment(0xABCD, 3, 2)),
        (part("050003cc0101"), None),
        (part("0605040b8423f0"), None),
        (part("0b05040b8423f00003cc0202"), Segment(0xCC, 2, 2)),
        (DeliverSm(esm_class=UDHI | 0x04, short_message=bytes.fromhex("050003cc0202")), Segment(0xCC, 2, 2)),
        (DeliverSm(tlvs=sar(0xABCD, 2, 1)), Segment(0xABCD, 2, 1)),
        (SubmitMulti(tlvs=sar(1, 2, 2)), Segment(1, 2, 2)),
        (DataSm(esm_class=UDHI, tlvs=[tlv(Tag.MESSAGE_PAYLOAD, b"\x05\x00\x03\x01\x02\x02")]), Segment(1, 2, 2)),
        (SubmitSm(tlvs=sar(1, 1, 1)), None),
        # SMPP 3.4 §5.3.2.22: one without the others is to be ignored.
        (SubmitSm(tlvs=sar(1, 2, 1)[:1]), None),
        (SubmitSm(tlvs=sar(1, 2, 1)[:2]), None),
        (SubmitSm(tlvs=sar(1, 2, 1)[1:]), None),
        # Both, and of one mind: the header's reference counts.
        (SubmitSm(esm_class=UDHI, short_message=bytes.fromhex("050003cc0201"), tlvs=sar(7, 2, 1)), Segment(0xCC, 2, 1)),
        # A header about something else beside SAR.
        (SubmitSm(esm_class=UDHI, short_message=bytes.fromhex("03240101"), tlvs=sar(7, 2, 1)), Segment(7, 2, 1)),
    ],
)
def test_which_part_it_is(pdu: SubmitSm, segment: Segment | None) -> None:
    assert segment_of(pdu) == segment


@pytest.mark.parametrize(
    ("pdu", "reason"),
    [
        (part("050003cc0001"), "part 1 of 0"),
        (part("050003cc0200"), "part 0 of 2"),
        (part("050003cc0203"), "part 3 of 2"),
        (part("060804abcd0000"), "part 0 of 0"),
        (SubmitSm(tlvs=sar(1, 0, 1)), "part 1 of 0"),
        (SubmitSm(tlvs=sar(1, 2, 0)), "part 0 of 2"),
        (SubmitSm(tlvs=sar(1, 2, 3)), "part 3 of 2"),
        (part("040002cc02"), "a concatenation element has 2 octets"),
        (part("020000"), "a concatenation element has 0 octets"),
        (part("050803abcd02"), "a concatenation element has 3 octets"),
        (
            SubmitSm(esm_class=UDHI, short_message=bytes.fromhex("050003cc0201"), tlvs=sar(0xCC, 3, 1)),
            "name different parts",
        ),
        (
            SubmitSm(tlvs=[*sar(1, 2, 1)[:2], Tlv(Tag.SAR_SEGMENT_SEQNUM, b"\x00\x01")]),
            "not of 2, 1 and 1 octets",
        ),
    ],
)
def test_what_cannot_be_a_part_says_why(pdu: SubmitSm, reason: str) -> None:
    with pytest.raises(BadHeader, match=reason):
        segment_of(pdu)


@pytest.mark.parametrize(
    ("pdu", "header", "body"),
    [
        (SubmitSm(short_message=b"text"), "", b"text"),
        (SubmitSm(), "", b""),
        (SubmitSm(tlvs=[tlv(Tag.MESSAGE_PAYLOAD, b"text")]), "", b"text"),
        (SubmitSm(short_message=b"text", tlvs=[tlv(Tag.MESSAGE_PAYLOAD, b"")]), "", b"text"),
        (SubmitSm(short_message=b"text", tlvs=[tlv(Tag.USER_MESSAGE_REFERENCE, 1)]), "", b"text"),
        (DataSm(tlvs=[tlv(Tag.MESSAGE_PAYLOAD, b"text")]), "", b"text"),
        (DataSm(), "", b""),
        (part("050003cc0201"), "", b"text"),
        (part("060804abcd0302"), "", b"text"),
        (part("00"), "", b"text"),
        (part("0605040b8423f0"), "0605040b8423f0", b"text"),
        (part("0b0003cc020105040b8423f0"), "0605040b8423f0", b"text"),
        (part("0e2401010003cc0201080400010201"), "03240101", b"text"),
    ],
)
def test_header_and_body(pdu: SubmitSm, header: str, body: bytes) -> None:
    assert user_data(pdu) == (bytes.fromhex(header), body)
    assert body_of(pdu) == bytes.fromhex(header) + body


def test_data_in_both_places_is_not_guessed_about() -> None:
    pdu = SubmitSm(short_message=b"one", tlvs=[tlv(Tag.MESSAGE_PAYLOAD, b"two")])
    with pytest.raises(BadHeader, match="both have data"):
        payload_of(pdu)


@given(st.binary(max_size=60), st.integers(0, 255), st.booleans())
def test_reading_raises_badheader_only(data: bytes, esm_class: int, in_payload: bool) -> None:
    tlvs = [tlv(Tag.MESSAGE_PAYLOAD, data)] if in_payload else []
    pdu = SubmitSm(esm_class=esm_class, short_message=b"" if in_payload else data, tlvs=tlvs)
    try:
        segment, body = segment_of(pdu), body_of(pdu)
    except BadHeader:
        return
    assert len(body) <= len(data)
    assert segment is None or 1 <= segment.number <= segment.total


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=20)), max_size=8), st.binary(max_size=20))
def test_a_header_is_read_as_it_was_written(elements: list[tuple[int, bytes]], rest: bytes) -> None:
    header = Header(tuple(Element(id, data) for id, data in elements))
    assert parse_header((header.encode() or b"\x00") + rest) == (header, rest)


# Joining -------------------------------------------------------------------------------------------------------------


def test_join_goes_by_number() -> None:
    parts = [(Segment(7, 3, 3), b"c"), (Segment(7, 3, 1), b"a"), (Segment(7, 3, 2), b"b"), (Segment(7, 3, 1), b"a")]
    assert join(parts) == b"abc"


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([], "not all parts"),
        ([(Segment(7, 2, 1), b"a")], "not all parts"),
        ([(Segment(7, 2, 1), b"a"), (Segment(7, 2, 3), b"c")], "not all parts"),
        ([(Segment(7, 2, 1), b"a"), (Segment(8, 2, 2), b"b")], "different messages"),
        ([(Segment(7, 2, 1), b"a"), (Segment(7, 3, 2), b"b")], "different messages"),
        ([(Segment(7, 2, 1), b"a"), (Segment(7, 2, 1), b"b"), (Segment(7, 2, 2), b"b")], "two different parts 1"),
    ],
)
def test_join_wants_all_of_one_message(parts: list[tuple[Segment, bytes]], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        join(parts)


def test_a_character_cut_in_two_is_whole_again() -> None:
    """Senders do cut there; octets are joined before they are read."""
    escape = join([(Segment(1, 2, 1), b"5 \x1b"), (Segment(1, 2, 2), b"e")])
    assert decode_text(escape, 0) == "5 €"
    surrogates = "😀".encode("utf-16-be")
    assert decode_text(join([(Segment(1, 2, 1), surrogates[:2]), (Segment(1, 2, 2), surrogates[2:])]), 8) == "😀"


# Cutting -------------------------------------------------------------------------------------------------------------


def test_segment_headers() -> None:
    assert segment_header(Segment(0x1CC, 2, 1)).hex() == "050003cc0201"
    assert segment_header(Segment(0x1ABCD, 2, 1), wide_reference=True).hex() == "060804abcd0201"


# Text, alphabet, preferred data_coding, wide reference → data_coding and the octets of text in each part.
@pytest.mark.parametrize(
    ("text", "alphabet", "prefer", "wide", "data_coding", "lengths"),
    [
        ("", Alphabet.GSM, None, False, 0, [0]),
        ("a" * 160, Alphabet.GSM, None, False, 0, [160]),
        ("a" * 161, Alphabet.GSM, None, False, 0, [153, 8]),
        ("a" * 161, Alphabet.GSM, None, True, 0, [152, 9]),
        ("a" * 459, Alphabet.GSM, None, False, 0, [153, 153, 153]),
        ("a" * 152 + "€" + "a" * 10, Alphabet.GSM, None, False, 0, [152, 12]),
        ("a" * 151 + "€" + "a" * 10, Alphabet.GSM, None, False, 0, [153, 10]),
        ("€" * 80, Alphabet.GSM, None, False, 0, [160]),
        ("€" * 81, Alphabet.GSM, None, False, 0, [152, 10]),
        ("é" * 140, Alphabet.ISO, None, False, 0, [140]),
        ("é" * 141, Alphabet.ISO, None, False, 0, [134, 7]),
        ("é" * 141, Alphabet.ISO, None, True, 0, [133, 8]),
        ("a" * 160, Alphabet.GSM, 1, False, 1, [160]),
        ("a" * 161, Alphabet.GSM, 1, False, 1, [153, 8]),
        ("ç" * 141, Alphabet.GSM, 3, False, 3, [134, 7]),
        ("Ж" * 70, Alphabet.GSM, None, False, 8, [140]),
        ("Ж" * 71, Alphabet.GSM, None, False, 8, [134, 8]),
        ("Ж" * 71, Alphabet.GSM, None, True, 8, [132, 10]),
        ("Ж" * 66 + "😀" + "Ж" * 3, Alphabet.ISO, None, False, 8, [132, 10]),
        ("Ж" * 65 + "😀" + "Ж" * 4, Alphabet.ISO, None, False, 8, [134, 8]),
    ],
)
def test_where_a_text_is_cut(
    text: str,
    alphabet: Alphabet,
    prefer: int | None,
    wide: bool,
    data_coding: int,
    lengths: list[int],
) -> None:
    parts = split_text(text, reference=0x1234, alphabet=alphabet, prefer=prefer, wide_reference=wide)
    header = 0 if len(parts) == 1 else 7 if wide else 6
    assert [len(data) - header for _, data in parts] == lengths
    assert {coding for coding, _ in parts} == {data_coding}
    assert max(len(data) for _, data in parts) <= 160


def test_more_than_255_parts() -> None:
    assert len(split_text("a" * 153 * 255, reference=1)) == 255
    with pytest.raises(ValueError, match="takes 256 parts"):
        split_text("a" * (153 * 255 + 1), reference=1)
    with pytest.raises(ValueError, match="takes 256 parts"):
        split_sar("a" * (153 * 255 + 1), reference=1)


TEXTS = st.one_of(
    st.text(max_size=400),
    st.text("ab€{~", min_size=150, max_size=600),
    st.text("Ж😀", min_size=60, max_size=300),
    st.text("éü€", min_size=130, max_size=300),
)


@given(TEXTS, st.sampled_from(Alphabet), st.booleans(), st.integers(0, 0xFFFF))
def test_split_and_join_give_the_text_back(text: str, alphabet: Alphabet, wide: bool, reference: int) -> None:
    parts = split_text(text, reference=reference, alphabet=alphabet, wide_reference=wide)
    if len(parts) == 1:
        ((data_coding, data),) = parts
        assert decode_text(data, data_coding, alphabet) == text
        return
    found: list[tuple[Segment, bytes]] = []
    for data_coding, data in reversed(parts):
        pdu = SubmitSm(esm_class=UDHI, data_coding=data_coding, short_message=data)
        segment = segment_of(pdu)
        assert segment is not None
        assert segment.reference == reference & (0xFFFF if wide else 0xFF)
        # No part ends in the middle of a character.
        assert decode_text(body_of(pdu), data_coding, alphabet)
        found.append((segment, body_of(pdu)))
    assert decode_text(join(found), parts[0][0], alphabet) == text
    texts = [decode_text(body, parts[0][0], alphabet) for _, body in reversed(found)]
    assert "".join(texts) == text


@given(TEXTS, st.sampled_from(Alphabet), st.integers(0, 0x1FFFF))
def test_split_by_sar_and_join_give_the_text_back(text: str, alphabet: Alphabet, reference: int) -> None:
    parts = split_sar(text, reference=reference, alphabet=alphabet)
    pdus = [
        SubmitSm(data_coding=data_coding, short_message=data, tlvs=sar(*segment) if segment else [])
        for data_coding, data, segment in parts
    ]
    if len(pdus) == 1:
        assert segment_of(pdus[0]) is None
        assert decode_text(body_of(pdus[0]), pdus[0].data_coding, alphabet) == text
        return
    segments = [segment_of(pdu) for pdu in pdus]
    assert segments == [segment for _, _, segment in parts]
    assert segments == [Segment(reference & 0xFFFF, len(pdus), number + 1) for number in range(len(pdus))]
    found = [(segment, body_of(pdu)) for segment, pdu in zip(segments, pdus, strict=True) if segment]
    assert decode_text(join(found), pdus[0].data_coding, alphabet) == text
