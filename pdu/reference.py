"""The slow reader and writer: construct itself, straight from the declaration.

It is the measure of the fast one in `codec`, which must never read or write anything differently, and the eyes of
`python -m pdu`.
"""

from __future__ import annotations

from typing import Any

import construct as cs

from .constants import CommandId, CommandStatus
from .declaration import PDUS, EmptyBody, Pdu
from .errors import BodyError, EncodeError, FramingError
from .tlv import TLVS
from .wire import Violation, layout

#: SMPP 3.4 §3.2.
HEADER = cs.Struct(
    "command_length" / cs.Int32ub,
    "command_id" / cs.Int32ub,
    "command_status" / cs.Int32ub,
    "sequence_number" / cs.Int32ub,
)

HEADER_LENGTH = HEADER.sizeof()

#: What stands behind the header, for each PDU.
BODIES: dict[int, Any] = {command_id: cs.Struct(*layout(pdu), "tlvs" / TLVS) for command_id, pdu in PDUS.items()}


def decode(frame: bytes) -> Pdu:
    """Read one whole PDU. BodyError where it is not what its command_id says."""
    if len(frame) < HEADER_LENGTH:
        raise FramingError(0, f"{len(frame)} octets are no header")
    header = HEADER.parse(frame)
    if header.command_length != len(frame):
        raise FramingError(header.sequence_number, f"command_length {header.command_length} of {len(frame)} octets")
    pdu = PDUS.get(header.command_id)
    if pdu is None:
        raise unknown_command(header.command_id, header.sequence_number)
    values: dict[str, Any] = {}
    if len(frame) > HEADER_LENGTH or not may_be_empty(pdu, header.command_status):
        try:
            values = BODIES[header.command_id].parse(frame[HEADER_LENGTH:])
        except cs.ConstructError as broken:
            reason = f"{CommandId(header.command_id).name.lower()}: {explain(broken)}"
            raise BodyError(status_of(broken), header.command_id, header.sequence_number, reason) from None
    fields = {name: _plain(value) for name, value in values.items() if name in pdu.__dataclass_fields__}
    return pdu(command_status=header.command_status, sequence_number=header.sequence_number, **fields)


def _plain(value: Any) -> Any:
    """Turn construct's own kind of list into a list."""
    return list(value) if isinstance(value, list) else value


def encode(pdu: Pdu) -> bytes:
    """Write one PDU. EncodeError where a value does not fit its field."""
    try:
        body = BODIES[pdu.command_id].build({name: getattr(pdu, name) for name in pdu.__dataclass_fields__})
        header = HEADER.build(
            {
                "command_length": HEADER_LENGTH + len(body),
                "command_id": pdu.command_id,
                "command_status": pdu.command_status,
                "sequence_number": pdu.sequence_number,
            }
        )
    except cs.ConstructError as broken:
        raise EncodeError(f"{pdu.command_id.name.lower()}: {explain(broken)}") from None
    return bytes(header + body)


def unknown_command(command_id: int, sequence_number: int) -> BodyError:
    """Say that there is no PDU with this command_id; some have a name all the same."""
    name = CommandId(command_id).name.lower() if command_id in set(CommandId) else f"command 0x{command_id:08X}"
    return BodyError(CommandStatus.ESME_RINVCMDID, command_id, sequence_number, f"{name} cannot be read here")


def may_be_empty(pdu: type[Pdu], command_status: int) -> bool:
    """Tell whether a PDU with no body at all has all its fields at their defaults."""
    return pdu.empty_body is EmptyBody.ALWAYS or (pdu.empty_body is EmptyBody.ON_ERROR and command_status != 0)


def status_of(broken: Exception) -> CommandStatus:
    """Return the command_status that answers what construct could not read."""
    if isinstance(broken, Violation):
        return broken.status
    if isinstance(broken, cs.TerminatedError):  # `TLVS` stopped before the end
        return CommandStatus.ESME_RINVOPTPARSTREAM
    return CommandStatus.ESME_RINVCMDLEN


def explain(broken: Exception) -> str:
    """Say what is wrong with which field in one line, without its value."""
    name = (getattr(broken, "path", None) or "").rpartition("-> ")[2]
    reason = reason_of(broken)
    return f"{name}: {reason}" if name and not isinstance(broken, cs.TerminatedError) else reason


def reason_of(broken: Exception) -> str:
    """Say what is wrong with a field that construct could not read or write."""
    if isinstance(broken, Violation):
        return str(broken).splitlines()[-1]
    if isinstance(broken, cs.TerminatedError):
        return "the TLVs do not end with the body"
    if isinstance(broken, cs.StreamError):
        return "the body ends here"
    return "the value does not fit"
