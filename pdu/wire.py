"""The kinds of fields SMPP 3.4 §3.1 knows, as construct declarations, and how a PDU class names its own.

A field of a PDU is written `name: type = kind(…)`, where `kind` is one of the functions at the end of this module. It
is an ordinary dataclass field that carries its construct in its metadata; `layout` puts the constructs of a class
together again, in the order of the class, which is the order on the wire.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import construct as cs
import construct_typed as ct

from .constants import CommandStatus


class Violation(cs.ConstructError):
    """A field breaks its own rule, so that a status other than ESME_RINVCMDLEN answers it."""

    def __init__(self, message: str, path: str, status: CommandStatus) -> None:
        super().__init__(message, path)
        self.status = status


class COctetString(ct.Adapter[bytes, bytes, str, str]):
    """At most `size` octets of which the last is NUL; a longer one is answered with `status`, whether a NUL follows or
    none. One that is cut short by the end of the body is not longer."""

    def __init__(self, size: int, status: CommandStatus) -> None:
        super().__init__(cs.NullTerminated(cs.GreedyBytes))
        self.size = size
        self.status = status

    def _parse(self, stream: Any, context: Any, path: Any) -> str:
        start = stream.tell()
        most = stream.read(self.size)
        stream.seek(start)
        if len(most) == self.size and b"\0" not in most:
            raise Violation(f"more than {self.size} octets", path, self.status)
        text: str = super()._parse(stream, context, path)
        return text

    def _decode(self, obj: bytes, context: Any, path: Any) -> str:
        return obj.decode("latin-1")

    def _encode(self, obj: str, context: Any, path: Any) -> bytes:
        if len(obj) >= self.size:
            raise Violation(f"more than {self.size} octets with its NUL", path, self.status)
        if "\0" in obj:
            raise Violation("NUL inside", path, self.status)
        try:
            return obj.encode("latin-1")
        except UnicodeEncodeError:
            raise Violation("more than ISO-8859-1 inside", path, self.status) from None


class Time(COctetString):
    """A time, or none: SMPP 3.4 §7.1.1 has 1 or 17 octets. What another length says is for its reader to judge."""

    def __init__(self, status: CommandStatus) -> None:
        super().__init__(17, status)


class OctetString(cs.Bytes):
    """As many octets as the field `counted_by` before it says; fewer are answered with `status`."""

    def __init__(self, counted_by: str, status: CommandStatus) -> None:
        super().__init__(cs.this[counted_by])
        self.counted_by = counted_by
        self.status = status

    def _parse(self, stream: Any, context: Any, path: Any) -> bytes:
        try:
            return bytes(super()._parse(stream, context, path))
        except cs.StreamError as broken:
            raise Violation(f"fewer octets than {self.counted_by} says", path, self.status) from broken


class Elements(cs.Array):  # type: ignore[type-arg]
    """As many elements as the field `counted_by` before it says."""

    def __init__(self, counted_by: str, element: Any) -> None:
        super().__init__(cs.this[counted_by], element)
        self.counted_by = counted_by


class Record(ct.Adapter[Any, Any, Any, Any]):
    """A group of fields that is an object of its own: `record` is its class."""

    def __init__(self, record: type) -> None:
        super().__init__(cs.Struct(*layout(record)))
        self.record = record

    def _decode(self, obj: Any, context: Any, path: Any) -> Any:
        return self.record(**{name: value for name, value in obj.items() if not name.startswith("_")})

    def _encode(self, obj: Any, context: Any, path: Any) -> Any:
        if not isinstance(obj, self.record):
            raise Violation(f"a {self.record.__name__} is needed", path, CommandStatus.ESME_RSYSERR)
        return {field.name: getattr(obj, field.name) for field in dataclasses.fields(self.record)}


class Choice(ct.Adapter[Any, Any, Any, Any]):
    """A record whose class is told by the octet `flag` before it; an unknown one is answered with `status`."""

    def __init__(self, flag: str, records: dict[int, type], status: CommandStatus) -> None:
        self.flag = flag
        self.records: dict[int, Any] = {number: Record(record) for number, record in records.items()}
        self.status = status
        super().__init__(
            cs.Struct(flag / cs.Int8ub, "record" / cs.Switch(cs.this[flag], self.records, default=cs.Pass)),
        )

    def _decode(self, obj: Any, context: Any, path: Any) -> Any:
        if obj[self.flag] not in self.records:
            raise Violation(f"{self.flag} {obj[self.flag]} is not defined", path, self.status)
        return obj.record

    def _encode(self, obj: Any, context: Any, path: Any) -> Any:
        for number, record in self.records.items():
            if isinstance(obj, record.record):
                return {self.flag: number, "record": obj}
        raise Violation(f"{type(obj).__name__} has no {self.flag}", path, self.status)


def layout(record: type) -> list[Any]:
    """Return the constructs of a class's fields by name, counts included, in wire order."""
    constructs = []
    for field in dataclasses.fields(record):
        if "construct" not in field.metadata:  # the header's and the TLVs, which all PDUs have alike
            continue
        construct = field.metadata["construct"]
        if isinstance(construct, OctetString | Elements):
            constructs.append(construct.counted_by / cs.Rebuild(cs.Int8ub, cs.len_(cs.this[field.name])))
        constructs.append(field.name / construct)
    return constructs


# What the PDU classes are written with. -------------------------------------------------------------------------------


def octet(default: int = 0) -> Any:
    """An integer of one octet."""
    return dataclasses.field(default=default, metadata={"construct": cs.Int8ub})


def integer(default: int = 0) -> Any:
    """An integer of four octets."""
    return dataclasses.field(default=default, metadata={"construct": cs.Int32ub})


def c_octets(size: int, status: CommandStatus) -> Any:
    """A C-Octet String of at most `size` octets with its NUL."""
    return dataclasses.field(default="", metadata={"construct": COctetString(size, status)})


def time(status: CommandStatus) -> Any:
    """An absolute or relative time, or none."""
    return dataclasses.field(default="", metadata={"construct": Time(status)})


def octets(counted_by: str, status: CommandStatus) -> Any:
    """An Octet String of 0 to 255 octets, their number in the octet `counted_by` before it."""
    return dataclasses.field(default=b"", metadata={"construct": OctetString(counted_by, status)})


def array(counted_by: str, element: Any) -> Any:
    """0 to 255 elements, their number in the octet `counted_by` before them."""
    return dataclasses.field(default_factory=list, metadata={"construct": Elements(counted_by, element)})
