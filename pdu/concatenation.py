"""Long messages: the user data header, the SAR parameters, cutting a text into parts and putting parts together.

A part says what it is in a header before its user data (3GPP TS 23.040 §9.2.3.24, esm_class bit 0x40) or in three
optional parameters (SMPP 3.4 §5.3.2.22 to 24). A receiving handset passes over a header it cannot read; an SMSC can
still tell the sender, so here such a header is `BadHeader` and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from .constants import CommandStatus, DataCoding, Tag
from .declaration import DataSm, DeliverSm, SubmitMulti, SubmitSm
from .text import CODINGS, Alphabet, Coding, encode_text

#: The PDUs that carry user data.
Carrier: TypeAlias = SubmitSm | DeliverSm | SubmitMulti | DataSm

# esm_class: the user data begins with a header. A plain number, for the sake of speed.
_UDHI = 0x40

# 3GPP TS 23.040 §9.2.3.24.1 and §9.2.3.24.8: concatenation with a reference of 8 and of 16 bits.
_CONCATENATED = 0x00
_CONCATENATED_WIDE = 0x08
# 3GPP TS 23.040 §9.2.3.24.3 and .4: application port addresses of 8 and of 16 bits.
_PORTS = 0x04
_PORTS_WIDE = 0x05


class BadHeader(ValueError):
    """The user data cannot be read, for the reason given: its header or its SAR parameters contradict themselves.

    SMPP 3.4 §5.1.3 has statuses for what is wrong with an optional parameter, and none for a header in the user data.
    """

    def __init__(self, reason: str, status: CommandStatus = CommandStatus.ESME_RSUBMITFAIL) -> None:
        super().__init__(reason)
        self.status = status


class Segment(NamedTuple):
    """Which part of which long message: parts with the same reference belong together, `number` counts from 1."""

    reference: int
    total: int
    number: int


class Element(NamedTuple):
    """An information element of a user data header."""

    id: int
    data: bytes


class Header(NamedTuple):
    elements: tuple[Element, ...]

    @property
    def segment(self) -> Segment | None:
        """What the concatenation element says; of several, whatever their form, the last counts (§9.2.3.24)."""
        for id, data in reversed(self.elements):
            if id == _CONCATENATED and len(data) == 3:
                return Segment(data[0], data[1], data[2])
            if id == _CONCATENATED_WIDE and len(data) == 4:
                return Segment(int.from_bytes(data[:2], "big"), data[2], data[3])
            if id in (_CONCATENATED, _CONCATENATED_WIDE):
                raise BadHeader(f"a concatenation element has {len(data)} octets")
        return None

    @property
    def has_ports(self) -> bool:
        """It is for an application on the handset (ring tone, WAP push), not for a reader."""
        return any(id in (_PORTS, _PORTS_WIDE) for id, _ in self.elements)

    def without_segment(self) -> Header:
        return Header(tuple(one for one in self.elements if one.id not in (_CONCATENATED, _CONCATENATED_WIDE)))

    def encode(self) -> bytes:
        """The header with its length octet; nothing at all where there is no element."""
        elements = b"".join(bytes((id, len(data))) + data for id, data in self.elements)
        return bytes((len(elements),)) + elements if elements else b""


# Reading a PDU -------------------------------------------------------------------------------------------------------


def parse_header(data: bytes) -> tuple[Header, bytes]:
    """User data that begins with a header → the header, and the rest. Raises `BadHeader`."""
    if not data:
        raise BadHeader("there is no user data where a header should be")
    end = data[0] + 1
    if end > len(data):
        raise BadHeader(f"the header has {end} octets, the user data {len(data)}")
    elements: list[Element] = []
    at = 1
    while at < end:
        if at + 2 > end or at + 2 + data[at + 1] > end:
            raise BadHeader(f"element {len(elements) + 1} is longer than the header")
        elements.append(Element(data[at], data[at + 2 : at + 2 + data[at + 1]]))
        at += 2 + data[at + 1]
    return Header(tuple(elements)), data[end:]


def payload_of(pdu: Carrier) -> bytes:
    """All of the user data, from short_message or message_payload (SMPP 3.4 §5.3.2.32: never from both)."""
    short = b"" if isinstance(pdu, DataSm) else pdu.short_message
    payload = pdu.tlv(Tag.MESSAGE_PAYLOAD) if pdu.tlvs else None
    if payload is None:
        return short
    if short and payload:
        raise BadHeader("short_message and message_payload both have data")
    return short or payload


def segment_of(pdu: Carrier) -> Segment | None:
    """Which part of a long message this is; None for a message that is whole, "part 1 of 1" included.

    Raises `BadHeader` for what cannot be a part (part 0, part 3 of 2, of 0) and where header and SAR disagree.
    """
    if not pdu.tlvs and not pdu.esm_class & _UDHI:
        return None
    segment = parse_header(payload_of(pdu))[0].segment if pdu.esm_class & _UDHI else None
    sar = _sar_of(pdu)
    for one in (segment, sar):
        if one is not None and not 1 <= one.number <= one.total:
            status = CommandStatus.ESME_RSUBMITFAIL if one is segment else CommandStatus.ESME_RINVOPTPARAMVAL
            raise BadHeader(f"part {one.number} of {one.total}", status)
    if segment is not None and sar is not None and segment[1:] != sar[1:]:
        raise BadHeader("the header and the SAR parameters name different parts")
    found = segment or sar
    return found if found is not None and found.total > 1 else None


def _sar_of(pdu: Carrier) -> Segment | None:
    """SMPP 3.4 §5.3.2.22 to 24: one of the three without the others is to be ignored."""
    reference = pdu.tlv(Tag.SAR_MSG_REF_NUM)
    total = pdu.tlv(Tag.SAR_TOTAL_SEGMENTS)
    number = pdu.tlv(Tag.SAR_SEGMENT_SEQNUM)
    if reference is None or total is None or number is None:
        return None
    if (len(reference), len(total), len(number)) != (2, 1, 1):
        raise BadHeader("the SAR parameters are not of 2, 1 and 1 octets", CommandStatus.ESME_RINVPARLEN)
    return Segment(int.from_bytes(reference, "big"), total[0], number[0])


def user_data(pdu: Carrier) -> tuple[bytes, bytes]:
    """The header without its concatenation (nothing, if that was all of it), and the data after the header.

    A header that is left over says that the message is not plain text: ports, national tables, SIM toolkit. Such a
    message goes on as binary data, header first. Of parts, the first one's header stands for all.
    """
    payload = payload_of(pdu)
    if not pdu.esm_class & _UDHI:
        return b"", payload
    header, body = parse_header(payload)
    return header.without_segment().encode(), body


def body_of(pdu: Carrier) -> bytes:
    """The user data without its concatenation; what else the header says stays in front of it (`user_data`)."""
    header, body = user_data(pdu)
    return header + body


def join(parts: Iterable[tuple[Segment, bytes]]) -> bytes:
    """Parts in any order → the whole body. A repeated part must be the same; raises ValueError where one is missing.

    Octets are joined before they are read as text: a sender may cut an escape or a surrogate pair in two.
    """
    bodies: dict[int, bytes] = {}
    message: tuple[int, int] | None = None
    for segment, body in parts:
        message = message or segment[:2]
        if segment[:2] != message:
            raise ValueError("parts of different messages")
        if bodies.setdefault(segment.number, body) != body:
            raise ValueError(f"two different parts {segment.number}")
    if message is None or bodies.keys() != set(range(1, message[1] + 1)):
        raise ValueError("not all parts are there")
    return b"".join(bodies[number] for number in sorted(bodies))


# Cutting a text ------------------------------------------------------------------------------------------------------

# A short message has 140 octets, 160 septets (3GPP TS 23.040 §9.2.3.16). SMPP carries a septet in an octet, so the
# default alphabet may fill 160 octets of user data; the header takes 6 octets (7 with a wide reference) from 140.
_WHOLE = {7: 160, 8: 140, 16: 140}
_PART = {7: 153, 8: 134, 16: 134}
_PART_WIDE = {7: 152, 8: 133, 16: 132}


def segment_header(segment: Segment, *, wide_reference: bool = False) -> bytes:
    """The user data header of one part; the reference is taken modulo 256, or 65,536 with `wide_reference`."""
    if wide_reference:
        place = (segment.reference & 0xFFFF).to_bytes(2, "big") + bytes(segment[1:])
        return Header((Element(_CONCATENATED_WIDE, place),)).encode()
    return Header((Element(_CONCATENATED, bytes((segment.reference & 0xFF, *segment[1:]))),)).encode()


def split_text(
    text: str,
    *,
    reference: int,
    alphabet: Alphabet = Alphabet.GSM,
    prefer: int | None = None,
    wide_reference: bool = False,
) -> list[tuple[int, bytes]]:
    """Text → data_coding and user data of each part, header included; one without a header where it fits into one.

    More than one part means that esm_class needs the bit 0x40. Raises ValueError beyond 255 parts.
    """
    data_coding, parts = _cut(text, alphabet, prefer, _PART_WIDE if wide_reference else _PART)
    if len(parts) == 1:
        return [(data_coding, parts[0])]
    segments = (Segment(reference, len(parts), number) for number in range(1, len(parts) + 1))
    headers = (segment_header(segment, wide_reference=wide_reference) for segment in segments)
    return [(data_coding, header + part) for header, part in zip(headers, parts, strict=True)]


def split_sar(
    text: str, *, reference: int, alphabet: Alphabet = Alphabet.GSM, prefer: int | None = None
) -> list[tuple[int, bytes, Segment | None]]:
    """As `split_text`, for the SAR parameters: each part with its segment, whose three numbers are their values."""
    data_coding, parts = _cut(text, alphabet, prefer, _PART)
    if len(parts) == 1:
        return [(data_coding, parts[0], None)]
    total = len(parts)
    return [
        (data_coding, part, Segment(reference & 0xFFFF, total, number)) for number, part in enumerate(parts, start=1)
    ]


def _cut(text: str, alphabet: Alphabet, prefer: int | None, limits: dict[int, int]) -> tuple[int, Sequence[bytes]]:
    data_coding, data = encode_text(text, alphabet=alphabet, prefer=prefer)
    coding = CODINGS[data_coding]
    septets = coding is Coding.DEFAULT and alphabet == Alphabet.GSM
    bits = 16 if coding is Coding.UCS2 else 7 if septets or data_coding == DataCoding.IA5 else 8
    if len(data) <= _WHOLE[bits]:
        return data_coding, [data]
    parts = []
    at = 0
    while at < len(data):
        end = min(at + limits[bits], len(data))
        if end < len(data):
            if septets and data[end - 1] == 0x1B:
                end -= 1  # an escape and what it escapes stay together
            elif bits == 16 and 0xD8 <= data[end - 2] <= 0xDB:
                end -= 2  # and so do the two halves of a surrogate pair
        parts.append(data[at:end])
        at = end
    if len(parts) > 255:
        raise ValueError(f"the text takes {len(parts)} parts, and there may be 255")
    return data_coding, parts
