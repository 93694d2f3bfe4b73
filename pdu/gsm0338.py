"""The default alphabet of short messages: GSM 03.38, today 3GPP TS 23.038 §6.2.1.

`encode` and `decode` work on unpacked septets, one to an octet with the high bit clear: that is how SMPP carries
them. `pack` and `unpack` are for the few places that want seven bits a character (3GPP TS 23.038 §6.1.2).

Nothing is lost without a word: a character that the alphabet does not have raises `Unencodable`, an octet above 0x7F
raises `Undecodable`.
"""

from __future__ import annotations

import codecs
import re
from typing import Final


class Unencodable(ValueError):
    """A character that the alphabet does not have."""

    def __init__(self, character: str, position: int, alphabet: str) -> None:
        super().__init__(f"character U+{ord(character):04X} at position {position} is not in {alphabet}")
        self.character = character
        self.position = position
        self.alphabet = alphabet


class Undecodable(ValueError):
    """Octets that are no text in the coding they are said to be in. The message says why, never what they are."""


ESCAPE: Final = 0x1B

#: 3GPP TS 23.038 §6.2.1, in the order of the codes; the escape stands for itself. 0x09 is the capital Ç.
BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)

#: 3GPP TS 23.038 §6.2.1.1: what the code means after an escape. 0x0A is the page break (form feed).
EXTENSION: Final = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}

#: The octets that mean the same character here, in ASCII and in ISO-8859-1.
SAME_AS_ASCII: Final = bytes(code for code, character in enumerate(BASIC) if code == ord(character) and code != ESCAPE)

_NAME = "the GSM 03.38 alphabet"

# For the charmap codec, which is C and takes octets as well as numbers. The escape is no character of the alphabet.
_ENCODING: Final[dict[int, int | bytes]] = {
    **{ord(character): code for code, character in enumerate(BASIC) if code != ESCAPE},
    **{ord(character): bytes((ESCAPE, code)) for code, character in EXTENSION.items()},
}

_PAIR = re.compile("\x1b(.?)", re.DOTALL)
# After an escape: the extended character where there is one, else the character of the basic table. A second escape
# asks for a table that is not defined yet and shows as a space (§6.2.1.1 note 1), and so does an escape at the end.
_SHOWN = {character: EXTENSION.get(code, character) for code, character in enumerate(BASIC)} | {"\x1b": " ", "": " "}


def encode(text: str) -> bytes:
    """Text → unpacked septets, one or (with the escape) two a character. Raises `Unencodable`."""
    if text.isascii():
        data = text.encode("ascii")
        # Deleting what needs no translation is one pass in C, and for ordinary texts it leaves nothing.
        if not data.translate(None, SAME_AS_ASCII):
            return data
    try:
        return codecs.charmap_encode(text, "strict", _ENCODING)[0]
    except UnicodeEncodeError as error:
        raise Unencodable(text[error.start], error.start, _NAME) from None


def decode(data: bytes) -> str:
    """Unpacked septets → text. Raises `Undecodable` for octets above 0x7F.

    An escape before a code that is not in the extension table shows that code's basic character (§6.2.1.1); two
    escapes, and an escape at the end, show a space.
    """
    if not data.translate(None, SAME_AS_ASCII):
        return data.decode("ascii")
    try:
        text: str = codecs.charmap_decode(data, "strict", BASIC)[0]
    except UnicodeDecodeError as error:
        raise Undecodable(f"octet 0x{data[error.start]:02X} at position {error.start} is no GSM 03.38 septet") from None
    return _PAIR.sub(_shown, text) if "\x1b" in text else text


def fits(text: str) -> bool:
    """Whether `encode` would take the text."""
    try:
        encode(text)
    except Unencodable:
        return False
    return True


def _shown(match: re.Match[str]) -> str:
    return _SHOWN[match[1]]


# Seven bits a character ----------------------------------------------------------------------------------------------

CR: Final = 0x0D


def fill_bits(header_length: int) -> int:
    """Bits to skip after a user data header of so many octets (its length octet included), so that septets begin on
    a septet boundary (3GPP TS 23.040 §9.2.3.24)."""
    return -8 * header_length % 7


def pack(septets: bytes, fill: int = 0, *, counted: bool = True) -> bytes:
    """Septets → seven bits each, low bits first, after `fill` zero bits (3GPP TS 23.038 §6.1.2.1).

    `counted` says that the number of septets travels beside the data, as it does in a short message. Where it does
    not (USSD, §6.1.2.3), seven spare bits at the end would read as "@" and are filled with a carriage return; a
    carriage return of the text that ends on an octet is then doubled.
    """
    bits = fill
    packed = 0
    for septet in septets:
        if septet > 0x7F:
            raise ValueError(f"octet 0x{septet:02X} is no septet")
        packed |= septet << bits
        bits += 7
    if not counted and septets:
        ends_on_octet = bits % 8 == 0
        if bits % 8 == 1 or (ends_on_octet and septets[-1] == CR):
            packed |= CR << bits
            bits += 7
    return packed.to_bytes((bits + 7) // 8, "little")


def unpack(data: bytes, count: int | None = None, fill: int = 0) -> bytes:
    """Seven bits each → septets. Without `count`, a carriage return in the last seven bits is the filling of `pack`.

    Raises `Undecodable` where the data is too short for `count`.
    """
    available = max(0, len(data) * 8 - fill) // 7
    if count is not None and count > available:
        raise Undecodable(f"{count} septets do not fit into {len(data)} octets")
    packed = int.from_bytes(data, "little") >> fill
    septets = bytes(packed >> shift & 0x7F for shift in range(0, 7 * (available if count is None else count), 7))
    if count is None and (fill + 7 * available) % 8 == 0 and septets.endswith(b"\r"):
        return septets[:-1]
    return septets


def unpack_uncounted(data: bytes, header_length: int = 0) -> bytes:
    """Septets of user data behind a header of so many octets, where nobody says how many there are, as in SMPP.

    Seven spare bits at the end are a carriage return where the sender knows §6.1.2.3.1, and zeros where it does not;
    neither is text. So a text whose last character is "@" and ends on an octet loses it: eight characters, sixteen, and
    so on without a header. Nothing in the octets says which was meant, and texts that end in "@" are the rarer ones.
    """
    fill = fill_bits(header_length) if header_length else 0
    septets = unpack(data, fill=fill)
    bits = fill + 7 * len(septets)
    if bits == 8 * len(data) and septets.endswith(b"\0"):
        return septets[:-1]
    return septets
