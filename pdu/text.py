"""Text in the codings of SMPP: which data_coding means what, and the way there and back.

SMPP 3.4 §5.2.19 names the values 0 to 14, 3GPP TS 23.038 §4 the groups above them (message class, message waiting).
Clients of smsc.ru write coding × 4: 0 the default alphabet, 4 eight bits (text in ISO-8859-1 as well as binary data),
8 UCS2; so 4 may be text here, where SMPP leaves it open.

Nothing is lost without a word: what cannot be written raises `Unencodable` or goes to UCS2, what cannot be read raises
`Undecodable`. No "?" ever stands for a character.
"""

from __future__ import annotations

from enum import Enum, StrEnum

from . import gsm0338
from .gsm0338 import Undecodable, Unencodable


class Alphabet(StrEnum):
    """What the default alphabet (data_coding 0) is: settled at bind time (smsc.ru SMPP: system_type `ISO`)."""

    GSM = "gsm"
    ISO = "iso"


class Coding(Enum):
    """How the octets of a message are to be read."""

    #: The default alphabet: GSM 03.38 or ISO-8859-1 (`Alphabet`).
    DEFAULT = "the default alphabet"
    ASCII = "ASCII"
    LATIN_1 = "ISO-8859-1"
    CYRILLIC = "ISO-8859-5"
    HEBREW = "ISO-8859-8"
    UCS2 = "UCS2"
    #: data_coding 4: ISO-8859-1 or no text at all, and only the octets can tell.
    EIGHT_BIT = "eight bits"
    #: No text.
    BINARY = "binary data"
    #: Text of a kind that is not read here (Japanese, Korean, compressed) and values that mean nothing yet.
    UNKNOWN = "unknown"


# SMPP 3.4 §5.2.19. The Japanese and Korean ones (5, 9, 10, 13, 14) do not say which octets they take.
_SMPP = {
    0: Coding.DEFAULT,
    1: Coding.ASCII,
    2: Coding.BINARY,
    3: Coding.LATIN_1,
    4: Coding.EIGHT_BIT,
    6: Coding.CYRILLIC,
    7: Coding.HEBREW,
    8: Coding.UCS2,
}


def _coding_of(value: int) -> Coding:
    if value < 0x10:
        return _SMPP.get(value, Coding.UNKNOWN)
    # 3GPP TS 23.038 §4: 00 general, 01 marked for automatic deletion; bit 5 compressed, bits 3-2 the alphabet.
    if value < 0x80 and not value & 0x20:
        return (Coding.DEFAULT, Coding.BINARY, Coding.UCS2, Coding.UNKNOWN)[value >> 2 & 3]
    # 1100 and 1101 message waiting in the default alphabet, 1110 in UCS2; 1111 message class, bit 2 the alphabet.
    if 0xC0 <= value < 0xE0:
        return Coding.DEFAULT
    if 0xE0 <= value < 0xF0:
        return Coding.UCS2
    if value >= 0xF0:
        return Coding.BINARY if value & 0x04 else Coding.DEFAULT
    return Coding.UNKNOWN


#: Every value of the octet.
CODINGS: tuple[Coding, ...] = tuple(_coding_of(value) for value in range(256))

_CODECS = {
    Coding.ASCII: "ascii",
    Coding.LATIN_1: "latin-1",
    Coding.EIGHT_BIT: "latin-1",
    Coding.CYRILLIC: "iso8859-5",
    Coding.HEBREW: "iso8859-8",
    Coding.UCS2: "utf-16-be",
}

# Control characters that no text has; tab, line feed, form feed and carriage return are text.
_CONTROLS = bytes((set(range(0x20)) - set(b"\t\n\f\r")) | set(range(0x7F, 0xA0)))


def is_text(data_coding: int, data: bytes = b"") -> bool:
    """Whether a message is text. Under data_coding 4 the octets decide: text has no control characters.

    True also for the codings that `decode_text` refuses: text that cannot be read is still no binary message.
    """
    coding = CODINGS[data_coding]
    if coding is Coding.EIGHT_BIT:
        return len(data.translate(None, _CONTROLS)) == len(data)
    return coding is not Coding.BINARY


def is_default(data_coding: int) -> bool:
    """Whether the octets are in the default alphabet, whatever that is for the client."""
    return CODINGS[data_coding] is Coding.DEFAULT


def is_ucs2(data_coding: int) -> bool:
    return CODINGS[data_coding] is Coding.UCS2


def is_flash(data_coding: int) -> bool:
    """Message class 0, shown at once (3GPP TS 23.038 §4): class 0 under bit 4 (0x10, 0x18) or under 0xF0."""
    return (data_coding & 0x93 == 0x10) or (data_coding & 0xF3 == 0xF0)


def decode_text(data: bytes, data_coding: int, alphabet: Alphabet = Alphabet.GSM) -> str:
    """Octets → text, strictly: what the coding does not have raises `Undecodable`."""
    coding = CODINGS[data_coding]
    if coding is Coding.DEFAULT:
        return gsm0338.decode(data) if alphabet == Alphabet.GSM else data.decode("latin-1")
    codec = _CODECS.get(coding)
    if codec is None:
        raise Undecodable(f"data_coding 0x{data_coding:02X} is {coding.value}, not a text that is read here")
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        raise Undecodable(f"octet {error.start} of {len(data)} is not {coding.value}: {error.reason}") from None


def encode_as(text: str, data_coding: int, alphabet: Alphabet = Alphabet.GSM) -> bytes:
    """Text → octets of this data_coding. Raises `Unencodable` where a character does not fit."""
    coding = CODINGS[data_coding]
    if coding is Coding.DEFAULT and alphabet == Alphabet.GSM:
        return gsm0338.encode(text)
    codec = "latin-1" if coding is Coding.DEFAULT else _CODECS.get(coding)
    if codec is None:
        raise ValueError(f"data_coding 0x{data_coding:02X} is {coding.value}, not a text that is written here")
    try:
        return text.encode(codec)
    except UnicodeEncodeError as error:
        name = "ISO-8859-1" if coding is Coding.DEFAULT else coding.value
        raise Unencodable(text[error.start], error.start, name) from None


def encode_text(text: str, *, alphabet: Alphabet = Alphabet.GSM, prefer: int | None = None) -> tuple[int, bytes]:
    """Text → data_coding and octets: `prefer` (or the default alphabet) if every character fits, else UCS2.

    Raises `Unencodable` only for a lone surrogate, which no coding has.
    """
    wanted = 0 if prefer is None else prefer
    try:
        return wanted, encode_as(text, wanted, alphabet)
    except Unencodable:
        return 8, encode_as(text, 8)
