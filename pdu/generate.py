"""Writes the fast reader and the fast writer of a PDU from its construct declaration.

construct walks its declaration anew for every PDU and needs some 65 µs for a submit_sm. Here the declaration is walked
once, at import, and straight-line Python comes out of it. What a reader looks like:

    def read_cancel_sm(frame, end, command_status, sequence_number):
        pdu = new(CancelSm)
        pdu.command_status = command_status
        pdu.sequence_number = sequence_number
        at = 16
        text = frame.decode("latin-1")
        try:
            if frame[at]:
                stop = text.find("\\0", at, at + 6)
                if stop < 0:
                    if end - at < 6:
                        raise IndexError
                    raise BodyError(CommandStatus.ESME_RINVSERTYP, …)
                pdu.service_type = text[at:stop]
                at = stop + 1
            else:
                pdu.service_type = ""
                at += 1
            …
            pdu.source_addr_ton = frame[at]
            pdu.source_addr_npi = frame[at + 1]
            at += 2
            …
        except (IndexError, ValueError, StructError):
            raise BodyError(CommandStatus.ESME_RINVCMDLEN, …) from None
        …

and a writer:

    def write_cancel_sm(pdu):
        try:
            service_type = pdu.service_type
            if service_type:
                if len(service_type) >= 6 or "\\0" in service_type:
                    return refuse(pdu)
                service_type = service_type.encode("latin-1")
            …
            body = b"%b\\0%b\\0%c%c…" % (service_type or b"", …, pdu.source_addr_ton, pdu.source_addr_npi, …)
            …

`inspect.getsource` shows the whole of any (`codec.READERS`, `codec.WRITERS`). Measured on the way to this shape: an
octet by its index costs 8 ns and `unpack_from` 35, so few octets are taken one by one; most C-octet strings are empty,
which one look at their first octet tells; decoding the frame once is cheaper than each string; `%` puts a body together
faster than packing and joining its pieces; filling the slots of a bare object is faster than calling its `__init__`.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from struct import Struct
from struct import error as StructError
from typing import Any, TypeAlias

import construct as cs

from .constants import CommandId, CommandStatus
from .declaration import EmptyBody, Pdu
from .errors import BodyError
from .tlv import TLVS, Tlv
from .wire import Choice, COctetString, Elements, OctetString, Record, Time

Reader: TypeAlias = Callable[[bytes, int, int, int], Pdu]
Writer: TypeAlias = Callable[[Any], bytes]

#: A construct under its name.
Field: TypeAlias = tuple[str, Any]

#: Up to so many octets are taken one by one, a longer run by one `unpack_from`.
_FEW = 4


class _Source:
    """Lines of Python, and what they refer to by name."""

    def __init__(self, function: str, names: dict[str, Any]) -> None:
        self.names = names
        self._function = function
        self._lines: list[str] = []
        self._depth = 0

    def __call__(self, line: str) -> None:
        self._lines.append("    " * self._depth + line)

    @contextmanager
    def block(self, opening: str) -> Iterator[None]:
        self(opening)
        self._depth += 1
        yield
        self._depth -= 1

    def compile(self) -> Any:
        """Make the function. `linecache` gets the text, so that tracebacks and `inspect.getsource` show it."""
        text = "\n".join(self._lines) + "\n"
        filename = f"<generated {self._function}>"
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
        exec(compile(text, filename, "exec"), self.names)  # noqa: S102 - made from our own declaration only
        return self.names[self._function]


def _fields_of(struct: Any) -> list[Field]:
    """Take a cs.Struct apart. The TLVs, which are last in every PDU and nowhere else, are not among its fields."""
    return [(renamed.name, renamed.subcon) for renamed in struct.subcons if renamed.subcon is not TLVS]


def _is_integer(construct: Any) -> bool:
    """A count is one too: construct rebuilds it from what it counts."""
    return isinstance(construct, cs.FormatField | cs.Rebuild)


def _letter(construct: Any) -> str:
    """Return the letter that `struct` has for an integer."""
    integer: Any = construct.subcon if isinstance(construct, cs.Rebuild) else construct
    return str(integer.fmtstr).lstrip(">")


# Reading. -------------------------------------------------------------------------------------------------------------


def make_reader(pdu: type[Pdu], body: Any) -> Reader:
    """Generate `read_…(frame, end, command_status, sequence_number)`; `end` is the length of the frame."""
    function = f"read_{pdu.command_id.name.lower()}"
    names = {
        "BodyError": BodyError,
        "CommandId": CommandId,
        "CommandStatus": CommandStatus,
        "StructError": StructError,
        "Tlv": Tlv,
        "new": object.__new__,
        "new_tuple": tuple.__new__,
        "unpack_tlv": Struct(">HH").unpack_from,
        pdu.__name__: pdu,
    }
    out = _Source(function, names)
    reading = _Reading(out, pdu)
    fields = _fields_of(body)
    with out.block(f"def {function}(frame, end, command_status, sequence_number):"):
        if pdu.empty_body is not EmptyBody.NEVER:
            reading.empty_body()
        out(f"pdu = new({pdu.__name__})")
        out("pdu.command_status = command_status")
        out("pdu.sequence_number = sequence_number")
        out("at = 16")
        if fields:
            out('text = frame.decode("latin-1")')
            with out.block("try:"):
                reading.fields("pdu", fields)
            with out.block("except (IndexError, ValueError, StructError):"):
                reading.fail(CommandStatus.ESME_RINVCMDLEN, "the body ends before its fields do", " from None")
        reading.tlvs()
        out("return pdu")
    reader: Reader = out.compile()
    return reader


class _Reading:
    """Emits lines that read fields of `frame` from `at` on, and move `at` behind them.

    `target` is the variable of the object that takes the values.
    """

    def __init__(self, out: _Source, pdu: type[Pdu]) -> None:
        self.out = out
        self.pdu = pdu

    def fail(self, status: CommandStatus, reason: str, cause: str = "") -> None:
        command = self.pdu.command_id.name
        answer = f"CommandStatus.{status.name}, CommandId.{command}, sequence_number"
        self.out(f'raise BodyError({answer}, "{command.lower()}: {reason}"){cause}')

    def empty_body(self) -> None:
        always = self.pdu.empty_body is EmptyBody.ALWAYS
        with self.out.block("if end == 16:" if always else "if end == 16 and command_status:"):
            header = "command_status=command_status, sequence_number=sequence_number"
            self.out(f"return {self.pdu.__name__}({header})")

    def fields(self, target: str, fields: list[Field]) -> None:
        """Most messages name no time, which makes the fields around it one stretch of integers."""
        for is_stretch, group in groupby(fields, key=lambda field: isinstance(field[1], Time) or _is_integer(field[1])):
            some = list(group)
            if is_stretch and any(isinstance(construct, Time) for _, construct in some):
                self.stretch(target, some)
            else:
                self.one_after_another(target, some)

    def one_after_another(self, target: str, fields: list[Field]) -> None:
        for are_integers, group in groupby(fields, key=lambda field: _is_integer(field[1])):
            if are_integers:
                self.integers(target, list(group))
            else:
                for name, construct in group:
                    self.field(target, name, construct)

    def field(self, target: str, name: str, construct: Any) -> None:
        match construct:
            case COctetString():
                self.c_octets(target, name, construct)
            case OctetString():
                self.octets(target, name, construct)
            case Elements():
                self.elements(target, name, construct)
            case _:
                raise TypeError(f"{name}: a {type(construct).__name__} cannot be read yet")

    def stretch(self, target: str, fields: list[Field]) -> None:
        """Read integers and times as if the times were empty, and once more if one is not.

        A body that is too short for the first way is too short for the second, so nothing is missed at its end.
        """
        places = [
            name if isinstance(construct, Time) else self.place(target, name, construct) for name, construct in fields
        ]
        times = [name for name, construct in fields if isinstance(construct, Time)]
        letters = ["B" if isinstance(construct, Time) else _letter(construct) for _, construct in fields]
        size = self.unpack(places, "".join(letters))
        with self.out.block(f"if {' or '.join(times)}:"):
            self.one_after_another(target, fields)
        with self.out.block("else:"):
            self.out(" = ".join([*(f"{target}.{name}" for name in times), '""']))
            self.out(f"at += {size}")

    def integers(self, target: str, fields: list[Field]) -> None:
        places = [self.place(target, name, construct) for name, construct in fields]
        letters = "".join(_letter(construct) for _, construct in fields)
        if len(fields) <= _FEW and set(letters) == {"B"}:
            size = len(fields)
            for offset, place in enumerate(places):
                self.out(f"{place} = frame[at + {offset}]" if offset else f"{place} = frame[at]")
        else:
            size = self.unpack(places, letters)
        self.out(f"at += {size}")

    def place(self, target: str, name: str, construct: Any) -> str:
        """Counts are kept in a variable of their name, all other integers in the object."""
        return name if isinstance(construct, cs.Rebuild) else f"{target}.{name}"

    def unpack(self, places: list[str], letters: str) -> int:
        struct = Struct(f">{letters}")
        self.out.names[f"unpack_{letters}"] = struct.unpack_from
        self.out(f"({', '.join(places)},) = unpack_{letters}(frame, at)")
        return struct.size

    def c_octets(self, target: str, name: str, construct: COctetString) -> None:
        with self.out.block("if frame[at]:"):
            self.out(f'stop = text.find("\\0", at, at + {construct.size})')
            with self.out.block("if stop < 0:"):
                with self.out.block(f"if end - at < {construct.size}:"):
                    self.out("raise IndexError")
                self.fail(construct.status, f"{name}: more than {construct.size} octets")
            self.out(f"{target}.{name} = text[at:stop]")
            self.out("at = stop + 1")
        with self.out.block("else:"):
            self.out(f'{target}.{name} = ""')
            self.out("at += 1")

    def octets(self, target: str, name: str, construct: OctetString) -> None:
        self.out(f"stop = at + {construct.counted_by}")
        with self.out.block("if stop > end:"):
            self.fail(construct.status, f"{name}: fewer octets than {construct.counted_by} says")
        self.out(f"{target}.{name} = frame[at:stop]")
        self.out("at = stop")

    def elements(self, target: str, name: str, construct: Elements) -> None:
        self.out(f"{name} = {target}.{name} = []")
        with self.out.block(f"for _ in range({construct.counted_by}):"):
            element: Any = construct.subcon
            if isinstance(element, Choice):
                self.choice(name, element)
            else:
                self.record(element)
            self.out(f"{name}.append(record)")

    def choice(self, name: str, construct: Choice) -> None:
        self.out(f"{construct.flag} = frame[at]")
        self.out("at += 1")
        word = "if"
        for number, record in construct.records.items():
            with self.out.block(f"{word} {construct.flag} == {number}:"):
                self.record(record)
            word = "elif"
        with self.out.block("else:"):
            self.fail(construct.status, f"{name}: no such {construct.flag}")

    def record(self, construct: Record) -> None:
        self.out.names[construct.record.__name__] = construct.record
        self.out(f"record = new({construct.record.__name__})")
        self.fields("record", _fields_of(construct.subcon))

    def tlvs(self) -> None:
        """A length that overshoots ends the loop, and is seen behind it."""
        self.out("pdu.tlvs = tlvs = []")
        with self.out.block("try:"), self.out.block("while at < end:"):
            self.out("tag, length = unpack_tlv(frame, at)")
            self.out("start = at + 4")
            self.out("at = start + length")
            self.out("tlvs.append(new_tuple(Tlv, (tag, frame[start:at])))")
        reason = "the TLVs do not end with the body"
        with self.out.block("except StructError:"):
            self.fail(CommandStatus.ESME_RINVOPTPARSTREAM, reason, " from None")
        with self.out.block("if at > end:"):
            self.fail(CommandStatus.ESME_RINVOPTPARSTREAM, reason)


# Writing. -------------------------------------------------------------------------------------------------------------


def make_writer(pdu: type[Pdu], body: Any, refuse: Writer) -> Writer:
    """Generate `write_…(pdu)`. What cannot be written is handed to `refuse`, which knows how to say why."""
    function = f"write_{pdu.command_id.name.lower()}"
    names = {
        "StructError": StructError,
        "pack_header": Struct(">4L").pack,
        "pack_tlv": Struct(">HH").pack,
        "refuse": refuse,
    }
    out = _Source(function, names)
    with out.block(f"def {function}(pdu):"):
        with out.block("try:"):
            out(f"body = {_Writing(out).fields('pdu', _fields_of(body))}")
            with out.block("for tag, value in pdu.tlvs:"):
                out("body += pack_tlv(tag, len(value)) + value")
            header = f"16 + len(body), 0x{pdu.command_id:08X}, pdu.command_status, pdu.sequence_number"
            out(f"return pack_header({header}) + body")
        with out.block("except (UnicodeEncodeError, OverflowError, StructError):"):
            out("return refuse(pdu)")
    writer: Writer = out.compile()
    return writer


class _Writing:
    """Emits lines that check and encode fields, and returns the expression that puts their octets together.

    A field becomes a piece of a `%` template and the value for it. `source` is the variable of the object that has the
    values.
    """

    def __init__(self, out: _Source) -> None:
        self.out = out

    def fields(self, source: str, fields: list[Field], before: str = "") -> str:
        counted = {construct.counted_by: name for name, construct in fields if hasattr(construct, "counted_by")}
        template, values = before, []
        for name, construct in fields:
            if name in counted:
                piece, value = "%c", f"len({source}.{counted[name]})"
            else:
                piece, value = self.field(source, name, construct)
            template += piece
            values.append(value)
        return f'b"{template}" % ({", ".join(values)},)' if values else f'b"{template}"'

    def field(self, source: str, name: str, construct: Any) -> tuple[str, str]:
        match construct:
            case cs.FormatField():
                return self.integer(source, name, construct)
            case COctetString():
                return self.c_octets(source, name, construct)
            case OctetString():
                return "%b", f"{source}.{name}"
            case Elements():
                return self.elements(source, name, construct)
            case _:
                raise TypeError(f"{name}: a {type(construct).__name__} cannot be written yet")

    def integer(self, source: str, name: str, construct: Any) -> tuple[str, str]:
        letter = _letter(construct)
        if letter == "B":
            return "%c", f"{source}.{name}"
        self.out.names[f"pack_{letter}"] = Struct(f">{letter}").pack
        return "%b", f"pack_{letter}({source}.{name})"

    def c_octets(self, source: str, name: str, construct: COctetString) -> tuple[str, str]:
        value = name if source == "pdu" else f"{source}_{name}"
        self.out(f"{value} = {source}.{name}")
        with self.out.block(f"if {value}:"):
            with self.out.block(f'if len({value}) >= {construct.size} or "\\0" in {value}:'):
                self.out("return refuse(pdu)")
            self.out(f'{value} = {value}.encode("latin-1")')
        return "%b\\0", f'{value} or b""'

    def elements(self, source: str, name: str, construct: Elements) -> tuple[str, str]:
        self.out(f"{name} = []")
        with self.out.block(f"for record in {source}.{name}:"):
            element: Any = construct.subcon
            if isinstance(element, Choice):
                self.choice(name, element)
            else:
                self.record(name, element)
        return "%b", f'b"".join({name})'

    def choice(self, name: str, construct: Choice) -> None:
        word = "if"
        for number, record in construct.records.items():
            with self.out.block(f"{word} isinstance(record, {record.record.__name__}):"):
                self.record(name, record, before=f"\\x{number:02x}")
            word = "elif"
        with self.out.block("else:"):
            self.out("return refuse(pdu)")

    def record(self, name: str, construct: Record, before: str = "") -> None:
        self.out.names[construct.record.__name__] = construct.record
        self.out(f"{name}.append({self.fields('record', _fields_of(construct.subcon), before)})")
