"""TLVs, the optional parameters at the end of a PDU (SMPP 3.4 §3.2.4, §5.3; SMPP 5.0 §4.8).

A PDU keeps its TLVs as they came: tag and octets, in order, repeated or unknown ones too, because a gateway hands on
what it does not understand. What the octets of a known tag mean is read on request (`Pdu.option`), so that a TLV nobody
asks for cannot be wrong.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

import construct as cs
import construct_typed as ct

from .constants import Tag, VendorTag
from .errors import EncodeError


class Tlv(NamedTuple):
    """One optional parameter, as it stands on the wire."""

    tag: int
    value: bytes

    def __repr__(self) -> str:
        return f"Tlv({name_of(self.tag)}, {self.value!r})"


class _TlvAdapter(ct.Adapter[Any, Any, Tlv, Tlv]):
    def _decode(self, obj: Any, context: Any, path: Any) -> Tlv:
        return Tlv(obj.tag, obj.value)

    def _encode(self, obj: Tlv, context: Any, path: Any) -> dict[str, Any]:
        return {"tag": obj[0], "value": obj[1]}


TLV: Any = _TlvAdapter(cs.Struct("tag" / cs.Int16ub, "value" / cs.Prefixed(cs.Int16ub, cs.GreedyBytes)))

#: The TLVs of a PDU: as many as there are up to its very end. `GreedyRange` stops silently before a broken one, so that
#: `Terminated` tells it.
TLVS = cs.FocusedSeq("tlvs", "tlvs" / cs.GreedyRange(TLV), "end" / cs.Terminated)


class Kind(Enum):
    """How the value of a TLV is written (SMPP 3.4 §3.1)."""

    INTEGER = "integer"
    C_OCTETS = "octet string with NUL"
    OCTETS = "octet string"


class Wire(NamedTuple):
    """The wire type of a TLV: its kind and how many octets it may have, a C-octet string's NUL counted."""

    kind: Kind
    least: int
    most: int

    def __str__(self) -> str:
        size = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
        return f"{self.kind.value} of {size} octet{'' if size == '1' else 's'}"


def _integer(size: int, most: int | None = None) -> Wire:
    return Wire(Kind.INTEGER, size, most or size)


def _c_octets(most: int) -> Wire:
    return Wire(Kind.C_OCTETS, 1, most)


def _octets(least: int, most: int) -> Wire:
    return Wire(Kind.OCTETS, least, most)


#: The longest value a TLV can have: its length is an integer of two octets.
MAX_VALUE = 0xFFFF

#: The wire type of every tag that has a name. SMPP 3.4 §5.3.2, then SMPP 5.0 §4.8.4, in the order of the tags.
WIRE: dict[int, Wire] = {
    Tag.DEST_ADDR_SUBUNIT: _integer(1),
    Tag.DEST_NETWORK_TYPE: _integer(1),
    Tag.DEST_BEARER_TYPE: _integer(1),
    Tag.DEST_TELEMATICS_ID: _integer(2),
    Tag.SOURCE_ADDR_SUBUNIT: _integer(1),
    Tag.SOURCE_NETWORK_TYPE: _integer(1),
    Tag.SOURCE_BEARER_TYPE: _integer(1),
    #: One octet in 3.4 §5.3.2.8; many write two, as in dest_telematics_id.
    Tag.SOURCE_TELEMATICS_ID: _integer(1, 2),
    Tag.QOS_TIME_TO_LIVE: _integer(4),
    Tag.PAYLOAD_TYPE: _integer(1),
    Tag.ADDITIONAL_STATUS_INFO_TEXT: _c_octets(256),
    Tag.RECEIPTED_MESSAGE_ID: _c_octets(65),
    Tag.MS_MSG_WAIT_FACILITIES: _integer(1),
    Tag.PRIVACY_INDICATOR: _integer(1),
    Tag.SOURCE_SUBADDRESS: _octets(2, 23),
    Tag.DEST_SUBADDRESS: _octets(2, 23),
    Tag.USER_MESSAGE_REFERENCE: _integer(2),
    Tag.USER_RESPONSE_CODE: _integer(1),
    Tag.SOURCE_PORT: _integer(2),
    Tag.DESTINATION_PORT: _integer(2),
    Tag.SAR_MSG_REF_NUM: _integer(2),
    Tag.LANGUAGE_INDICATOR: _integer(1),
    Tag.SAR_TOTAL_SEGMENTS: _integer(1),
    Tag.SAR_SEGMENT_SEQNUM: _integer(1),
    Tag.SC_INTERFACE_VERSION: _integer(1),
    Tag.CALLBACK_NUM_PRES_IND: _integer(1),
    Tag.CALLBACK_NUM_ATAG: _octets(0, 65),
    Tag.NUMBER_OF_MESSAGES: _integer(1),
    Tag.CALLBACK_NUM: _octets(4, 19),
    Tag.DPF_RESULT: _integer(1),
    Tag.SET_DPF: _integer(1),
    Tag.MS_AVAILABILITY_STATUS: _integer(1),
    #: An octet for the type of network and two for the error.
    Tag.NETWORK_ERROR_CODE: _octets(3, 3),
    Tag.MESSAGE_PAYLOAD: _octets(0, MAX_VALUE),
    Tag.DELIVERY_FAILURE_REASON: _integer(1),
    Tag.MORE_MESSAGES_TO_SEND: _integer(1),
    Tag.MESSAGE_STATE: _integer(1),
    Tag.CONGESTION_STATE: _integer(1),
    Tag.USSD_SERVICE_OP: _octets(1, 1),
    Tag.BROADCAST_CHANNEL_INDICATOR: _integer(1),
    Tag.BROADCAST_CONTENT_TYPE: _octets(3, 3),
    Tag.BROADCAST_CONTENT_TYPE_INFO: _octets(1, 255),
    Tag.BROADCAST_MESSAGE_CLASS: _integer(1),
    Tag.BROADCAST_REP_NUM: _integer(2),
    Tag.BROADCAST_FREQUENCY_INTERVAL: _octets(3, 3),
    Tag.BROADCAST_AREA_IDENTIFIER: _octets(1, MAX_VALUE),
    Tag.BROADCAST_ERROR_STATUS: _integer(4),
    Tag.BROADCAST_AREA_SUCCESS: _integer(1),
    Tag.BROADCAST_END_TIME: _c_octets(17),
    Tag.BROADCAST_SERVICE_GROUP: _octets(1, 255),
    Tag.BILLING_IDENTIFICATION: _octets(1, 1024),
    Tag.SOURCE_NETWORK_ID: _c_octets(66),
    Tag.DEST_NETWORK_ID: _c_octets(66),
    Tag.SOURCE_NODE_ID: _octets(6, 6),
    Tag.DEST_NODE_ID: _octets(6, 6),
    Tag.DEST_ADDR_NP_RESOLUTION: _integer(1),
    Tag.DEST_ADDR_NP_INFORMATION: _octets(1, 10),
    Tag.DEST_ADDR_NP_COUNTRY: _octets(1, 5),
    Tag.DISPLAY_TIME: _integer(1),
    Tag.SMS_SIGNAL: _integer(2),
    #: One octet in 3.4; 5.0 adds a unit and a number.
    Tag.MS_VALIDITY: _octets(1, 4),
    #: Empty in 3.4; 5.0 adds an octet, of which 0 means the same as none.
    Tag.ALERT_ON_MESSAGE_DELIVERY: _integer(0, 1),
    Tag.ITS_REPLY_TYPE: _integer(1),
    Tag.ITS_SESSION_INFO: _octets(2, 2),
    VendorTag.SMSC_COST: _c_octets(6),
    VendorTag.SMSC_FLAGS: _integer(2),
    VendorTag.SMSC_PARTS: _integer(2),
    VendorTag.SMSC_2003: _c_octets(5),
    VendorTag.INCOMING_ID: _c_octets(65),
}

#: What may stand under a tag without a name.
_ANY = Wire(Kind.OCTETS, 0, MAX_VALUE)

_NAMES: dict[int, str] = {tag: tag.name for tag in (*Tag, *VendorTag)}


def name_of(tag: int) -> str:
    """Return the name of a tag, or its number where it has none."""
    return _NAMES.get(tag) or f"0x{tag:04X}"


def tlv(tag: int, value: int | str | bytes) -> Tlv:
    """Make a TLV with the wire type of its tag: int for an integer, str for a C-octet string, bytes for the rest.

    Octets are taken as they are for any tag, so that an unknown one can be written as well. EncodeError where the value
    does not fit.
    """
    wire = WIRE.get(tag, _ANY)
    if isinstance(value, bytes):
        raw = value
    elif isinstance(value, int) and wire.kind is Kind.INTEGER:
        raw = _write_integer(tag, value, wire)
    elif isinstance(value, str) and wire.kind is Kind.C_OCTETS:
        raw = _write_c_octets(tag, value)
    else:
        raise EncodeError(f"TLV {name_of(tag)} takes an {wire}, not {type(value).__name__}")
    if not wire.least <= len(raw) <= wire.most:
        raise EncodeError(f"TLV {name_of(tag)} takes an {wire}, not {len(raw)}")
    if not 0 <= tag <= 0xFFFF:
        raise EncodeError(f"{tag} is no tag")
    return Tlv(tag, raw)


def _write_integer(tag: int, value: int, wire: Wire) -> bytes:
    if value < 0:
        raise EncodeError(f"TLV {name_of(tag)} takes no number below zero")
    return value.to_bytes(max(wire.least, (value.bit_length() + 7) // 8), "big")


def _write_c_octets(tag: int, value: str) -> bytes:
    if "\0" in value:
        raise EncodeError(f"TLV {name_of(tag)} takes no NUL")
    try:
        return value.encode("latin-1") + b"\0"
    except UnicodeEncodeError:
        raise EncodeError(f"TLV {name_of(tag)} takes ISO-8859-1 only") from None


def read(tag: int, value: bytes) -> int | str | bytes:
    """Read a value by the type of its tag; octets where the tag has none. ValueError where it has a wrong length.

    A C-octet string ends at its first NUL or, because not every client writes one, at its end.
    """
    wire = WIRE.get(tag, _ANY)
    if wire.kind is Kind.C_OCTETS:
        text = value.partition(b"\0")[0]
        if len(text) >= wire.most:
            raise ValueError(f"{name_of(tag)} is an {wire}, not {len(value)}")
        return text.decode("latin-1")
    if not wire.least <= len(value) <= wire.most:
        raise ValueError(f"{name_of(tag)} is an {wire}, not {len(value)}")
    return int.from_bytes(value, "big") if wire.kind is Kind.INTEGER else value
