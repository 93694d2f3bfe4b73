import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdu import Undecodable, Unencodable, gsm0338

# 3GPP TS 23.038 §6.2.1 where it differs from ASCII, by the names of the characters.
NAMED = {
    0x00: "COMMERCIAL AT",
    0x01: "POUND SIGN",
    0x02: "DOLLAR SIGN",
    0x03: "YEN SIGN",
    0x04: "LATIN SMALL LETTER E WITH GRAVE",
    0x05: "LATIN SMALL LETTER E WITH ACUTE",
    0x06: "LATIN SMALL LETTER U WITH GRAVE",
    0x07: "LATIN SMALL LETTER I WITH GRAVE",
    0x08: "LATIN SMALL LETTER O WITH GRAVE",
    0x09: "LATIN CAPITAL LETTER C WITH CEDILLA",
    0x0B: "LATIN CAPITAL LETTER O WITH STROKE",
    0x0C: "LATIN SMALL LETTER O WITH STROKE",
    0x0E: "LATIN CAPITAL LETTER A WITH RING ABOVE",
    0x0F: "LATIN SMALL LETTER A WITH RING ABOVE",
    0x10: "GREEK CAPITAL LETTER DELTA",
    0x11: "LOW LINE",
    0x12: "GREEK CAPITAL LETTER PHI",
    0x13: "GREEK CAPITAL LETTER GAMMA",
    0x14: "GREEK CAPITAL LETTER LAMDA",
    0x15: "GREEK CAPITAL LETTER OMEGA",
    0x16: "GREEK CAPITAL LETTER PI",
    0x17: "GREEK CAPITAL LETTER PSI",
    0x18: "GREEK CAPITAL LETTER SIGMA",
    0x19: "GREEK CAPITAL LETTER THETA",
    0x1A: "GREEK CAPITAL LETTER XI",
    0x1C: "LATIN CAPITAL LETTER AE",
    0x1D: "LATIN SMALL LETTER AE",
    0x1E: "LATIN SMALL LETTER SHARP S",
    0x1F: "LATIN CAPITAL LETTER E WITH ACUTE",
    0x24: "CURRENCY SIGN",
    0x40: "INVERTED EXCLAMATION MARK",
    0x5B: "LATIN CAPITAL LETTER A WITH DIAERESIS",
    0x5C: "LATIN CAPITAL LETTER O WITH DIAERESIS",
    0x5D: "LATIN CAPITAL LETTER N WITH TILDE",
    0x5E: "LATIN CAPITAL LETTER U WITH DIAERESIS",
    0x5F: "SECTION SIGN",
    0x60: "INVERTED QUESTION MARK",
    0x7B: "LATIN SMALL LETTER A WITH DIAERESIS",
    0x7C: "LATIN SMALL LETTER O WITH DIAERESIS",
    0x7D: "LATIN SMALL LETTER N WITH TILDE",
    0x7E: "LATIN SMALL LETTER U WITH DIAERESIS",
    0x7F: "LATIN SMALL LETTER A WITH GRAVE",
}

# 3GPP TS 23.038 §6.2.1.1.
EXTENDED = {
    0x14: "CIRCUMFLEX ACCENT",
    0x28: "LEFT CURLY BRACKET",
    0x29: "RIGHT CURLY BRACKET",
    0x2F: "REVERSE SOLIDUS",
    0x3C: "LEFT SQUARE BRACKET",
    0x3D: "TILDE",
    0x3E: "RIGHT SQUARE BRACKET",
    0x40: "VERTICAL LINE",
    0x65: "EURO SIGN",
}

TABLE = (
    [(bytes((code,)), unicodedata.lookup(name)) for code, name in NAMED.items()]
    + [(bytes((code,)), chr(code)) for code in range(128) if code not in NAMED and (code >= 0x20 or code in b"\n\r")]
    + [(bytes((0x1B, code)), unicodedata.lookup(name)) for code, name in EXTENDED.items()]
    + [(b"\x1b\x0a", "\f")]
)

ALPHABET = "".join(character for _, character in TABLE)


def test_the_table_is_whole() -> None:
    assert len(TABLE) == 127 + 10
    assert len(set(ALPHABET)) == 137


@pytest.mark.parametrize(("septets", "character"), TABLE)
def test_every_character_both_ways(septets: bytes, character: str) -> None:
    assert gsm0338.encode(character) == septets
    assert gsm0338.decode(septets) == character
    assert gsm0338.fits(character)


# The same text as raw ASCII octets and as septets (smsc.ru clients send both under data_coding 0).
@pytest.mark.parametrize(
    ("text", "septets"),
    [
        ("", b""),
        ("__HLR__", bytes.fromhex("11 11 48 4c 52 11 11")),
        ("__VIBER__: hi", bytes.fromhex("11 11 56 49 42 45 52 11 11 3a 20 68 69")),
        ("\n~~~\nnote", bytes.fromhex("0a 1b 3d 1b 3d 1b 3d 0a 6e 6f 74 65")),
        ("bot:@my_bot", bytes.fromhex("62 6f 74 3a 00 6d 79 11 62 6f 74")),
        ("Grüße {5 €}", b"Gr\x7e\x1ee \x1b\x285 \x1be\x1b\x29"),
    ],
)
def test_texts_both_ways(text: str, septets: bytes) -> None:
    assert gsm0338.encode(text) == septets
    assert gsm0338.decode(septets) == text


@pytest.mark.parametrize(
    ("septets", "text", "why"),
    [
        (b"\x1ba", "a", "no such extension: the basic character"),
        (b"\x1b\x0d", "\r", "0x0D is a control of the extension table, not a character"),
        (b"\x1b\x00", "@", "the basic character may differ from ASCII"),
        (b"\x1b\n\n", "\f\n", "the page break is one"),
        (b"a\x1b\x1bb", "a b", "another extension table is not defined and shows as a space"),
        (b"\x1b\x1b\x1b\x3d", " ~", "pairs are read from the left"),
        (b"a\x1b", "a ", "an escape that escapes nothing"),
        (b"\x1b", " ", "and nothing else"),
    ],
)
def test_escapes_that_encode_never_writes(septets: bytes, text: str, why: str) -> None:
    assert gsm0338.decode(septets) == text, why


@pytest.mark.parametrize(
    ("text", "character", "position"),
    [
        ("`", "`", 0),
        ("a~~ç", "ç", 3),
        ("[Ж", "Ж", 1),
        ("Жук", "Ж", 0),
        ("a\x1be", "\x1b", 1),
        ("~\x1be", "\x1b", 1),
        ("tab\t", "\t", 3),
        ("😀", "😀", 0),
        ("\ud800", "\ud800", 0),
        ("\ufffe", "\ufffe", 0),
    ],
)
def test_what_does_not_fit_is_named(text: str, character: str, position: int) -> None:
    with pytest.raises(Unencodable) as caught:
        gsm0338.encode(text)
    assert (caught.value.character, caught.value.position) == (character, position)
    assert f"U+{ord(character):04X} at position {position}" in str(caught.value)
    assert not gsm0338.fits(text)


def test_an_octet_above_0x7f_is_no_septet() -> None:
    with pytest.raises(Undecodable, match="octet 0xCF at position 1"):
        gsm0338.decode(b"a\xcf\xf0")


@given(st.text(ALPHABET))
def test_decode_undoes_encode(text: str) -> None:
    assert gsm0338.decode(gsm0338.encode(text)) == text


@given(st.text())
def test_encode_loses_nothing_or_raises(text: str) -> None:
    wrong = next((at for at, character in enumerate(text) if character not in ALPHABET), None)
    if wrong is None:
        assert gsm0338.decode(gsm0338.encode(text)) == text
    else:
        with pytest.raises(Unencodable) as caught:
            gsm0338.encode(text)
        assert (caught.value.character, caught.value.position) == (text[wrong], wrong)


@given(st.binary())
def test_decode_raises_undecodable_only(data: bytes) -> None:
    if max(data, default=0) > 0x7F:
        with pytest.raises(Undecodable):
            gsm0338.decode(data)
    else:
        text = gsm0338.decode(data)
        assert gsm0338.decode(gsm0338.encode(text)) == text


def test_the_octets_that_mean_the_same() -> None:
    for code in gsm0338.SAME_AS_ASCII:
        assert gsm0338.decode(bytes((code,))) == chr(code)
    assert not set(b"@$_`[]{}^~|\\\x1b") & set(gsm0338.SAME_AS_ASCII)
    assert set(b"\r\n azAZ09!?:+%=&") <= set(gsm0338.SAME_AS_ASCII)


# Seven bits a character ----------------------------------------------------------------------------------------------


# 3GPP TS 23.038 §6.1.2.1: low bits first. The second is the specimen known from every description of it.
@pytest.mark.parametrize(
    ("septets", "packed"),
    [
        (b"", ""),
        (b"hellohello", "e8329bfd4697d9ec37"),
        (b"12345678", "31d98c56b3dd70"),
        (b"A", "41"),
    ],
)
def test_pack_and_unpack(septets: bytes, packed: str) -> None:
    assert gsm0338.pack(septets).hex() == packed
    assert gsm0338.unpack(bytes.fromhex(packed), len(septets)) == septets


@pytest.mark.parametrize(("header", "bits"), [(0, 0), (6, 1), (7, 0), (5, 2), (12, 2), (8, 6)])
def test_fill_bits_reach_a_septet_boundary(header: int, bits: int) -> None:
    assert gsm0338.fill_bits(header) == bits
    assert (header * 8 + bits) % 7 == 0


def test_text_after_a_header() -> None:
    """Six octets of header and one fill bit: "a" begins at the second bit."""
    packed = gsm0338.pack(b"ab", gsm0338.fill_bits(6))
    assert packed == ((0x61 << 1) | (0x62 << 8)).to_bytes(2, "little")
    assert gsm0338.unpack(packed, 2, 1) == b"ab"


@pytest.mark.parametrize(
    ("septets", "packed", "read"),
    [
        (b"1234567", "31d98c56b3dd1a", b"1234567"),
        (b"1234567\r", "31d98c56b3dd1a0d", b"1234567\r\r"),
        (b"1234567\x00", "31d98c56b3dd00", b"1234567\x00"),
        (b"", "", b""),
        (b"ab", "6131", b"ab"),
    ],
)
def test_without_a_count_a_carriage_return_fills(septets: bytes, packed: str, read: bytes) -> None:
    """§6.1.2.3.1: seven zero bits would read as "@"; a wanted carriage return at the end is doubled."""
    assert gsm0338.pack(septets, counted=False).hex() == packed
    assert gsm0338.unpack(bytes.fromhex(packed)) == read


def test_with_a_count_nothing_is_filled() -> None:
    assert gsm0338.pack(b"1234567").hex() == "31d98c56b3dd00"
    assert gsm0338.unpack(bytes.fromhex("31d98c56b3dd00"), 7) == b"1234567"
    assert gsm0338.unpack(gsm0338.pack(b"1234567\r"), 8) == b"1234567\r"


def test_too_few_octets_for_the_count() -> None:
    with pytest.raises(Undecodable, match="9 septets do not fit into 7 octets"):
        gsm0338.unpack(bytes(7), 9)
    with pytest.raises(Undecodable, match="1 septets do not fit into 0 octets"):
        gsm0338.unpack(b"", 1, 1)


def test_an_octet_above_0x7f_is_not_packed() -> None:
    with pytest.raises(ValueError, match="0x80 is no septet"):
        gsm0338.pack(b"a\x80")


@given(st.binary(max_size=160).map(lambda data: bytes(octet & 0x7F for octet in data)), st.integers(0, 6))
def test_unpack_undoes_pack(septets: bytes, fill: int) -> None:
    packed = gsm0338.pack(septets, fill)
    assert len(packed) == (fill + 7 * len(septets) + 7) // 8
    assert gsm0338.unpack(packed, len(septets), fill) == septets


@given(st.text(ALPHABET.replace("\r", ""), max_size=160))
def test_unpack_undoes_pack_without_a_count(text: str) -> None:
    septets = gsm0338.encode(text)
    assert gsm0338.unpack(gsm0338.pack(septets, counted=False)) == septets
