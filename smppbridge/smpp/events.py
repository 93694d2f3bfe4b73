"""What a session tells: its events, in the order of the client's stream, and how it ended.

Values and nothing else: who decides on a bind (`admission`) or remembers who was bound (`bound`) needs no session.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from pdu import CancelSm, CommandStatus, DataSm, QuerySm, ReplaceSm, SubmitMulti, SubmitSm

from ..config import BindType


class BindRequest(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A client asks to be let in; answer with `bind_accepted` or `bind_refused`."""

    bind_type: BindType
    system_id: str
    password: str
    system_type: str = ""
    interface_version: int = 0x34
    address_range: str = ""
    addr_ton: int = 0
    addr_npi: int = 0
    sequence_number: int = 0

    def __repr__(self) -> str:
        """Without the password."""
        return f"<BindRequest {self.bind_type} {self.system_id!r} version 0x{self.interface_version:02X}>"


class Answered(msgspec.Struct, frozen=True, gc=False):
    """A delivery of ours (DELIVER_SM or DATA_SM) came to an end."""

    token: object
    #: The client's command_status; None: it did not answer in time, or the link is gone.
    status: int | None


class Unasked(msgspec.Struct, frozen=True, gc=False):
    """A response that nothing of ours was waiting for (any more). Ignored; an event only for the log."""

    command_id: int
    command_status: int
    sequence_number: int


class Refused(msgspec.Struct, frozen=True, gc=False):
    """We answered a PDU with an error by ourselves. An event only for the log."""

    command_id: int
    sequence_number: int
    status: CommandStatus
    reason: str


#: What a bound client may ask for (`states.OPERATIONS`).
Operation: TypeAlias = SubmitSm | SubmitMulti | DataSm | QuerySm | CancelSm | ReplaceSm
#: An operation and its octets as they came, header and all; answer it exactly once, with `respond_submit`, `respond` or
#: `respond_error`. A plain tuple, because this is the hot path.
Asked: TypeAlias = tuple[Operation, bytes]
Event: TypeAlias = Asked | BindRequest | Answered | Unasked | Refused


# How a session ends --------------------------------------------------------------------------------------------------


class How(StrEnum):
    """Who ended a session."""

    #: The client sent UNBIND.
    UNBOUND = "unbound"
    #: We did: shutdown, silence, lost framing.
    CLOSED = "closed"
    #: The connection went away, or its client's half of it, without an UNBIND.
    LOST = "lost"


class Ending(msgspec.Struct, frozen=True, gc=False):
    """How a session ended and why."""

    how: How
    reason: str
    #: Both sides have unbound, and every operation had been answered before the first UNBIND: an identical message on
    #: another bind is then no resend. An end-of-file alone is never clean: a client that is killed sends one too, and
    #: then what it had read of us is lost with it.
    clean: bool = False
