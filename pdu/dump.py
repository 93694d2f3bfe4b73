"""What stands where in a frame: walks the construct declaration along it and tells every field and what it says.

For people who look at octets (`python -m pdu`); a password comes out as `***`, its octets too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum, IntFlag
from io import BytesIO
from typing import Any, NamedTuple

import construct as cs

from .concatenation import BadHeader, parse_header
from .constants import (
    CommandId,
    CommandStatus,
    DataCoding,
    EsmClass,
    MessageState,
    Npi,
    RegisteredDelivery,
    Ton,
    explain_status,
)
from .declaration import PDUS, Pdu
from .gsm0338 import Undecodable
from .reference import BODIES, HEADER, HEADER_LENGTH, may_be_empty, reason_of, status_of
from .text import Alphabet, decode_text, is_default
from .tlv import TLV, TLVS, name_of, read
from .wire import Choice, Elements

#: Integers that nobody knows by their decimal form.
_IN_HEXADECIMAL = {"command_id", "interface_version", "esm_class", "registered_delivery", "data_coding"}


class Row(NamedTuple):
    """A field: where it stands, what stands there, and what that says."""

    offset: int
    octets: bytes
    name: str
    value: str
    meaning: str = ""
    #: The octets are not to be shown.
    secret: bool = False
    #: The PDU cannot be read from here on; `meaning` says why.
    broken: bool = False


def frames(data: bytes) -> Iterator[bytes]:
    """Cut PDUs apart by their command_length; where that cannot be true, all the rest is one."""
    while data:
        length = int.from_bytes(data[:4], "big")
        if length < HEADER_LENGTH:
            length = len(data)
        yield data[:length]
        data = data[length:]


def title(frame: bytes) -> str:
    """Name a frame."""
    command_id = int.from_bytes(frame[4:8], "big") if len(frame) >= 8 else -1
    name = CommandId(command_id).name.lower() if command_id in set(CommandId) else "no known PDU"
    return f"{name}, {len(frame)} octets"


def rows(frame: bytes) -> Iterator[Row]:
    """Tell the fields of one frame; the last one is `broken` where the frame is not one whole PDU."""
    walk = _Walk(frame)
    try:
        yield from walk.pdu()
    except _Stop as stop:
        yield walk.broken(stop)


class _Stop(Exception):
    """The frame cannot be read from here on."""

    def __init__(self, name: str, reason: str, answer: CommandStatus) -> None:
        super().__init__(reason)
        self.name = name
        self.reason = reason
        self.answer = answer


class _Walk:
    """One construct after the other is read from a stream, and from where to where it went is noted."""

    def __init__(self, frame: bytes) -> None:
        self.frame = frame
        self.stream = BytesIO(frame)
        #: The values read so far: construct looks counts up in it, and a text its coding.
        self.values: dict[str, Any] = {}

    def pdu(self) -> Iterator[Row]:
        yield from self.fields(HEADER)
        pdu = PDUS.get(self.values["command_id"])
        if pdu is None or self.values["command_length"] < HEADER_LENGTH:
            raise _Stop("", "this command cannot be read here", CommandStatus.ESME_RINVCMDID)
        if len(self.frame) > HEADER_LENGTH or not may_be_empty(pdu, self.values["command_status"]):
            yield from self.fields(BODIES[pdu.command_id])
        if self.values["command_length"] > len(self.frame):
            raise _Stop("", "", CommandStatus.ESME_RINVCMDLEN)

    def fields(self, struct: Any, prefix: str = "") -> Iterator[Row]:
        for field in struct.subcons:
            if field.subcon is TLVS:
                yield from self.tlvs()
            elif isinstance(field.subcon, Elements):
                yield from self.elements(field.name, field.subcon)
            else:
                yield self.field(field.name, field.subcon, prefix)

    def field(self, name: str, construct: Any, prefix: str = "") -> Row:
        start = self.stream.tell()
        try:
            value = construct.parse_stream(self.stream, **self.values)
        except cs.ConstructError as broken:
            self.stream.seek(start)
            raise _Stop(prefix + name, reason_of(broken), status_of(broken)) from None
        self.values[name] = value
        octets = self.frame[start : self.stream.tell()]
        if name == "password":
            return Row(start, octets, name, "***", secret=True)
        said = f"0x{value:0{2 * len(octets)}X}" if name in _IN_HEXADECIMAL else _value(value)
        return Row(start, octets, prefix + name, said, _meaning(name, value, self.values))

    def elements(self, name: str, construct: Elements) -> Iterator[Row]:
        for number in range(self.values[construct.counted_by]):
            record: Any = construct.subcon
            prefix = f"{name}[{number}]."
            if isinstance(record, Choice):
                row = self.field(record.flag, cs.Int8ub, prefix)
                flag = self.values[record.flag]
                if flag not in record.records:
                    self.stream.seek(row.offset)
                    raise _Stop(row.name, f"{flag} is not defined", record.status)
                yield row
                record = record.records[flag]
            yield from self.fields(record.subcon, prefix)

    def tlvs(self) -> Iterator[Row]:
        while self.stream.tell() < len(self.frame):
            start = self.stream.tell()
            try:
                tag, octets = TLV.parse_stream(self.stream)
            except cs.ConstructError:
                self.stream.seek(start)
                reason = "the TLVs do not end with the body"
                raise _Stop("TLV", reason, CommandStatus.ESME_RINVOPTPARSTREAM) from None
            name = name_of(tag).lower()
            try:
                value = read(tag, octets)
                meaning = _meaning(name, value, self.values)
            except ValueError as wrong:
                value, meaning = octets, f"{wrong}: {CommandStatus.ESME_RINVPARLEN.name} if it is asked for"
            yield Row(start, self.frame[start : self.stream.tell()], name, _value(value), meaning)

    def broken(self, stop: _Stop) -> Row:
        """A PDU that was cut short while it was copied is not the client's mistake."""
        length, here = self.values.get("command_length", HEADER_LENGTH), len(self.frame)
        reason = f"{stop.reason}: answered with {stop.answer.name}"
        if length < HEADER_LENGTH:
            reason = "command_length is less than a header has: answered with ESME_RINVCMDLEN, and the link is closed"
        elif length > here:
            reason = f"not all of it is here: {length} octets are needed, {here} given"
        rest = self.frame[self.stream.tell() :]
        pdu = PDUS.get(self.values.get("command_id", -1), Pdu)
        secret = "password" in pdu.__dataclass_fields__ and "password" not in self.values
        return Row(self.stream.tell(), rest, stop.name, "", reason, secret, broken=True)


def _value(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} octet{'' if len(value) == 1 else 's'}"
    return repr(value)  # control characters come out escaped


# What it says. --------------------------------------------------------------------------------------------------------


def _meaning(name: str, value: Any, values: dict[str, Any]) -> str:
    """Say what a value of the field or TLV `name` means, if there is more to say than the value itself."""
    if name in ("short_message", "message_payload"):
        return _text(value, values)
    for suffix, say in _MEANINGS.items():
        if name.endswith(suffix):
            return say(value)
    return ""


def _member(enum: type[IntEnum]) -> Callable[[int], str]:
    def say(value: int) -> str:
        return enum(value).name.lower() if value in set(enum) else "not defined"

    return say


def _flags(enum: type[IntFlag]) -> Callable[[int], str]:
    def say(value: int) -> str:
        return (enum(value).name or "").lower().replace("|", ", ")

    return say


def _version(value: int) -> str:
    return f"SMPP {value >> 4}.{value & 15}"


def _network_error(value: bytes) -> str:
    networks = {
        1: "ANSI-136",
        2: "IS-95",
        3: "GSM",
        4: "ANSI-136",
        5: "IS-95",
        6: "ANSI-41",
        7: "SMPP",
        8: "the centre",
    }
    return f"error {int.from_bytes(value[1:], 'big')} of {networks.get(value[0], f'network type {value[0]}')}"


def _time(value: str) -> str:
    if not value:
        return ""
    return "from now on" if value.endswith("R") else "local time, quarter hours from UTC"


_MEANINGS: dict[str, Callable[[Any], str]] = {
    "command_id": lambda value: CommandId(value).name.lower() if value in set(CommandId) else "not defined",
    "command_status": explain_status,
    "error_status_code": explain_status,
    "interface_version": _version,
    "_ton": _member(Ton),
    "_npi": _member(Npi),
    "esm_class": _flags(EsmClass),
    "registered_delivery": _flags(RegisteredDelivery),
    "data_coding": _member(DataCoding),
    "message_state": _member(MessageState),
    "schedule_delivery_time": _time,
    "validity_period": _time,
    "network_error_code": _network_error,
    "dest_flag": lambda value: {1: "a number", 2: "a distribution list"}.get(value, ""),
}


def _text(value: bytes, values: dict[str, Any]) -> str:
    """Show user data as text where its coding is one of text."""
    said = []
    data_coding = values.get("data_coding", DataCoding.DEFAULT)
    try:
        if value and values.get("esm_class", 0) & EsmClass.UDHI:
            header, value = parse_header(value)
            segment = header.segment
            said.append(f"part {segment.number} of {segment.total}" if segment else "after a header")
        text = decode_text(value, data_coding)
        said.append(repr(text))
        if is_default(data_coding):
            other = decode_text(value, data_coding, Alphabet.ISO)
            if other != text and other.replace("\n", "").isprintable():
                said.append(f"or {other!r} where that is ISO-8859-1")
    except (BadHeader, Undecodable) as wrong:
        said.append(f"no text: {wrong}")
    return ", ".join(said) if value else ""
