"""SMPP as bytes. Stands alone: no sockets, no clock, no logging."""

from .constants import CommandId, CommandStatus, MessageState

__all__ = ["CommandId", "CommandStatus", "MessageState"]
