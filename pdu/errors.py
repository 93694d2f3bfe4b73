"""What can be wrong with octets, and whose fault it is.

`BodyError` and `FramingError` are the peer's: each carries the command_status to answer. After a `BodyError` the next
PDU is read as if nothing had happened; after a `FramingError` nobody knows where the next PDU starts, so the link is
closed.
`EncodeError` is ours: a PDU was filled in such that it cannot be written.
"""

from __future__ import annotations

from .constants import CommandStatus


class PduError(Exception):
    """Something is wrong with a PDU."""


class BodyError(PduError):
    """One whole PDU came that cannot be read; the link lives. Never quotes the body, which may hold a password."""

    def __init__(self, command_status: CommandStatus, command_id: int, sequence_number: int, reason: str) -> None:
        super().__init__(f"{reason} ({command_status.name})")
        #: What to answer: in the response if the command has one, otherwise in a generic_nack (SMPP 3.4 §4.3).
        self.command_status = command_status
        #: As it came; a `CommandId` where it is one.
        self.command_id = command_id
        self.sequence_number = sequence_number
        self.reason = reason


class FramingError(PduError):
    """The command_length cannot be true, so the boundaries of the PDUs are lost (SMPP 3.4 §3.2, command_length)."""

    def __init__(self, sequence_number: int, reason: str) -> None:
        super().__init__(reason)
        self.command_status = CommandStatus.ESME_RINVCMDLEN
        self.sequence_number = sequence_number
        self.reason = reason


class EncodeError(PduError, ValueError):
    """A value does not fit its field. Names the field, never quotes the value."""
