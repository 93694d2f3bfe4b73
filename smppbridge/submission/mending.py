"""What a client's dialect puts otherwise into a SUBMIT_SM, put as SMPP has it, so that nothing further on knows of it.

Three things, each on when the dialect says so: an esm_class that is wrong about the user data header (`headers`),
septets packed into octets (`data_codings`), and the NUL at the end of a C string (`nul_terminated`). All of them belong
to one PDU, so a part of a long message is mended before it is joined; what a data_coding means besides belongs to the
whole text, and is `commands.dialect`'s. The PDU as it came is what is stored.

What can go wrong: nothing in the octets says that a client is of this kind, so for one that is not, a text loses its
last "@", or its first letters to a header that was none. That is why nothing of this is on by itself.
"""

from __future__ import annotations

from pdu import BadHeader, SubmitSm, Tag, Tlv, gsm0338, is_text, parse_header, segment_of
from pdu.concatenation import payload_of
from pdu.text import CODINGS, Coding

from ..config import Dialect

_UDHI = 0x40
#: data_coding of what may be text or not (smsc.ru SMPP).
_EIGHT_BIT = 4

# How a header for parts and nothing else begins, and its octets: 3GPP TS 23.040 §9.2.3.24.1 and §9.2.3.24.8. The last
# two say how many parts there are and which one it is.
_HEADERS = ((b"\x05\x00\x03", 6), (b"\x06\x08\x04", 7))

_WIDE = frozenset({"ucs2", "ucs2_le", Coding.UCS2})
_SEPTETS = frozenset({"gsm", "gsm_packed", Coding.DEFAULT})
_NO_TEXT = frozenset({"binary", Coding.BINARY, Coding.UNKNOWN})


class Mender:
    """Mends the PDUs of one account, in place. Raises nothing: what cannot be mended is refused further on."""

    __slots__ = ("_codings", "_lenient", "_nul_terminated", "_packed")

    def __init__(self, dialect: Dialect) -> None:
        self._lenient = dialect.headers == "lenient"
        self._nul_terminated = dialect.nul_terminated
        self._codings = dialect.data_codings
        self._packed = frozenset(number for number, means in self._codings.items() if means == "gsm_packed")

    def __call__(self, pdu: SubmitSm) -> None:
        try:
            data = payload_of(pdu)
            if self._lenient:
                _mend_header(pdu, data)
            header = len(data) - len(parse_header(data)[1]) if pdu.esm_class & _UDHI else 0
            front, text = data[:header], data[header:]
            if not _only_parts(front):
                return
            if pdu.data_coding in self._packed:
                text = gsm0338.unpack_uncounted(text, header)
            if self._nul_terminated and _is_last(pdu):
                text = self._without_nul(pdu.data_coding, text)
        except BadHeader:
            return
        if front + text != data:
            _replace(pdu, front + text)

    def _without_nul(self, data_coding: int, text: bytes) -> bytes:
        """Without what ends a C string. In GSM 03.38 a NUL is an "@", so there only one is taken for the end."""
        form = self._codings.get(data_coding, CODINGS[data_coding])
        if form in _NO_TEXT:
            return text
        if form in _WIDE:
            if len(text) % 2 and text.endswith(b"\0"):
                text = text[:-1]
            while text.endswith(b"\0\0"):
                text = text[:-2]
            return text
        if form in _SEPTETS:
            return text.removesuffix(b"\0")
        bare = text.rstrip(b"\0")
        if form in ("eight_bit", Coding.EIGHT_BIT) and not is_text(_EIGHT_BIT, bare):
            return text
        return bare


def mender_for(dialect: Dialect) -> Mender | None:
    """None where there is nothing to mend, so that it costs nothing."""
    packed = "gsm_packed" in dialect.data_codings.values()
    return Mender(dialect) if packed or dialect.nul_terminated or dialect.headers == "lenient" else None


def _mend_header(pdu: SubmitSm, data: bytes) -> None:
    """Let bit 6 of esm_class say what the octets say (SMPP 3.4 §5.2.12)."""
    if pdu.esm_class & _UDHI:
        if not _is_header(data):
            pdu.esm_class &= ~_UDHI
    elif any(data.startswith(begin) and 1 <= data[size - 1] <= data[size - 2] for begin, size in _fitting(data)):
        pdu.esm_class |= _UDHI


def _is_header(data: bytes) -> bool:
    """Whether there is one in front, of elements that have data. UCS2 can look like one of none, or of empty ones:
    "__HLR__" begins with a NUL, and "В 24" is four octets with two empty elements."""
    try:
        elements = parse_header(data)[0].elements
    except BadHeader:
        return False
    return bool(elements) and all(element.data for element in elements)


def _fitting(data: bytes) -> list[tuple[bytes, int]]:
    return [(begin, size) for begin, size in _HEADERS if len(data) > size]


def _only_parts(header: bytes) -> bool:
    """Whether a header says nothing but which part it is: what else has one is for the handset, octet by octet."""
    return not header or not parse_header(header)[0].without_segment().elements


def _is_last(pdu: SubmitSm) -> bool:
    """Whether the text ends in this PDU."""
    segment = segment_of(pdu)
    return segment is None or segment.number == segment.total


def _replace(pdu: SubmitSm, data: bytes) -> None:
    if pdu.short_message:
        pdu.short_message = data
    else:
        pdu.tlvs = [Tlv(tag, data if tag == Tag.MESSAGE_PAYLOAD else value) for tag, value in pdu.tlvs]
