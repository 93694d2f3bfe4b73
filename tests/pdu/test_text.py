import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdu import (
    Alphabet,
    Coding,
    Undecodable,
    Unencodable,
    decode_text,
    encode_as,
    encode_text,
    is_default,
    is_flash,
    is_text,
    is_ucs2,
)
from pdu.text import CODINGS

# SMPP 3.4 §5.2.19 below 0x10, 3GPP TS 23.038 §4 from there on.
CODED = [
    (0x00, Coding.DEFAULT),
    (0x01, Coding.ASCII),
    (0x02, Coding.BINARY),
    (0x03, Coding.LATIN_1),
    (0x04, Coding.EIGHT_BIT),
    (0x05, Coding.UNKNOWN),
    (0x06, Coding.CYRILLIC),
    (0x07, Coding.HEBREW),
    (0x08, Coding.UCS2),
    (0x09, Coding.UNKNOWN),
    (0x0A, Coding.UNKNOWN),
    (0x0D, Coding.UNKNOWN),
    (0x0E, Coding.UNKNOWN),
    (0x0F, Coding.UNKNOWN),
    (0x10, Coding.DEFAULT),
    (0x13, Coding.DEFAULT),
    (0x14, Coding.BINARY),
    (0x17, Coding.BINARY),
    (0x18, Coding.UCS2),
    (0x1B, Coding.UCS2),
    (0x1C, Coding.UNKNOWN),
    (0x20, Coding.UNKNOWN),
    (0x3F, Coding.UNKNOWN),
    (0x40, Coding.DEFAULT),
    (0x48, Coding.UCS2),
    (0x54, Coding.BINARY),
    (0x60, Coding.UNKNOWN),
    (0x80, Coding.UNKNOWN),
    (0xBF, Coding.UNKNOWN),
    (0xC0, Coding.DEFAULT),
    (0xDF, Coding.DEFAULT),
    (0xE0, Coding.UCS2),
    (0xEF, Coding.UCS2),
    (0xF0, Coding.DEFAULT),
    (0xF3, Coding.DEFAULT),
    (0xF4, Coding.BINARY),
    (0xF7, Coding.BINARY),
    (0xFF, Coding.BINARY),
]


@pytest.mark.parametrize(("data_coding", "coding"), CODED)
def test_what_data_coding_means(data_coding: int, coding: Coding) -> None:
    assert CODINGS[data_coding] is coding
    assert is_default(data_coding) is (coding is Coding.DEFAULT)
    assert is_ucs2(data_coding) is (coding is Coding.UCS2)
    assert is_text(data_coding) is (coding is not Coding.BINARY)


def test_flash_is_message_class_0() -> None:
    flash = [value for value in range(256) if is_flash(value) and CODINGS[value] is not Coding.UNKNOWN]
    assert flash == [0x10, 0x14, 0x18, 0x50, 0x54, 0x58, 0xF0, 0xF4, 0xF8, 0xFC]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", True),
        (b"__VIBER__: hi\r\n~~~\n", True),
        ("Größe\t5\xa0£\f".encode("latin-1"), True),
        (bytes.fromhex("0605040b8423f0"), False),
        (b"a\x00", False),
        (b"\x1b", False),
        (b"\x7f", False),
        ("Привет".encode(), False),
    ],
)
def test_eight_bits_are_text_without_control_characters(data: bytes, text: bool) -> None:
    assert is_text(4, data) is text
    assert not is_text(2, data)
    assert is_text(0, data)


# Text, its octets, their data_coding, and what the default alphabet is.
PAIRS = [
    ("a_~€@", bytes.fromhex("61 11 1b3d 1b65 00"), 0x00, Alphabet.GSM),
    ("a_~@é", bytes.fromhex("61 5f 7e 40 e9"), 0x00, Alphabet.ISO),
    ("a_~@", bytes.fromhex("61 11 1b3d 00"), 0xF0, Alphabet.GSM),
    ("a_~@", b"a_~@", 0x10, Alphabet.ISO),
    ("a_~@", b"a_~@", 0x01, Alphabet.GSM),
    ("Grüße @_~", b"Gr\xfc\xdfe @_~", 0x03, Alphabet.GSM),
    ("Grüße @_~", b"Gr\xfc\xdfe @_~", 0x04, Alphabet.GSM),
    ("Привет", bytes.fromhex("bf e0 d8 d2 d5 e2"), 0x06, Alphabet.GSM),
    ("שלום", bytes.fromhex("f9 ec e5 ed"), 0x07, Alphabet.GSM),
    ("Привет", bytes.fromhex("041f 0440 0438 0432 0435 0442"), 0x08, Alphabet.GSM),
    ("😀!", bytes.fromhex("d83d de00 0021"), 0x18, Alphabet.ISO),
    ("ľščťžýáíéúäňô", "ľščťžýáíéúäňô".encode("utf-16-be"), 0xE0, Alphabet.GSM),
]


@pytest.mark.parametrize(("text", "data", "data_coding", "alphabet"), PAIRS)
def test_both_ways(text: str, data: bytes, data_coding: int, alphabet: Alphabet) -> None:
    assert decode_text(data, data_coding, alphabet) == text
    assert encode_as(text, data_coding, alphabet) == data


@pytest.mark.parametrize(
    ("data", "data_coding", "reason"),
    [
        (b"a\xcf", 0x00, "octet 0xCF at position 1"),
        (b"a\xcf", 0xF0, "octet 0xCF at position 1"),
        (b"a\xcf", 0x01, "octet 1 of 2 is not ASCII"),
        (b"\xa1\xff", 0x07, "octet 0 of 2 is not ISO-8859-8"),
        (b"\x04\x1f\x04", 0x08, "octet 2 of 3 is not UCS2: truncated data"),
        (b"\x00a\xd8\x3d\x00b", 0x08, "octet 2 of 6 is not UCS2"),
        (b"\x00a\xde\x00", 0x08, "octet 2 of 4 is not UCS2"),
        (b"\x00a\xd8\x3d", 0x18, "octet 2 of 4 is not UCS2"),
        (b"abc", 0x02, "data_coding 0x02 is binary data"),
        (b"abc", 0xF5, "data_coding 0xF5 is binary data"),
        (b"abc", 0x05, "data_coding 0x05 is unknown"),
        (b"abc", 0x20, "data_coding 0x20 is unknown"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, data_coding: int, reason: str) -> None:
    with pytest.raises(Undecodable) as caught:
        decode_text(data, data_coding)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "data_coding", "alphabet", "character", "position"),
    [
        ("aЖ", 0x00, Alphabet.GSM, "Ж", 1),
        ("aЖ", 0x00, Alphabet.ISO, "Ж", 1),
        ("Preis 5 €", 0x00, Alphabet.ISO, "€", 8),
        ("é", 0x01, Alphabet.GSM, "é", 0),
        ("a\ud83d", 0x08, Alphabet.GSM, "\ud83d", 1),
    ],
)
def test_what_cannot_be_written_is_named(
    text: str, data_coding: int, alphabet: Alphabet, character: str, position: int
) -> None:
    with pytest.raises(Unencodable) as caught:
        encode_as(text, data_coding, alphabet)
    assert (caught.value.character, caught.value.position) == (character, position)


@pytest.mark.parametrize("data_coding", [0x02, 0x05, 0x20, 0xF5])
def test_no_text_is_written_as_binary_or_unknown(data_coding: int) -> None:
    with pytest.raises(ValueError, match="not a text that is written here"):
        encode_as("a", data_coding)


@pytest.mark.parametrize(
    ("text", "alphabet", "prefer", "data_coding"),
    [
        ("", Alphabet.GSM, None, 0),
        ("5 €", Alphabet.GSM, None, 0),
        ("5 €", Alphabet.ISO, None, 8),
        ("5 £", Alphabet.ISO, None, 0),
        ("ça va", Alphabet.GSM, None, 8),
        ("ça va", Alphabet.ISO, None, 0),
        ("ça va", Alphabet.GSM, 3, 3),
        ("Привет", Alphabet.GSM, None, 8),
        ("Привет", Alphabet.GSM, 6, 6),
        ("Привет", Alphabet.GSM, 4, 8),
        ("hi", Alphabet.GSM, 8, 8),
        ("😀", Alphabet.ISO, 1, 8),
    ],
)
def test_the_coding_that_takes_every_character(
    text: str, alphabet: Alphabet, prefer: int | None, data_coding: int
) -> None:
    chosen, data = encode_text(text, alphabet=alphabet, prefer=prefer)
    assert chosen == data_coding
    assert decode_text(data, chosen, alphabet) == text


def test_a_lone_surrogate_fits_nowhere() -> None:
    with pytest.raises(Unencodable, match="U\\+DE00 at position 2 is not in UCS2"):
        encode_text("ab\ude00")


@given(
    st.text(),
    st.sampled_from(Alphabet),
    st.sampled_from([None, *(code for code in range(256) if is_text(code) and CODINGS[code] is not Coding.UNKNOWN)]),
)
def test_no_text_is_lost(text: str, alphabet: Alphabet, prefer: int | None) -> None:
    data_coding, data = encode_text(text, alphabet=alphabet, prefer=prefer)
    assert decode_text(data, data_coding, alphabet) == text


@given(st.binary(), st.integers(0, 255), st.sampled_from(Alphabet))
def test_reading_raises_undecodable_only(data: bytes, data_coding: int, alphabet: Alphabet) -> None:
    try:
        text = decode_text(data, data_coding, alphabet)
    except Undecodable:
        return
    # Only a strange escape is written otherwise than it was read; what it shows is the same.
    assert decode_text(encode_as(text, data_coding, alphabet), data_coding, alphabet) == text
