"""What the data_codings of one client mean, both ways: its octets as SMPP has them, and our texts as it reads them.

SMPP 3.4 §5.2.19 and 3GPP TS 23.038 §4 say what a data_coding is, and `pdu.text` reads and writes it so. Where a client
means something else by one, its dialect says what (`data_codings`), and this is the one place that translates: a text
that came is put into the coding that means the same by the specification, a text that goes out is put into one and then
under the number, and into the octets, that the client knows. Everything between them knows the specification alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from pdu import Alphabet, Undecodable, gsm0338

from .config.dialects import Meaning

# The data_codings that mean it by the specification; that of GSM 03.38 holds with this alphabet alone.
_DEFAULT, _ASCII, _BINARY, _LATIN_1, _EIGHT_BIT, _UCS2 = 0, 1, 2, 3, 4, 8
_SPECIFIED: dict[Meaning, int] = {
    "gsm": _DEFAULT,
    "gsm_packed": _DEFAULT,
    "ascii": _ASCII,
    "latin1": _LATIN_1,
    "ucs2": _UCS2,
    "ucs2_le": _UCS2,
    "utf8": _UCS2,
    "eight_bit": _EIGHT_BIT,
    "binary": _BINARY,
}
_GSM: frozenset[Meaning] = frozenset({"gsm", "gsm_packed"})
_UNICODE: frozenset[Meaning] = frozenset({"ucs2", "ucs2_le", "utf8"})


def specified(meaning: Meaning, data: bytes, alphabet: Alphabet) -> tuple[int, bytes, Alphabet]:
    """Octets that came with this meaning → data_coding, octets and alphabet as the specification has them. Septets are
    unpacked already, because a header before them says where they begin (`submission.mending`). Raises `Undecodable`.
    """
    if meaning == "ucs2_le":
        data = _swapped(data)
    elif meaning == "utf8":
        try:
            data = data.decode("utf-8").encode("utf-16-be")
        except UnicodeDecodeError as error:
            raise Undecodable(f"octet {error.start} of {len(data)} is not UTF-8: {error.reason}") from None
    return _SPECIFIED[meaning], data, Alphabet.GSM if meaning in _GSM else alphabet


class Writing:
    """How a text is put for a client: `data_coding` and `alphabet` are what `pdu.split_text` and the like take as
    `prefer` and `alphabet`, and `told` turns what they give into what the client reads."""

    __slots__ = ("_codings", "_preferred", "alphabet", "data_coding")

    def __init__(self, codings: Mapping[int, Meaning], alphabet: Alphabet, prefer: int | None = None) -> None:
        self._codings = codings
        self._preferred = prefer or _DEFAULT
        self.alphabet = alphabet
        self.data_coding = prefer
        meaning = codings.get(self._preferred)
        if meaning is not None:
            # Data is no text and eight bits are a guess: Unicode and ISO-8859-1 are what they can be read as.
            self.data_coding = {_BINARY: _UCS2, _EIGHT_BIT: _LATIN_1}.get(_SPECIFIED[meaning], _SPECIFIED[meaning])
            self.alphabet = Alphabet.GSM if meaning in _GSM else alphabet

    def told(self, data_coding: int, data: bytes, header: int = 0) -> tuple[int, bytes]:
        """What was cut for the specification → the client's data_coding and octets; `header` octets of it are a user
        data header."""
        if not self._codings:
            return data_coding, data
        label = self._label(data_coding)
        meaning = self._codings.get(label)
        front, text = data[:header], data[header:]
        # To a client for which no number means Unicode UCS2 is all that there is, whatever it means by 8.
        if meaning == "gsm_packed" and data_coding != _UCS2:
            text = gsm0338.pack(text, gsm0338.fill_bits(header) if header else 0, counted=False)
        elif meaning == "ucs2_le":
            text = _swapped(text)
        elif meaning == "utf8":
            text = text.decode("utf-16-be").encode("utf-8")
        return label, front + text

    def _label(self, data_coding: int) -> int:
        """The client's number for it: the one that was preferred, or one under which it reads Unicode."""
        meaning = self._codings.get(self._preferred)
        if meaning != "binary" and data_coding == (self.data_coding or _DEFAULT):
            return self._preferred
        if data_coding != _UCS2 or self._codings.get(_UCS2, "ucs2") in _UNICODE:
            return data_coding
        return next((label for label, means in self._codings.items() if means in _UNICODE), data_coding)


def _swapped(data: bytes) -> bytes:
    """Octets of each pair the other way round; one that is left over stays."""
    whole = len(data) & ~1
    swapped = bytearray(data)
    swapped[0:whole:2], swapped[1:whole:2] = data[1:whole:2], data[0:whole:2]
    return bytes(swapped)
