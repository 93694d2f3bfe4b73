"""What is answered where the answer is not status 0."""

from __future__ import annotations

from pdu import CommandStatus


class Refusal(Exception):
    """Nothing was kept and nothing will be sent (ARCHITECTURE.md, promise 2)."""

    def __init__(self, status: CommandStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        #: For additional_status_info_text and the log: names the limit or the field, and what to do about it.
        self.reason = reason
